package control

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// AcquireLease implements store.Leases.
func (s *Store) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (store.Lease, error) {
	if err := valid.TTL(ttl); err != nil {
		return store.Lease{}, err
	}
	lease := store.Lease{Name: name, Owner: owner, TTL: ttl}
	v, err := db.Values{"name": name, "owner": owner, "ttl": ttl}.WithEvent(eventof.Lease(name, owner))
	if err != nil {
		return store.Lease{}, err
	}
	err = s.calls.Write(ctx, "AcquireLease", func(c *db.Conn) error {
		var term int64
		b := &pgx.Batch{}
		b.Queue(s.q.LockLease, name)
		b.Queue(s.q.AcquireLease, s.q.Args(s.q.AcquireLease, v)...).QueryRow(func(row pgx.Row) error { return row.Scan(&term) })
		err := db.Pipeline(ctx, c, b)
		if db.IsNoRows(err) {
			return store.Errorf(store.Conflict, "another owner holds the lease %q", name)
		}
		lease.Term = uint64(term)
		return err
	})
	if err != nil {
		return store.Lease{}, err
	}
	return lease, nil
}

// RenewLease implements store.Leases.
func (s *Store) RenewLease(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := valid.TTL(ttl); err != nil {
		return store.Lease{}, err
	}
	changed, err := s.calls.Exec(ctx, "RenewLease", s.q.RenewLease, l.Name, l.Owner, int64(l.Term), ttl)
	switch {
	case err != nil:
		return store.Lease{}, err
	case changed == 0:
		return store.Lease{}, store.Errorf(store.Conflict, "term %[2]d of lease %[1]q has expired or was superseded", l.Name, l.Term)
	}
	l.TTL = ttl
	return l, nil
}

// ReleaseLease implements store.Leases.
func (s *Store) ReleaseLease(ctx context.Context, l store.Lease) error {
	_, err := s.calls.Exec(ctx, "ReleaseLease", s.q.ReleaseLease, l.Name, l.Owner, int64(l.Term))
	return err
}
