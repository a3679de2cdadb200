// Package retry repeats operations on a server that is not reachable, or not able to serve, at present.
package retry

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

// Policy is how long operations are retried. The zero value tries once. Copies share Contact.
type Policy struct {
	Wait     time.Duration // how long to wait for a server that was never reached
	Patience time.Duration // how long to retry without any success once it was reached
	Tries    int           // the most attempts of an operation; 0: as many as fit
	Initial  time.Duration // roughly the first pause; each further pause is twice as long
	Max      time.Duration // the longest pause, unless the server asks for a longer one
	Notify   func(Event)   // receives failures and recoveries, concurrently; may be nil
	Contact  *atomic.Int64 // when an operation of any copy last succeeded, in Unix nanoseconds; nil: not recorded
}

// Event is a failure of an operation that will be retried, or with a nil Err its success after failures.
type Event struct {
	Err   error
	Pause time.Duration // before the next attempt
	Limit time.Duration // how long the operation is retried at most
}

// The defaults of --wait, and of the patience after the first contact: a restart of the server and a failover of its database
// are shorter.
const (
	DefaultWait     = 10 * time.Second
	DefaultPatience = 5 * time.Minute
)

// damaged is how often bytes are transferred that arrive damaged each time.
const damaged = 6

// After returns the policy that waits so long before the first contact, and not less than five minutes after it; 0 waits neither
// time.
func After(wait time.Duration) Policy {
	p := Policy{Wait: wait, Initial: 200 * time.Millisecond, Max: 2 * time.Second, Contact: new(atomic.Int64)}
	if wait > 0 {
		p.Patience = max(wait, DefaultPatience)
	}
	return p
}

// Do runs op until it succeeds, fails permanently, or the policy's time or tries are used up, and returns its last error. It
// retries temporary errors: an unreachable server or network, and bytes damaged in transit; op must be idempotent. It waits as
// long as the server's Retry-After says; other pauses are randomized, so that many clients do not return at the same moment.
func (p Policy) Do(ctx context.Context, op func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = p.Initial, 2, p.Max
	var since time.Time // the time of the first failure
	for failures := 1; ; failures++ {
		err := op()
		if err == nil {
			p.succeeded(failures > 1)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failures == 1 {
			since = time.Now()
		}
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || !Temporary(e.Kind) || p.tried(e.Kind, failures) {
			return err
		}
		limit, left := p.left(since)
		if left <= 0 {
			return err
		}
		pause := min(cmp.Or(e.RetryAfter, pauses.NextBackOff()), left)
		p.notify(Event{Err: err, Pause: pause, Limit: limit})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Try is Policy.Do for an operation with a result; it returns that of the last attempt.
func Try[T any](ctx context.Context, p Policy, op func() (T, error)) (result T, err error) {
	err = p.Do(ctx, func() (err error) {
		result, err = op()
		return err
	})
	return result, err
}

func (p Policy) succeeded(afterFailures bool) {
	if p.Contact != nil {
		p.Contact.Store(time.Now().UnixNano())
	}
	if afterFailures {
		p.notify(Event{})
	}
}

func (p Policy) notify(e Event) {
	if p.Notify != nil {
		p.Notify(e)
	}
}

// tried reports whether the attempts are used up, however much time is left.
func (p Policy) tried(kind problem.Kind, failures int) bool {
	return p.Tries > 0 && failures >= p.Tries || kind == problem.Corrupt && failures >= damaged
}

// left returns for how long an operation that first failed at since is retried in all, and from now on. While other operations
// succeed the server is reachable: Patience then counts from their last success.
func (p Policy) left(since time.Time) (limit, left time.Duration) {
	contact := int64(0)
	if p.Contact != nil {
		contact = p.Contact.Load()
	}
	if contact == 0 {
		return p.Wait, p.Wait - time.Since(since)
	}
	if last := time.Unix(0, contact); last.After(since) {
		since = last
	}
	return p.Patience, p.Patience - time.Since(since)
}

// Temporary reports whether a retry may succeed where an operation failed with this kind.
func Temporary(kind problem.Kind) bool {
	switch kind {
	case problem.Unavailable, problem.NoQuorum, problem.Corrupt,
		problem.OutcomeUnknown, // all operations retried here are idempotent: they name an id, or write the same bytes again
		problem.Canceled:       // the server's code for a body that ended early; a canceled context here is not a fault.Error
		return true
	}
	return false
}
