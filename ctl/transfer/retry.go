package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/ringstore/ringstore/ctl/fault"
)

// Retry says how often and how patiently an operation is tried. The zero value
// tries once.
type Retry struct {
	Tries   int           // in all; at least 1
	Initial time.Duration // about the first pause; each further one is twice as long
	Max     time.Duration // the longest pause, unless the server asks for a longer one
	Notify  func(err error, pause time.Duration)
}

// DefaultRetry rides out the restart of a gateway.
func DefaultRetry() Retry {
	return Retry{Tries: 6, Initial: 300 * time.Millisecond, Max: 5 * time.Second}
}

// Do runs op until it succeeds, fails for good, or was tried often enough, and
// returns its last error. It tries again after what may pass by itself: a server or
// network away, and bytes that were damaged on the way. A server's Retry-After is
// kept; other pauses are spread at random, so that many clients do not come back at once.
func (r Retry) Do(ctx context.Context, op func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = r.Initial, 2, r.Max
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = op()
		return struct{}{}, judge(last)
	},
		backoff.WithBackOff(pauses),
		backoff.WithMaxTries(uint(max(r.Tries, 1))), //nolint:gosec // is positive
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
	case "unavailable", "no_quorum", "corrupt":
		return true
	}
	return false
}
