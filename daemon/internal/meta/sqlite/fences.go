package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// attempt lets a change happen unless it was abandoned. The zero attempt cannot be abandoned.
func (s *Store) attempt(t *tx, id store.AttemptID) error {
	if id.IsZero() {
		return nil
	}
	made, err := t.exec(s.q.InsertAttempt, id[:], true)
	if err == nil && made == 0 {
		return store.Errorf(store.Conflict, "the change was abandoned before it arrived")
	}
	return err
}

// Abandon implements store.Fences.
func (s *Store) Abandon(ctx context.Context, id store.AttemptID) (happened bool, err error) {
	if id.IsZero() {
		return false, store.Errorf(store.Invalid, "the attempt has no id")
	}
	err = s.write(ctx, "Abandon", func(t *tx) error {
		err := t.row(s.q.Attempt, id[:]).scan(&happened)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = t.exec(s.q.InsertAttempt, id[:], false)
		}
		return err
	})
	return happened, err
}

// SweepDeleted implements store.Placements.
func (s *Store) SweepDeleted(ctx context.Context, grace time.Duration, limit int) (swept int, err error) {
	if err := store.ValidSweep(grace, limit); err != nil {
		return 0, err
	}
	err = s.write(ctx, "SweepDeleted", func(t *tx) error {
		now := s.now()
		fence := micros(now.Add(-store.FenceFor))
		if err := s.forgetFences(t, now.Add(-store.FenceFor)); err != nil {
			return err
		}
		swept = 0
		due, err := s.dueDeleted(t, micros(now.Add(-grace)), fence, limit)
		for _, id := range due {
			if err != nil || swept >= limit {
				break
			}
			var n int
			n, err = s.sweep(t, id, fence, limit-swept)
			swept += n
		}
		return err
	})
	return swept, err
}

func (s *Store) dueDeleted(t *tx, before, fence int64, limit int) (due [][]byte, err error) {
	rows, err := t.query(s.q.DueDeleted, before, fence, limit)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		var id []byte
		err := rows.Scan(&id)
		due = append(due, id)
		return err
	})
	return due, err
}

// sweep removes up to limit parts of a Deleted file, and then the file if it has no more parts and is not a fence.
func (s *Store) sweep(t *tx, id []byte, fence int64, limit int) (swept int, err error) {
	parts, err := s.takeNodes(t, s.q.SweepParts, id, limit)
	if err != nil {
		return 0, err
	}
	if err := s.enqueueAll(t, reclaims(parts, "its file was deleted")); err != nil || len(parts) == limit {
		return len(parts), err
	}
	removed, err := t.exec(s.q.RemoveSwept, id, fence)
	return len(parts) + int(removed), err
}

// forgetFences removes those older than the limit.
func (s *Store) forgetFences(t *tx, limit time.Time) error {
	if _, err := t.exec(s.q.ForgetDropped, micros(limit)); err != nil {
		return err
	}
	oldest := store.AttemptsFrom(limit)
	_, err := t.exec(s.q.ForgetAttempts, oldest[:])
	return err
}
