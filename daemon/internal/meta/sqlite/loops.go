package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
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
	return s.write(ctx, "SaveLoops", func(t *tx) error {
		changed, err := t.exec(s.q.SaveLoops, r.Owner, int64(r.Term), micros(s.now()), loops)
		if err == nil && changed == 0 {
			return store.ErrLaterReport(r.Term)
		}
		return err
	})
}

// LoopReport implements store.Loops.
func (s *Store) LoopReport(ctx context.Context) (r store.LoopReport, err error) {
	err = s.read(ctx, "LoopReport", func(from *reader) error {
		var saved int64
		var loops []byte
		err := from.row(s.q.LoopReport).scan(&r.Owner, &r.Term, &saved, &loops)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Age = max(0, s.now().Sub(fromMicros(saved)))
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
	return s.write(ctx, "WakeLoops", func(t *tx) error {
		for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
			if _, err := t.exec(s.q.WakeLoop, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// Wakeups implements store.Loops.
func (s *Store) Wakeups(ctx context.Context) (counts map[string]uint64, err error) {
	err = s.read(ctx, "Wakeups", func(r *reader) error {
		counts = map[string]uint64{}
		rows, err := r.query(s.q.Wakeups)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var name string
			var n uint64
			err := rows.Scan(&name, &n)
			counts[name] = n
			return err
		})
	})
	return counts, err
}
