package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// attemptOrNull is the argument of statements that note an attempt: null notes none.
func attemptOrNull(id store.AttemptID) any {
	if id.IsZero() {
		return nil
	}
	return [16]byte(id)
}

// Abandon implements store.Fences.
func (s *Store) Abandon(ctx context.Context, id store.AttemptID) (happened bool, err error) {
	if id.IsZero() {
		return false, store.Errorf(store.Invalid, "the attempt has no id")
	}
	err = s.clients.Write(ctx, "Abandon", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.AbandonAttempt, [16]byte(id))
		b.Queue(s.q.Attempt, [16]byte(id)).QueryRow(func(row pgx.Row) error { return row.Scan(&happened) })
		return db.Pipeline(ctx, c, b)
	})
	return happened, err
}

// SweepDeleted implements store.Placements.
func (s *Store) SweepDeleted(ctx context.Context, grace time.Duration, limit int) (swept int, err error) {
	if err := valid.Sweep(grace, limit); err != nil {
		return 0, err
	}
	err = s.clients.Write(ctx, "SweepDeleted", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.ForgetDropped, store.FenceFor)
		b.Queue(s.q.ForgetAttempts, [16]byte(store.AttemptsFrom(time.Now().Add(-store.FenceFor))), store.FenceFor)
		b.Queue(s.q.SweepDeleted, grace, store.FenceFor, limit).QueryRow(func(row pgx.Row) error { return row.Scan(&swept) })
		return db.Pipeline(ctx, c, b)
	})
	return swept, err
}
