package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

// Calls run functions of one call each on connections of one pool, and retry them where that is safe:
//
//   - a connection that turns out to be dead before anything was sent on it, or that the server ended before it executed
//     anything of what was sent, is replaced, for any call;
//   - a statement that the server refused because of what it had cached (a prepared statement or plan from
//     before a change of the schema), or because the server is read-only since a failover, had no effect: any
//     call is retried once, on a new connection;
//   - a call that changes nothing is retried once when its connection is lost.
//
// A change whose connection is lost after it was sent is not retried: it may have happened. Its
// error is Unavailable, which leaves the outcome open.
type Calls struct {
	pool    *pgxpool.Pool
	session *session
	opts    Options
	closed  *atomic.Bool
	outage  outage
	resets  atomic.Int64 // how often the pool was emptied; each connection keeps the count at which it was first used
}

// reconnectPause is the pause between two attempts to connect during the first part of an outage (Options.Reconnect):
// callers do not notice a restart that is shorter. Later calls of the outage fail at once.
const reconnectPause = 25 * time.Millisecond

// Pool is the pool of the connections.
func (k *Calls) Pool() *pgxpool.Pool { return k.pool }

// Pooled reports whether the connections lead to a pooler.
func (k *Calls) Pooled() bool { return k.session.pooled.Load() }

// Close ends all connections, once those in use are returned.
func (k *Calls) Close() { k.pool.Close() }

// Read runs f, which changes nothing.
func (k *Calls) Read(ctx context.Context, f func(*Conn) error) error { return k.lookUp(ctx, 0, f) }

// List is Read for listings, whose cost grows with the query: each of their
// statements has the limit of listings.
func (k *Calls) List(ctx context.Context, f func(*Conn) error) error {
	err := k.lookUp(ctx, k.opts.ListTimeout, f)
	if ctx.Err() == nil && isTooSlow(err) {
		return store.Errorf(store.Unavailable, "the listing took longer than %s: %w", k.opts.ListTimeout, err).
			WithHint("Ask for less at once: a narrower prefix, or a smaller page.")
	}
	return err
}

func (k *Calls) lookUp(ctx context.Context, limit time.Duration, f func(*Conn) error) error {
	most := k.opts.answerLimit(cmp.Or(limit, k.opts.StatementTimeout))
	err := k.attempt(ctx, limit, most, f)
	if ctx.Err() == nil && (isRefused(err) || isLost(err)) {
		err = k.attempt(ctx, limit, most, f)
	}
	return err
}

// Change runs f, one transaction that may change something. f must set all its results each time.
func (k *Calls) Change(ctx context.Context, f func(*Conn) error) error {
	err := k.attempt(ctx, 0, k.opts.ChangeLimit(), f)
	if ctx.Err() == nil && (isRefused(err) || pgconn.SafeToRetry(err) || isUnstarted(err)) {
		err = k.attempt(ctx, 0, k.opts.ChangeLimit(), f)
	}
	return err
}

// resetsKey is the key of a connection's count of resets at its first use.
const resetsKey = "ringstore.resets"

// attempt runs f on a connection of the pool, each of its statements within the limit (0: the store's), and all
// within the most (0: unlimited). When a connection is broken or stale, all connections of its age are closed:
// after a restart of the server all of them are dead, after a change of the schema all are stale.
func (k *Calls) attempt(ctx context.Context, limit, most time.Duration, f func(*Conn) error) error {
	pooled, err := k.acquire(ctx)
	if err != nil {
		return err
	}
	data := pooled.Conn().PgConn().CustomData()
	since, ok := data[resetsKey].(int64)
	if !ok {
		since = k.resets.Load()
		data[resetsKey] = since
	}
	c := lend(pooled, k.session.before(limit), most)
	defer c.release()
	err = c.started(f(c))
	if err != nil && ctx.Err() == nil && (IsAway(err) || isRefused(err)) && k.resets.CompareAndSwap(since, since+1) {
		k.pool.Reset()
	}
	return err
}

// acquire takes a connection from the pool, waiting a bounded time for one. Nothing was sent when it fails.
func (k *Calls) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, k.opts.AcquireTimeout)
	defer cancel()
	for {
		if k.closed.Load() {
			return nil, ErrClosed
		}
		began := time.Now()
		c, err := k.pool.Acquire(bounded)
		switch {
		case err == nil:
			k.outage.end()
			return c, nil
		case k.closed.Load():
			return nil, ErrClosed
		case errors.Is(err, errPooled):
			continue // the next one is configured for a pooler
		case bounded.Err() != nil && ctx.Err() == nil && k.pool.Stat().AcquiredConns() == k.pool.Config().MaxConns:
			return nil, fmt.Errorf("%w: %d for %s", errBusy, k.pool.Config().MaxConns, k.opts.AcquireTimeout)
		case bounded.Err() != nil || !IsAway(err) || k.outage.age(began) >= k.opts.Reconnect:
			return nil, &unmade{err}
		}
		if wait.For(bounded, reconnectPause) != nil {
			return nil, &unmade{err}
		}
	}
}

// outage is the time since the database was first found not to take connections. Safe for concurrent use.
type outage struct{ since atomic.Pointer[time.Time] }

// age is how long the outage has lasted. It begins with the first attempt that fails.
func (o *outage) age(attempt time.Time) time.Duration {
	if o.since.Load() == nil {
		o.since.CompareAndSwap(nil, &attempt)
	}
	if since := o.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0 // it has just ended
}

// end is called whenever a connection was made.
func (o *outage) end() {
	if o.since.Load() != nil {
		o.since.Store(nil)
	}
}
