package rpc

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// call is the context of an admitted call. It holds the call's share of the quotas until
// the call ends, and ends the call when its request does not arrive in time or its stream
// is idle for too long.
type call struct {
	context.Context // ends with the cause errSlow or errIdle when a limit is reached
	end             context.CancelCauseFunc
	refused         error         // the answer of a call that was admitted only to be refused; see refuse
	idle            time.Duration // between two frames of a stream; 0: no limit

	client   netip.Addr
	held     *Quota // until the call ends
	arriving *Quota // until the request has arrived; nil: not counted
	arrival  sync.Once

	timer *time.Timer // ends the call; stopped by arrived
	whole bool        // the timer bounds the whole call, not only the arrival of its request
}

var (
	errSlow = WithCode(codes.DeadlineExceeded, store.Errorf(store.Unavailable, "the request did not arrive in time").
		WithHint("Check whether the network between the two hosts is overloaded."))
	errBusy = WithCode(codes.Unavailable, store.Errorf(store.Unavailable, "too many calls are in progress here").
		WithHint("Try again in a second. The limits are listed in docs/security.md."))
	errIdle = WithCode(codes.DeadlineExceeded, store.Errorf(store.Unavailable, "the stream was idle for too long and was ended").
		WithHint("Send again; check whether the other end is stopped or overloaded."))
)

// newCall returns the context of a call under ctx whose request must arrive within wait.
func newCall(ctx context.Context, client netip.Addr, wait time.Duration) *call {
	c := &call{client: client}
	c.Context, c.end = context.WithCancelCause(ctx)
	c.timer = time.AfterFunc(wait, func() { c.end(errSlow) })
	return c
}

// within takes the call's share of both quotas: held until the call ends, arriving (nil:
// none) until its request has arrived. If one is exhausted it ends the call: Unavailable.
func (c *call) within(arriving, held *Quota) error {
	if !held.take(c.client) {
		c.timer.Stop()
		c.end(errBusy)
		return errBusy
	}
	c.held = held
	if arriving != nil && arriving.take(c.client) {
		c.arriving = arriving
	} else if arriving != nil {
		held.give(c.client)
		c.timer.Stop()
		c.end(errBusy)
		return errBusy
	}
	context.AfterFunc(c.Context, c.release)
	return nil
}

// release returns what within took.
func (c *call) release() {
	c.timer.Stop()
	c.returned()
	c.held.give(c.client)
}

// arrived is called when the request, or the first frame of a stream, has arrived.
func (c *call) arrived() {
	if !c.whole {
		c.timer.Stop()
	}
	c.returned()
}

// returned returns the share of arriving requests, once.
func (c *call) returned() {
	if c.arriving != nil {
		c.arrival.Do(func() { c.arriving.give(c.client) })
	}
}

// Err is DeadlineExceeded if a limit ended the call, so that gRPC's own answer has that code.
func (c *call) Err() error {
	err := c.Context.Err()
	if err != nil && c.reached() != nil {
		return context.DeadlineExceeded
	}
	return err
}

// reached is the limit that ended the call, or nil.
func (c *call) reached() error {
	cause := context.Cause(c.Context)
	if errors.Is(cause, errSlow) || errors.Is(cause, errIdle) {
		return cause
	}
	return nil
}

type callKey struct{}

// Value returns the call itself for callOf.
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// callOf is the call whose context ctx comes from.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// timedStream ends a stream that is idle for too long. It is used by one goroutine at a time.
type timedStream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // that of the call, which a stream has
	call  *call
	idle  time.Duration // between two frames; 0: no limit
	timer *time.Timer   // nil before the second frame
}

// Context implements grpc.ServerStream.
func (s *timedStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *timedStream) RecvMsg(m any) error {
	defer s.timed()()
	if _, ok := m.(UnitMessage); ok {
		return s.ServerStream.RecvMsg(m)
	}
	return receiveControl(s.ServerStream.RecvMsg, m)
}

// SendMsg implements grpc.ServerStream.
func (s *timedStream) SendMsg(m any) error {
	defer s.timed()()
	return s.ServerStream.SendMsg(m)
}

// timed limits the time until the returned function is called. The limit of the first frame
// is that of its arrival, which began with the call.
func (s *timedStream) timed() (done func()) {
	switch {
	case s.idle == 0:
		return s.call.arrived
	case s.timer == nil:
		s.timer = time.AfterFunc(s.idle, func() { s.call.end(errIdle) })
		s.timer.Stop()
		return s.call.arrived
	}
	s.timer.Reset(s.idle)
	return func() { s.timer.Stop() }
}
