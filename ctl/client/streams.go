package client

import (
	"errors"
	"io"
	"sync"

	"github.com/ringstore/ringstore/ctl/fault"
)

// source is a request body that records its read error, and that can be detached from the HTTP library, which may
// keep reading after it has returned.
type source struct {
	mu       sync.Mutex // held while r is read; guards all below
	r        io.Reader
	err      error
	detached bool
	atEnd    func()
	cancel   func() // unblocks a read of r; may be nil
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detached {
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

// Close implements io.Closer for the HTTP library. The underlying reader remains the caller's to close.
func (s *source) Close() error {
	if s.cancel != nil {
		s.cancel()
	}
	return nil
}

// failure returns the *fault.Error that reading ended with, or nil.
func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := errors.AsType[*fault.Error](s.err); ok {
		return e
	}
	return nil
}

// release waits for a read in progress; no read starts after it.
func (s *source) release() {
	_ = s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = true
}
