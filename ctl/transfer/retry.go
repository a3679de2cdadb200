package transfer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/ringstore/ringstore/ctl/fault"
)

// Retry says how often and how patiently an operation is tried. The zero value
// tries once. Copies share what they know of the server.
type Retry struct {
	Tries    int           // in all, while the server was never reached, and for bytes that arrive damaged; at least 1
	Patience time.Duration // how long to go on once it was, while nothing succeeds; 0: Tries hold then too
	Initial  time.Duration // about the first pause; each further one is twice as long
	Max      time.Duration // the longest pause, unless the server asks for a longer one
	Notify   func(err error, pause time.Duration)
	Success  *atomic.Int64 // when an operation of any copy succeeded last, in Unix nanoseconds; nil: nobody remembers
}

// DefaultRetry gives up within seconds on a server that is not there, and rides
// out one that goes away in the middle of the work for five minutes.
func DefaultRetry() Retry {
	return Retry{Tries: 6, Patience: 5 * time.Minute, Initial: 300 * time.Millisecond, Max: 5 * time.Second, Success: new(atomic.Int64)}
}

// Do runs op until it succeeds, fails for good, or was tried often enough, and
// returns its last error. It tries again after what may pass by itself: a server or
// network away, and bytes that were damaged on the way. A server's Retry-After is
// kept; other pauses are spread at random, so that many clients do not come back at once.
func (r Retry) Do(ctx context.Context, op func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = r.Initial, 2, r.Max
	var last error
	var failing time.Time // since when
	failures := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if last = op(); last == nil {
			if r.Success != nil {
				r.Success.Store(time.Now().UnixNano())
			}
			return struct{}{}, nil
		}
		if failures++; failures == 1 {
			failing = time.Now()
		}
		if r.spent(last, failures, failing) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, judge(last)
	},
		backoff.WithBackOff(pauses),
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(_ error, pause time.Duration) {
			if r.Notify != nil {
				r.Notify(last, pause)
			}
		}),
	)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return last
}

// spent says whether there were tries enough. As long as others succeed, it is
// not the server that is away: then time counts from their last success.
func (r Retry) spent(err error, failures int, since time.Time) bool {
	if r.Patience == 0 || r.Success == nil || r.Success.Load() == 0 || fault.KindOf(err) == "corrupt" {
		return failures >= max(r.Tries, 1)
	}
	if last := time.Unix(0, r.Success.Load()); last.After(since) {
		since = last
	}
	return time.Since(since) > r.Patience
}

// judge says in the library's words whether err may pass by itself.
func judge(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case err == nil:
		return nil
	case !ok || !passing(e):
		return backoff.Permanent(err)
	case e.RetryAfter > 0:
		return &backoff.RetryAfterError{Duration: e.RetryAfter}
	}
	return err
}

// passing reports whether another try may end better.
func passing(e *fault.Error) bool {
	switch e.Kind {
	case "unavailable", "no_quorum", "corrupt",
		"outcome_unknown", // what is retried here may be repeated: it names an id, or replaces the same bytes
		"canceled":        // the server's word for a body that stopped coming; our own end is the context's error
		return true
	}
	return false
}
