package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// frames is a small protocol of its own: a head of 16 bytes (what, length, checksum), then the bytes, one request at a time on a
// connection of a pool, as the data port has it. It sends units from memory, not by sendfile, so that TLS can be compared.
type frames struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	mu       sync.Mutex
	idle     []*frameConn
	all      []net.Conn
}

type frameConn struct {
	net.Conn
	in  *bufio.Reader
	buf []byte
}

const frameHead = 16

func startFrames(l net.Listener, server, client *tls.Config) (transport, error) {
	f := &frames{listener: l, dial: dialer(l, client)}
	go func() {
		for s := secured(l, server); ; {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go serveFrames(c)
		}
	}()
	return f, nil
}

func serveFrames(c net.Conn) {
	defer c.Close()
	in, buf, head := bufio.NewReaderSize(c, 32<<10), make([]byte, 256<<10), make([]byte, frameHead)
	for {
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		n := int(binary.LittleEndian.Uint32(head[4:]))
		if head[0] == 'g' {
			if sendFrame(c, 'u', unit[:n], unitSum(n)) != nil {
				return
			}
			continue
		}
		if _, err := io.ReadFull(in, buf[:n]); err != nil || checksum(buf[:n]) != binary.LittleEndian.Uint32(head[8:]) {
			return
		}
		if sendFrame(c, 'k', nil, 0) != nil {
			return
		}
	}
}

func sendFrame(c net.Conn, what byte, b []byte, sum uint32) error {
	head := make([]byte, frameHead, frameHead+16<<10)
	head[0] = what
	binary.LittleEndian.PutUint32(head[4:], uint32(len(b)))
	binary.LittleEndian.PutUint32(head[8:], sum)
	if len(b) < 16<<10 {
		_, err := c.Write(append(head, b...))
		return err
	}
	bufs := net.Buffers{head, b}
	_, err := bufs.WriteTo(c)
	return err
}

func (f *frames) take() (*frameConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.idle); n > 0 {
		c := f.idle[n-1]
		f.idle = f.idle[:n-1]
		return c, nil
	}
	c, err := f.dial()
	if err != nil {
		return nil, err
	}
	f.all = append(f.all, c)
	return &frameConn{c, bufio.NewReaderSize(c, 4<<10), make([]byte, 256<<10)}, nil
}

// call sends a request and returns the bytes of its answer, which are valid until give.
func (f *frames) call(send func(c net.Conn) error) (err error) {
	c, err := f.take()
	if err != nil {
		return err
	}
	if err := send(c); err != nil {
		return err
	}
	head := make([]byte, frameHead)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	n := int(binary.LittleEndian.Uint32(head[4:]))
	if _, err := io.ReadFull(c.in, c.buf[:n]); err != nil {
		return err
	}
	if checksum(c.buf[:n]) != binary.LittleEndian.Uint32(head[8:]) {
		return errSum
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = append(f.idle, c)
	return nil
}

func (f *frames) get(size int) error {
	return f.call(func(c net.Conn) error {
		head := make([]byte, frameHead)
		head[0] = 'g'
		binary.LittleEndian.PutUint32(head[4:], uint32(size))
		_, err := c.Write(head)
		return err
	})
}

func (f *frames) put(b []byte) error {
	return f.call(func(c net.Conn) error { return sendFrame(c, 'p', b, unitSum(len(b))) })
}

func (f *frames) close() {
	errs := []error{f.listener.Close()}
	for _, c := range f.all {
		errs = append(errs, c.Close())
	}
	_ = errors.Join(errs...)
}
