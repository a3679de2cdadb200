package mem

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// report is the last report of the loops.
type report struct {
	store.LoopReport
	saved time.Time
}

// SaveLoops implements store.Loops.
func (m *Metadata) SaveLoops(ctx context.Context, r store.LoopReport) error {
	if err := r.Validate(); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		if d.report.Term > r.Term {
			return store.ErrLaterReport(r.Term)
		}
		r.Loops = slices.Clone(r.Loops)
		slices.SortFunc(r.Loops, func(a, b store.LoopProgress) int { return cmp.Compare(a.Name, b.Name) })
		d.report = report{r, d.now()}
		return nil
	})
}

// LoopReport implements store.Loops.
func (m *Metadata) LoopReport(ctx context.Context) (r store.LoopReport, err error) {
	err = m.do(ctx, func(d *data) error {
		if d.report.Term == 0 {
			return nil
		}
		r = d.report.LoopReport
		r.Loops, r.Age = slices.Clone(r.Loops), d.now().Sub(d.report.saved)
		return nil
	})
	return r, err
}

// WakeLoops implements store.Loops.
func (m *Metadata) WakeLoops(ctx context.Context, names []string) error {
	if err := store.ValidLoops(names); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
			d.wakeups[n]++
		}
		return nil
	})
}

// Wakeups implements store.Loops.
func (m *Metadata) Wakeups(ctx context.Context) (counts map[string]uint64, err error) {
	err = m.do(ctx, func(d *data) error { counts = maps.Clone(d.wakeups); return nil })
	return counts, err
}
