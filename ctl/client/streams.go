package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

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

// sink is an answer's body that gives up when nothing comes any more, and takes
// an early end for the error that it is.
type sink struct {
	c        *Client
	ctx      context.Context //nolint:containedctx // the answer's own, ended by Close
	cancel   context.CancelCauseFunc
	watchdog *time.Timer
	body     io.ReadCloser
	left     int64 // bytes still to come; < 0 when the server did not say
}

// Read implements io.Reader.
func (s *sink) Read(p []byte) (int, error) {
	s.watchdog.Reset(s.c.stall)
	n, err := s.body.Read(p)
	if s.left >= 0 {
		s.left -= int64(n)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && s.left <= 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, s.c.translate(s.ctx, err)
}

// Close implements io.Closer.
func (s *sink) Close() error {
	s.watchdog.Stop()
	s.cancel(nil)
	return s.body.Close()
}
