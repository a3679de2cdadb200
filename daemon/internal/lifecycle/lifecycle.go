// Package lifecycle starts the services of a daemon in order and stops them in reverse order,
// each within a time limit, so that a service that hangs cannot prevent the daemon's end.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// DefaultLimit is how long a service may take to stop if it sets no limit.
const DefaultLimit = 15 * time.Second

// Service is a part of a daemon. Each of its functions may be nil.
type Service struct {
	Name string

	// Start returns when the service is ready for those that come after it. ctx
	// ends when the daemon is asked to stop meanwhile.
	Start func(ctx context.Context) error

	// Run works until ctx ends, and then returns nil or ctx's error. Any other error before that stops
	// the daemon; nil before that means that the service has nothing left to do.
	Run func(ctx context.Context) error

	// Stop ends the service gracefully: requests in flight may finish until ctx ends. It is called while Run still works, and Run's ctx ends after it. It is
	// not called for a service whose Start failed.
	Stop func(ctx context.Context) error

	// Limit bounds the stop, Stop and the end of Run together; 0 is DefaultLimit.
	Limit time.Duration
}

// Group holds the services of a daemon, in the order of their start.
type Group struct {
	log      *slog.Logger
	services []Service
}

// NewGroup returns an empty group.
func NewGroup(log *slog.Logger) *Group { return &Group{log: log} }

// Add appends a service. It must not be called after Run.
func (g *Group) Add(s Service) {
	if s.Limit == 0 {
		s.Limit = DefaultLimit
	}
	g.services = append(g.services, s)
}

// started is a service that must be stopped.
type started struct {
	Service
	cancel context.CancelFunc
	ended  chan struct{} // closed when Run has returned
}

// Run starts all services, waits until ctx ends or one of them fails, and stops them. It
// returns nil when ctx ended and all stopped without error, otherwise the first failure joined
// with the errors of stopping. Each error names its service. Call it once.
func (g *Group) Run(ctx context.Context) error {
	failed := make(chan error, len(g.services))
	var running []*started
	first := func() error {
		for _, s := range g.services {
			if err := ctx.Err(); err != nil {
				return nil
			}
			if s.Start != nil {
				if err := s.Start(ctx); err != nil {
					return failure(s, "start", err)
				}
			}
			running = append(running, launch(ctx, s, failed))
			g.log.Debug("service started", "service", s.Name)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		}
	}()
	if ctx.Err() != nil && errors.Is(first, ctx.Err()) {
		first = nil // the start was cancelled
	}
	errs := []error{first}
	for i := len(running) - 1; i >= 0; i-- {
		errs = append(errs, g.stop(context.WithoutCancel(ctx), running[i]))
	}
	return errors.Join(errs...)
}

func failure(s Service, what string, err error) error {
	return fmt.Errorf("%s of %s: %w", what, s.Name, err)
}

// launch runs the service with a context of its own, which stop cancels.
func launch(ctx context.Context, s Service, failed chan<- error) *started {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &started{Service: s, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(k.ended)
		if s.Run == nil {
			return
		}
		if err := s.Run(ctx); err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
			failed <- failure(s, "run", err)
		}
	}()
	return k
}

// stop ends one service. If it exceeds its limit it is abandoned, and a dump of all
// goroutines is logged to show the reason.
func (g *Group) stop(ctx context.Context, s *started) error {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		var err error
		if s.Stop != nil {
			err = s.Stop(ctx)
		}
		s.cancel()
		<-s.ended
		stopped <- err
	}()
	select {
	case err := <-stopped:
		g.log.Debug("service stopped", "service", s.Name)
		if err != nil {
			return failure(s.Service, "stop", err)
		}
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	select {
	case err := <-stopped: // the cancelled context ended it
		if err != nil {
			return failure(s.Service, "stop", err)
		}
		return nil
	case <-time.After(grace):
	}
	g.log.Error("service does not stop and is abandoned", "service", s.Name, "limit", s.Limit, "goroutines", string(stacks()))
	return failure(s.Service, "stop", fmt.Errorf("still running after %s", s.Limit))
}

// grace is how long a service may take to return after its limit.
const grace = time.Second

// stacks is a dump of all goroutines, cut at 1 MiB.
func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}
