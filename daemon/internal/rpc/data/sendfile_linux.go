package data

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// fileSender returns the connection as sendfile(2) needs it, or nil where it is none of TCP.
func fileSender(c net.Conn) syscall.RawConn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// sendFile sends head and the range of the file. The kernel sends the pages of its cache; no byte is copied here.
func sendFile(to syscall.RawConn, head []byte, g chunk.Range) error {
	if err := sendMore(to, head); err != nil {
		return err
	}
	from, err := g.File.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := from.Control(func(in uintptr) { sent = sendPages(to, int(in), g.Offset, g.Length) }); err != nil {
		return err
	}
	return sent
}

// sendMore sends bytes of which more are to follow, so that they do not travel alone.
func sendMore(to syscall.RawConn, b []byte) error {
	var failed error
	err := to.Write(func(out uintptr) bool {
		for len(b) > 0 {
			n, err := unix.SendmsgN(int(out), b, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false
			case errors.Is(err, unix.EINTR):
			case err != nil:
				failed = err
				return true
			default:
				b = b[n:]
			}
		}
		return true
	})
	return errors.Join(err, failed)
}

func sendPages(to syscall.RawConn, in int, off int64, left int) error {
	var failed error
	err := to.Write(func(out uintptr) bool {
		for left > 0 {
			n, err := unix.Sendfile(int(out), in, &off, left)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false
			case errors.Is(err, unix.EINTR):
			case err != nil:
				failed = err
				return true
			case n == 0:
				failed = io.ErrUnexpectedEOF // the file is shorter than it was
				return true
			default:
				left -= n
			}
		}
		return true
	})
	return errors.Join(err, failed)
}
