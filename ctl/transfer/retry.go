package transfer

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Retry is the retry policy of an operation. The zero value tries once. Copies share Success.
type Retry struct {
	Tries    int           // attempts while the server was never reached, and for bytes that arrive damaged; at least 1
	Patience time.Duration // how long to retry without any success once it was reached; 0: Tries applies then too
	Initial  time.Duration // roughly the first pause; each further pause is twice as long
	Max      time.Duration // the longest pause, unless the server asks for a longer one
	Notify   Notify        // may be nil
	Success  *atomic.Int64 // when an operation of any copy last succeeded, in Unix nanoseconds; nil: not recorded
}

// Notify is called before each retry, with the error of the last attempt.
type Notify func(err error, pause time.Duration)

// DefaultRetry stops within seconds if the server was never reached, and retries for five minutes if it becomes
// unreachable later.
func DefaultRetry() Retry {
	return Retry{Tries: 6, Patience: 5 * time.Minute, Initial: 300 * time.Millisecond, Max: 5 * time.Second, Success: new(atomic.Int64)}
}

// Do runs op until it succeeds, fails permanently, or its tries are used up, and returns its last error. It retries
// temporary errors: an unreachable server or network, and bytes damaged in transit. It waits as long as the server's
// Retry-After says; other pauses are randomized, so that many clients do not return at the same moment.
func (r Retry) Do(ctx context.Context, op func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = r.Initial, 2, r.Max
	var since time.Time // the time of the first failure
	for failures := 1; ; failures++ {
		err := op()
		if err == nil {
			if r.Success != nil {
				r.Success.Store(time.Now().UnixNano())
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failures == 1 {
			since = time.Now()
		}
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || !retryable(e) || r.spent(e.Kind, failures, since) {
			return err
		}
		pause := cmp.Or(e.RetryAfter, pauses.NextBackOff())
		if r.Notify != nil {
			r.Notify(err, pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Try is Retry.Do for an operation with a result; it returns that of the last attempt.
func Try[T any](ctx context.Context, r Retry, op func() (T, error)) (result T, err error) {
	err = r.Do(ctx, func() (err error) {
		result, err = op()
		return err
	})
	return result, err
}

// spent reports whether the tries are used up. While other operations succeed, the server is reachable:
// Patience then counts from their last success.
func (r Retry) spent(kind problem.Kind, failures int, since time.Time) bool {
	if r.Patience == 0 || r.Success == nil || r.Success.Load() == 0 || kind == problem.Corrupt {
		return failures >= max(r.Tries, 1)
	}
	if last := time.Unix(0, r.Success.Load()); last.After(since) {
		since = last
	}
	return time.Since(since) > r.Patience
}

// retryable reports whether a retry may succeed.
func retryable(e *fault.Error) bool {
	switch e.Kind {
	case problem.Unavailable, problem.NoQuorum, problem.Corrupt,
		problem.OutcomeUnknown, // all operations retried here are idempotent: they name an id, or write the same bytes again
		problem.Canceled:       // the server's code for a body that ended early; a canceled context here is not a fault.Error
		return true
	}
	return false
}
