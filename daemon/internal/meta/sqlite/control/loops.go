package control

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SaveLoops implements store.Loops.
func (s *Store) SaveLoops(ctx context.Context, r store.LoopReport) error {
	if err := r.Validate(); err != nil {
		return err
	}
	loops, err := pack.Loops(r.Loops)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, "SaveLoops", func(t *db.Tx) error {
		changed, err := t.Exec(s.db.Q.SaveLoops, r.Owner, int64(r.Term), db.Micros(s.db.Now()), loops)
		if err == nil && changed == 0 {
			return store.ErrLaterReport(r.Term)
		}
		return err
	})
}

// LoopReport implements store.Loops.
func (s *Store) LoopReport(ctx context.Context) (r store.LoopReport, err error) {
	err = s.db.Read(ctx, "LoopReport", func(from *db.Reader) error {
		var saved int64
		var loops []byte
		err := from.Row(s.db.Q.LoopReport).Scan(&r.Owner, &r.Term, &saved, &loops)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Age = max(0, s.db.Now().Sub(db.FromMicros(saved)))
		r.Loops, err = pack.ParseLoops(loops)
		return err
	})
	return r, err
}

// WakeLoops implements store.Loops.
func (s *Store) WakeLoops(ctx context.Context, names []string) error {
	if err := store.ValidLoops(names); err != nil {
		return err
	}
	return s.db.Write(ctx, "WakeLoops", func(t *db.Tx) error {
		for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
			if _, err := t.Exec(s.db.Q.WakeLoop, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// Wakeups implements store.Loops.
func (s *Store) Wakeups(ctx context.Context) (counts map[string]uint64, err error) {
	err = s.db.Read(ctx, "Wakeups", func(r *db.Reader) error {
		counts = map[string]uint64{}
		rows, err := r.Query(s.db.Q.Wakeups)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
			var name string
			var n uint64
			err := rows.Scan(&name, &n)
			counts[name] = n
			return err
		})
	})
	return counts, err
}
