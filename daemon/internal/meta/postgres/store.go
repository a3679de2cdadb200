package postgres

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/control"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/group"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/queue"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Options tune a Store. Zero fields take the defaults.
type Options = link.Options

// noLimit is the limit of a group of commits where the server has none.
const noLimit = 24 * time.Hour

// Store keeps the metadata in PostgreSQL. It implements store.Metadata.
//
// An acknowledged change is as durable as the server makes it: no statement
// runs with synchronous_commit off, and Open warns when the server itself has
// fsync or full_page_writes off.
type Store struct {
	*control.Store
	*queue.Queues
	clients   db.Calls
	control   db.Calls    // of the control plane: membership, leases, keys, jobs, Ping. They never wait for calls of clients
	q         *db.Queries // the statements
	group     *group.Committer[objectName, *fileRow, outcome]
	deletions *group.Committer[deletionName, *store.Deletion, removal]
	closing   atomic.Bool
}

var _ store.Metadata = (*Store)(nil)

// Open connects to the database that dsn names (a postgres:// URL or key=value
// pairs, several hosts allowed, PgBouncer in any mode between) and brings its schema up to date, which is safe
// while other gateways do the same or are at work. How the connection is protected is logged. The caller must Close it.
// Errors: Invalid (dsn), Unavailable, Conflict (schema of a newer release).
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	s, err := open(ctx, dsn, o)
	return s, db.Translate(ctx, "Open", err)
}

func open(ctx context.Context, dsn string, o Options) (_ *Store, err error) {
	s := new(Store)
	if s.q, err = db.Load(); err != nil {
		return nil, err
	}
	address, err := link.Parse(dsn, o)
	if err != nil {
		return nil, err
	}
	o = address.Options()
	defer func() {
		if err != nil {
			s.closePools()
		}
	}()
	if s.clients.On, err = address.Calls(ctx, &s.closing); err != nil {
		return nil, err
	}
	if s.control.On, err = address.Control(ctx, &s.closing); err != nil {
		return nil, err
	}
	s.Store, s.Queues = control.New(s.control, s.q), queue.New(s.clients, s.q)
	if err := s.prepare(ctx, address); err != nil {
		return nil, err
	}
	limit := cmp.Or(o.ChangeLimit(), noLimit)
	s.group = group.New(limit, nameOf, s.commitRows)
	s.deletions = group.New(limit, nameOfDeletion, s.deleteGroup)
	return s, nil
}

// prepare makes the first connections, and brings the database to where calls can begin.
func (s *Store) prepare(ctx context.Context, address *link.Address) error {
	log := address.Options().Log
	if err := s.clients.On.Report(ctx, log); err != nil {
		return err
	}
	if err := db.Migrate(ctx, s.clients.On.Pool(), address); err != nil {
		return err
	}
	if _, err := s.clients.On.Pool().Exec(ctx, s.q.EnsureCluster, store.NewClusterID()); err != nil {
		return err
	}
	if err := s.clients.On.WarnOfRisks(ctx, log); err != nil {
		return err
	}
	return s.announce(ctx, address.Options())
}

// announce lists the gateway, from the first moment in which it relies on the schema.
func (s *Store) announce(ctx context.Context, o Options) error {
	if o.Gateway == "" {
		return s.control.Read(ctx, "Open", func(c *db.Conn) error { return c.Ping(ctx) })
	}
	if err := s.BeatGateway(ctx, o.Gateway, o.Version); err != nil {
		return err
	}
	if err := s.q.Confirm(ctx, s.clients.On.Pool()); err != nil {
		return errors.Join(err, s.RemoveGateway(ctx, o.Gateway))
	}
	return nil
}

// Ping implements store.Metadata.
func (s *Store) Ping(ctx context.Context) error {
	return s.control.Read(ctx, "Ping", func(c *db.Conn) error { return c.Ping(ctx) })
}

// Close implements store.Metadata. It waits for the calls that are in progress,
// at most as long as a statement may take.
func (s *Store) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.group.Close()
	s.deletions.Close()
	s.closePools()
	return nil
}

func (s *Store) closePools() {
	for _, k := range []db.Calls{s.clients, s.control} {
		if k.On != nil {
			k.On.Close()
		}
	}
}
