package data

import (
	"context"
	"io"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// stream stores the units of a chunk as they come.
func (c *serverConn) stream(ctx context.Context, h *head) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := c.receive(ctx, cancel, h)
	if err != nil && isOver(err) {
		return err
	}
	if err != nil {
		rpc.LogFailure(ctx, c.server.config.Log, "stream", err)
		c.refuse(h, err)
		return io.EOF
	}
	return c.out.write(c.server.waits.idle, b, nil)
}

// receive passes the units to the store one by one, so that TCP slows the sender down, and returns the answer.
func (c *serverConn) receive(ctx context.Context, cancel context.CancelFunc, h *head) (_ []byte, err error) {
	defer func() { err = rpc.Survive(ctx, recover(), "stream", err, c.server.config.Log) }()
	w, err := c.server.config.Chunks.Create(ctx, h.spec())
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for {
		length, crc, err := c.nextUnit(h)
		if err != nil {
			return nil, err
		}
		if length == 0 {
			return c.commit(cancel, w, h, crc)
		}
		u, err := readUnit(c.in, c.server.config.Buffers, length, crc)
		if err != nil {
			return nil, err
		}
		if err := w.Append(u); err != nil {
			return nil, err
		}
	}
}

// nextUnit reads what precedes a unit. Length 0: there are no more, and crc is the length of the label.
func (c *serverConn) nextUnit(h *head) (length int, crc uint32, err error) {
	if c.in.Buffered() < unitHeadSize {
		if err := c.within(c.server.waits.idle); err != nil {
			return 0, 0, err
		}
	}
	var b [unitHeadSize]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return 0, 0, err
	}
	n := le.Uint32(b[:])
	if n > h.unitSize {
		return 0, 0, store.Errorf(store.Invalid, "unit of %d bytes is not within 1..%d", n, h.unitSize).WithItem(h.chunk)
	}
	return int(n), le.Uint32(b[4:]), c.within(c.server.waits.unit)
}

// commit reads the label and makes the chunk durable, unless the client leaves meanwhile: it may then have the chunk deleted elsewhere.
func (c *serverConn) commit(cancel context.CancelFunc, w chunk.Writer, h *head, length uint32) ([]byte, error) {
	if length > maxLabel {
		return nil, store.Errorf(store.Invalid, "label of %d bytes; at most %d are allowed", length, maxLabel).WithItem(h.chunk)
	}
	encoded := make([]byte, length)
	if _, err := io.ReadFull(c.in, encoded); err != nil {
		return nil, err
	}
	label, err := decodeLabel(encoded)
	if err != nil {
		return nil, err
	}
	watched := c.watch(cancel)
	info, err := w.Commit(label)
	watched()
	if err != nil {
		return nil, err
	}
	return c.stored(0, info, label), nil
}

// watch calls left when the client closes the connection, until the returned function is called.
func (c *serverConn) watch(left func()) (stop func()) {
	ended := make(chan struct{})
	_ = c.raw.SetReadDeadline(time.Time{})
	go func() {
		defer close(ended)
		if _, err := c.in.Peek(1); err != nil {
			left()
		}
	}()
	return func() {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // the next wait for a request sets it again
		<-ended
	}
}
