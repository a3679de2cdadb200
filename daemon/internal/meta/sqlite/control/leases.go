package control

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// AcquireLease implements store.Leases.
func (s *Store) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (store.Lease, error) {
	if err := valid.TTL(ttl); err != nil {
		return store.Lease{}, err
	}
	var term uint64
	err := s.db.Write(ctx, "AcquireLease", func(t *db.Tx) error {
		now := s.db.Now()
		var holder string
		if err := t.Row(s.db.Q.LeaseOwner, name).Scan(&holder); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		err := t.Row(s.db.Q.AcquireLease, name, owner, db.Micros(now), db.Micros(now.Add(ttl))).Scan(&term)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.Errorf(store.Conflict, "lease %q is held by %s", name, holder)
		case err != nil || holder == owner:
			return err
		}
		_, err = s.Tell(t, eventof.Lease(name, owner))
		return err
	})
	if err != nil {
		return store.Lease{}, err
	}
	return store.Lease{Name: name, Owner: owner, Term: term, TTL: ttl}, nil
}

// RenewLease implements store.Leases.
func (s *Store) RenewLease(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := valid.TTL(ttl); err != nil {
		return store.Lease{}, err
	}
	err := s.db.Write(ctx, "RenewLease", func(t *db.Tx) error {
		now := s.db.Now()
		changed, err := t.Exec(s.db.Q.RenewLease, l.Name, l.Owner, int64(l.Term), db.Micros(now), db.Micros(now.Add(ttl)))
		if err == nil && changed == 0 {
			return store.Errorf(store.Conflict, "term %d of lease %q is over", l.Term, l.Name)
		}
		return err
	})
	if err != nil {
		return store.Lease{}, err
	}
	l.TTL = ttl
	return l, nil
}

// ReleaseLease implements store.Leases.
func (s *Store) ReleaseLease(ctx context.Context, l store.Lease) error {
	return s.db.Write(ctx, "ReleaseLease", func(t *db.Tx) error {
		_, err := t.Exec(s.db.Q.ReleaseLease, l.Name, l.Owner, int64(l.Term))
		return err
	})
}
