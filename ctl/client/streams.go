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
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detached {
		return 0, io.ErrClosedPipe
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = true
}
