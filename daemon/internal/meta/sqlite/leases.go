package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// AcquireLease implements store.Leases.
func (s *Store) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (store.Lease, error) {
	if err := store.ValidTTL(ttl); err != nil {
		return store.Lease{}, err
	}
	var term uint64
	err := s.write(ctx, "AcquireLease", func(t *tx) error {
		now := s.now()
		var holder string
		if err := t.row(s.q.LeaseOwner, name).scan(&holder); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		err := t.row(s.q.AcquireLease, name, owner, micros(now), micros(now.Add(ttl))).scan(&term)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.Errorf(store.Conflict, "lease %q is held by %s", name, holder)
		case err != nil || holder == owner:
			return err
		}
		_, err = s.tell(t, store.LeaseEvent(name, owner))
		return err
	})
	if err != nil {
		return store.Lease{}, err
	}
	return store.Lease{Name: name, Owner: owner, Term: term, TTL: ttl}, nil
}

// RenewLease implements store.Leases.
func (s *Store) RenewLease(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := store.ValidTTL(ttl); err != nil {
		return store.Lease{}, err
	}
	err := s.write(ctx, "RenewLease", func(t *tx) error {
		now := s.now()
		changed, err := t.exec(s.q.RenewLease, l.Name, l.Owner, int64(l.Term), micros(now), micros(now.Add(ttl)))
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
	return s.write(ctx, "ReleaseLease", func(t *tx) error {
		_, err := t.exec(s.q.ReleaseLease, l.Name, l.Owner, int64(l.Term))
		return err
	})
}
