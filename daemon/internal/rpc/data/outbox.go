package data

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// outbox writes answers to a connection. Safe for concurrent use.
type outbox struct {
	conn net.Conn
	file syscall.RawConn // of conn, to send from files; nil: that cannot be

	writing sync.Mutex // held while writing
}

// copyBelow is the size in bytes below which a unit is copied behind its head: that is cheaper than a second buffer in the call.
const copyBelow = 16 << 10

// write writes head and body within the time limit.
func (o *outbox) write(limit time.Duration, head, body []byte) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	switch {
	case len(body) == 0:
		_, err := o.conn.Write(head)
		return err
	case len(body) < copyBelow:
		_, err := o.conn.Write(append(append(make([]byte, 0, len(head)+len(body)), head...), body...))
		return err
	}
	bufs := net.Buffers{head, body}
	_, err := bufs.WriteTo(o.conn)
	return err
}

// writeRange writes head and a range of a file within the time limit.
func (o *outbox) writeRange(limit time.Duration, head []byte, g chunk.Range) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	return sendFile(o.file, head, g)
}
