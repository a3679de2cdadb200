package client

import (
	"errors"
	"io"
	"sync"

	"github.com/ringstore/ringstore/ctl/fault"
)

// source is a request body that remembers why it failed, and that can be taken
// away from the HTTP library, which may go on reading after it has returned.
type source struct {
	mu     sync.Mutex // held while r is read; guards all below
	r      io.Reader
	err    error
	gone   bool
	atEnd  func()
	cancel func() // unblocks a read of r; may be nil
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return 0, io.ErrClosedPipe
	}
	n, err := s.r.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		if s.atEnd != nil {
			s.atEnd()
		}
	default:
		s.err = err
	}
	return n, err
}

// Close implements io.Closer: the library needs no more. What is read stays the caller's to close.
func (s *source) Close() error {
	if s.cancel != nil {
		s.cancel()
	}
	return nil
}

// failure is the *fault.Error that reading ended with, or nil.
func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := errors.AsType[*fault.Error](s.err); ok {
		return e
	}
	return nil
}

// release waits for a read under way; none comes after it.
func (s *source) release() {
	_ = s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}
