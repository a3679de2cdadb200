package rpc

import (
	"net"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/connlimit"
)

// splitter is a listener that passes the connections which begin with the magic of a port to that port, and returns the others.
type splitter struct {
	*connlimit.Listener
	port   Port
	others chan net.Conn
	failed chan error // of accepting; one

	mu      sync.Mutex // guards what follows
	sorting map[*connlimit.Conn]struct{}
	ended   chan struct{} // closed by Close
	closed  bool
}

// split starts to accept connections of l.
func split(l *connlimit.Listener, port Port) *splitter {
	s := &splitter{
		Listener: l, port: port, others: make(chan net.Conn), failed: make(chan error, 1),
		sorting: map[*connlimit.Conn]struct{}{}, ended: make(chan struct{}),
	}
	go s.accept()
	return s
}

func (s *splitter) accept() {
	for {
		raw, err := s.Listener.Accept()
		if err != nil {
			s.failed <- err
			return
		}
		c := raw.(*connlimit.Conn)
		s.mu.Lock()
		s.sorting[c] = struct{}{}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			_ = c.Close()
			continue
		}
		go s.sort(c)
	}
}

// sort reads as much of a connection as is needed to tell the protocols apart, within the time that gRPC gives to a preface.
func (s *splitter) sort(c *connlimit.Conn) {
	magic := s.port.Magic()
	_ = c.SetReadDeadline(time.Now().Add(handshakeLimit)) // if that fails, so does the read
	begin, err := c.Peek(len(magic))
	s.mu.Lock()
	delete(s.sorting, c)
	s.mu.Unlock()
	switch {
	case err != nil:
		_ = c.Close()
	case string(begin) == magic:
		c.Skip(len(magic))
		s.port.Serve(c)
	default:
		select {
		case s.others <- c:
		case <-s.ended:
			_ = c.Close()
		}
	}
}

// Accept implements net.Listener.
func (s *splitter) Accept() (net.Conn, error) {
	select {
	case c := <-s.others:
		return c, nil
	case err := <-s.failed:
		return nil, err
	}
}

// Close implements net.Listener.
func (s *splitter) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ended)
	}
	for c := range s.sorting {
		_ = c.Close()
	}
	s.mu.Unlock()
	return s.Listener.Close()
}
