package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// attempt lets a change happen unless it was abandoned. The zero attempt cannot be abandoned.
func (s *Store) attempt(t *db.Tx, id store.AttemptID) error {
	if id.IsZero() {
		return nil
	}
	made, err := t.Exec(s.db.Q.InsertAttempt, id[:], true, db.Micros(s.db.Now()))
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
	err = s.db.Write(ctx, "Abandon", func(t *db.Tx) error {
		err := t.Row(s.db.Q.Attempt, id[:]).Scan(&happened)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = t.Exec(s.db.Q.InsertAttempt, id[:], false, db.Micros(s.db.Now()))
		}
		return err
	})
	return happened, err
}

// SweepDeleted implements store.Placements.
func (s *Store) SweepDeleted(ctx context.Context, grace time.Duration, limit int) (swept int, err error) {
	if err := valid.Sweep(grace, limit); err != nil {
		return 0, err
	}
	err = s.db.Write(ctx, "SweepDeleted", func(t *db.Tx) error {
		now := s.db.Now()
		fence := db.Micros(now.Add(-store.FenceFor))
		if err := s.forgetFences(t, now.Add(-store.FenceFor)); err != nil {
			return err
		}
		due, err := s.dueDeleted(t, db.Micros(now.Add(-grace)), fence, limit)
		if err != nil || len(due) == 0 {
			swept = 0
			return err
		}
		swept, err = s.sweep(t, due, fence, limit)
		return err
	})
	return swept, err
}

func (s *Store) dueDeleted(t *db.Tx, before, fence int64, limit int) (due []store.FileID, err error) {
	rows, err := t.Query(s.db.Q.DueDeleted, before, fence, limit)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func() error {
		var id []byte
		err := rows.Scan(&id)
		due = append(due, store.FileID(id))
		return err
	})
	return due, err
}

// sweep removes up to limit parts of Deleted files and, where that is not reached, those of the files that have no more parts and are
// not fences.
func (s *Store) sweep(t *db.Tx, due []store.FileID, fence int64, limit int) (swept int, err error) {
	files := db.IDs(due)
	parts, err := s.takeNodes(t, s.db.Q.SweepParts, files, limit)
	if err != nil {
		return 0, err
	}
	if err := s.enqueueAll(t, reclaims(parts, "its file was deleted")); err != nil || len(parts) == limit {
		return len(parts), err
	}
	removed, err := t.Exec(s.db.Q.RemoveSwept, files, fence, limit-len(parts))
	return len(parts) + int(removed), err
}

// forgetFences removes those older than the limit.
func (s *Store) forgetFences(t *db.Tx, limit time.Time) error {
	if _, err := t.Exec(s.db.Q.ForgetDropped, db.Micros(limit)); err != nil {
		return err
	}
	oldest := store.AttemptsFrom(limit)
	_, err := t.Exec(s.db.Q.ForgetAttempts, oldest[:], db.Micros(limit))
	return err
}
