package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Options tune a Store. Zero fields take the defaults.
type Options struct {
	MaxConns         int           // 16; a pool_max_conns in the DSN goes before it
	StatementTimeout time.Duration // 15 s: the server gives up on a statement after that
	ConnectTimeout   time.Duration // 3 s for making one connection
	AcquireTimeout   time.Duration // 5 s for waiting for a free connection
	Log              *slog.Logger  // nil: nothing is logged
}

func (o Options) withDefaults() Options {
	if o.MaxConns <= 0 {
		o.MaxConns = 16
	}
	if o.StatementTimeout <= 0 {
		o.StatementTimeout = 15 * time.Second
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 3 * time.Second
	}
	if o.AcquireTimeout <= 0 {
		o.AcquireTimeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store keeps the metadata in PostgreSQL. It implements store.Metadata.
//
// An acknowledged change is as durable as the server makes it: sessions never
// run with synchronous_commit off, and Open warns when the server itself has
// fsync or full_page_writes off.
type Store struct {
	pool   *pgxpool.Pool
	q      *queries
	opts   Options
	group  *committer
	closed atomic.Bool
}

var _ store.Metadata = (*Store)(nil)

// Open connects to the database that dsn names (a postgres:// URL or key=value
// pairs, several hosts allowed) and brings its schema up to date, which is safe
// while other gateways do the same or are at work. The caller must Close it.
// Errors: Invalid (dsn), Unavailable, Conflict (schema of a newer release).
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	s, err := open(ctx, dsn, o)
	return s, translate(ctx, "Open", err)
}

func open(ctx context.Context, dsn string, o Options) (_ *Store, err error) {
	o = o.withDefaults()
	q, err := loadQueries()
	if err != nil {
		return nil, err
	}
	pool, err := newPool(ctx, dsn, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := migrate(ctx, pool); err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, q.EnsureCluster, store.NewClusterID()); err != nil {
		return nil, err
	}
	if err := warnOfRisks(ctx, pool, o.Log); err != nil {
		return nil, err
	}
	s := &Store{pool: pool, q: q, opts: o}
	s.group = newCommitter(2*o.StatementTimeout+o.AcquireTimeout, s.commitRows)
	return s, nil
}

// Ping implements store.Metadata.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "Ping", func(c *conn) error { return c.Ping(ctx) })
}

// Close implements store.Metadata. It waits for the calls that are under way,
// at most as long as a statement may take.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.group.close()
	s.pool.Close()
	return nil
}

// conn is a connection as calls get it.
type conn = pgxpool.Conn

// read runs f, which changes nothing, and once more if the connection turns out to be dead.
func (s *Store) read(ctx context.Context, op string, f func(*conn) error) error {
	err := s.attempt(ctx, f)
	if err != nil && ctx.Err() == nil && isAway(err) && !errors.Is(err, errBusy) {
		if _, unmade := errors.AsType[*pgconn.ConnectError](err); !unmade {
			err = s.attempt(ctx, f)
		}
	}
	return translate(ctx, op, err)
}

// write runs f, one transaction, and again while others are in its way. f must
// set all it hands out anew each time.
func (s *Store) write(ctx context.Context, op string, f func(*conn) error) error {
	return translate(ctx, op, s.untilNoCollision(ctx, f))
}

const (
	maxAttempts = 24
	maxBackoff  = 64 * time.Millisecond
)

// untilNoCollision repeats f with growing, random pauses. What never reached the server is repeated once.
func (s *Store) untilNoCollision(ctx context.Context, f func(*conn) error) error {
	pause, unsent := time.Millisecond, false
	for n := 1; ; n++ {
		err := s.attempt(ctx, f)
		switch {
		case err == nil:
			return nil
		case !unsent && pgconn.SafeToRetry(err) && ctx.Err() == nil:
			unsent = true
			continue
		case n == maxAttempts || !isCollision(err):
			return err
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, maxBackoff)
	}
}

// attempt runs f on a connection of the pool. A connection that broke takes the
// idle ones with it: after a restart of the server all of them are dead.
func (s *Store) attempt(ctx context.Context, f func(*conn) error) error {
	c, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	err = f(c)
	if err != nil && ctx.Err() == nil && isAway(err) {
		s.pool.Reset()
	}
	return err
}

// acquire takes a connection from the pool, waiting a bounded time for one.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if s.closed.Load() {
		return nil, errClosed
	}
	bounded, cancel := context.WithTimeout(ctx, s.opts.AcquireTimeout)
	defer cancel()
	c, err := s.pool.Acquire(bounded)
	switch {
	case err == nil:
		return c, nil
	case s.closed.Load():
		return nil, errClosed
	case bounded.Err() != nil && ctx.Err() == nil && s.pool.Stat().AcquiredConns() == s.pool.Config().MaxConns:
		return nil, fmt.Errorf("%w: %d for %s", errBusy, s.opts.MaxConns, s.opts.AcquireTimeout)
	}
	return nil, err
}

// exec runs one statement that changes something.
func (s *Store) exec(ctx context.Context, op, sql string, args ...any) (changed int64, err error) {
	err = s.write(ctx, op, func(c *conn) error {
		tag, err := c.Exec(ctx, sql, args...)
		changed = tag.RowsAffected()
		return err
	})
	return changed, err
}

// pipeline sends the batch as one round trip and one transaction. Its rows are read by the
// functions that were given to QueuedQuery.
func pipeline(ctx context.Context, c *conn, b *pgx.Batch) error {
	return c.SendBatch(ctx, b).Close()
}
