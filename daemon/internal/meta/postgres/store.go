package postgres

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Options tune a Store. Zero fields take the defaults.
type Options struct {
	MaxConns         int           // 16; a pool_max_conns in the DSN goes before it
	ControlConns     int           // 3: connections beyond those, for the calls that keep the cluster together
	StatementTimeout time.Duration // 15 s: the server ends a statement after that; a statement_timeout in the DSN goes before it
	ListTimeout      time.Duration // 3 s: the same for a statement of a listing
	ConnectTimeout   time.Duration // 3 s for making one connection
	AcquireTimeout   time.Duration // 5 s for waiting for a free connection
	Reconnect        time.Duration // 1 s from the begin of an outage in which calls wait for connections to be taken again
	DeadPeer         time.Duration // 12 s without an answer of its kernel, and a server counts as vanished; 2 s at least
	Log              *slog.Logger  // nil: nothing is logged
}

func (o Options) withDefaults() Options {
	if o.MaxConns <= 0 {
		o.MaxConns = 16
	}
	if o.ControlConns <= 0 {
		o.ControlConns = 3
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&o.StatementTimeout, 15 * time.Second},
		{&o.ListTimeout, 3 * time.Second},
		{&o.ConnectTimeout, 3 * time.Second},
		{&o.AcquireTimeout, 5 * time.Second},
		{&o.Reconnect, time.Second},
		{&o.DeadPeer, 12 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// answerLimit is how long to wait for the answer to a statement with that limit, for a server that vanished gives none;
// 0: for ever.
func (o Options) answerLimit(limit time.Duration) time.Duration {
	if limit == 0 {
		return 0
	}
	return limit + o.AcquireTimeout
}

// changeLimit is the same for a change: two of its statements may have to wait for others.
func (o Options) changeLimit() time.Duration { return o.answerLimit(2 * o.StatementTimeout) }

// noLimit is the limit of a group of commits where the server has none.
const noLimit = 24 * time.Hour

// Store keeps the metadata in PostgreSQL. It implements store.Metadata.
//
// An acknowledged change is as durable as the server makes it: no statement
// runs with synchronous_commit off, and Open warns when the server itself has
// fsync or full_page_writes off.
type Store struct {
	*calls           // of clients
	control *calls   // of what keeps the cluster together: membership, leases, keys, Ping. No client's call makes them wait
	q       *queries // the statements
	group   *committer
	closing atomic.Bool
}

var _ store.Metadata = (*Store)(nil)

// Open connects to the database that dsn names (a postgres:// URL or key=value
// pairs, several hosts allowed, PgBouncer in any mode between) and brings its schema up to date, which is safe
// while other gateways do the same or are at work. How the connection is protected is logged. The caller must Close it.
// Errors: Invalid (dsn), Unavailable, Conflict (schema of a newer release).
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	s, err := open(ctx, dsn, o)
	return s, translate(ctx, "Open", err)
}

func open(ctx context.Context, dsn string, o Options) (_ *Store, err error) {
	o = o.withDefaults()
	s := new(Store)
	if s.q, err = loadQueries(); err != nil {
		return nil, err
	}
	cfg, settings, err := poolConfig(dsn, o)
	if err != nil {
		return nil, err
	}
	o.StatementTimeout = settings.limit
	defer func() {
		if err != nil {
			s.closePools()
		}
	}()
	if s.calls, err = s.newCalls(ctx, cfg, settings, o); err != nil {
		return nil, err
	}
	few := cfg.Copy()
	few.MaxConns, few.MinConns = int32(o.ControlConns), 0
	if s.control, err = s.newCalls(ctx, few, settings, o); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, o); err != nil {
		return nil, err
	}
	s.group = newCommitter(cmp.Or(o.changeLimit(), noLimit), s.commitRows)
	return s, nil
}

func (s *Store) newCalls(ctx context.Context, cfg *pgxpool.Config, settings *session, o Options) (*calls, error) {
	pool, err := newPool(ctx, cfg, settings)
	if err != nil {
		return nil, err
	}
	return &calls{pool: pool, session: settings, opts: o, closed: &s.closing}, nil
}

// prepare makes the first connections, and brings the database to where calls can begin.
func (s *Store) prepare(ctx context.Context, o Options) error {
	c, err := s.calls.acquire(ctx)
	if err != nil {
		return err
	}
	report(ctx, c.Conn(), s.session, o.Log)
	c.Release()
	if err := migrate(ctx, s.pool, s.session); err != nil {
		return err
	}
	if _, err := s.pool.Exec(ctx, s.q.EnsureCluster, store.NewClusterID()); err != nil {
		return err
	}
	if err := warnOfRisks(ctx, s.pool, o.Log); err != nil {
		return err
	}
	return s.control.read(ctx, "Open", func(c *conn) error { return c.Ping(ctx) })
}

// Ping implements store.Metadata.
func (s *Store) Ping(ctx context.Context) error {
	return s.control.read(ctx, "Ping", func(c *conn) error { return c.Ping(ctx) })
}

// Close implements store.Metadata. It waits for the calls that are in progress,
// at most as long as a statement may take.
func (s *Store) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.group.close()
	s.closePools()
	return nil
}

func (s *Store) closePools() {
	for _, k := range []*calls{s.calls, s.control} {
		if k != nil {
			k.pool.Close()
		}
	}
}
