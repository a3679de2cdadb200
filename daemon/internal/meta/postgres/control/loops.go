package control

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
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
	changed, err := s.calls.Exec(ctx, "SaveLoops", s.q.SaveLoops, r.Owner, int64(r.Term), loops)
	if err == nil && changed == 0 {
		return store.ErrLaterReport(r.Term)
	}
	return err
}

// LoopReport implements store.Loops.
func (s *Store) LoopReport(ctx context.Context) (r store.LoopReport, err error) {
	err = s.calls.Read(ctx, "LoopReport", func(c *db.Conn) error {
		var term int64
		var loops []byte
		err := c.QueryRow(ctx, s.q.LoopReport).Scan(&r.Owner, &term, &loops, &r.Age)
		if db.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Term, r.Age = uint64(term), max(0, r.Age)
		r.Loops, err = pack.ParseLoops(loops)
		return err
	})
	return r, err
}

// WakeLoops implements store.Loops.
func (s *Store) WakeLoops(ctx context.Context, names []string) error {
	if err := store.ValidLoops(names); err != nil || len(names) == 0 {
		return err
	}
	_, err := s.calls.Exec(ctx, "WakeLoops", s.q.WakeLoops, slices.Compact(slices.Sorted(slices.Values(names))))
	return err
}

// Wakeups implements store.Loops.
func (s *Store) Wakeups(ctx context.Context) (counts map[string]uint64, err error) {
	err = s.calls.Read(ctx, "Wakeups", func(c *db.Conn) error {
		counts = map[string]uint64{}
		rows, err := c.Query(ctx, s.q.Wakeups)
		if err != nil {
			return err
		}
		var name string
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
			counts[name] = uint64(n)
			return nil
		})
		return err
	})
	return counts, err
}
