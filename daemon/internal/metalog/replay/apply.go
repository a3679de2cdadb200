package replay

import (
	"context"
	"maps"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	batchRecords = 500 // in a call of Restore, at most
	batchParts   = 5000
)

// Apply restores the log into an empty store, which belongs to the log's cluster then. Errors are those of the store. A segment that cannot be read any more is reported as damaged.
func (l *Log) Apply(ctx context.Context, into Target) error {
	if err := into.AdoptCluster(ctx, l.Report.Cluster); err != nil {
		return err
	}
	deleted := map[store.BucketName]bool{} // buckets
	for _, step := range l.steps {
		s, err := l.segment(ctx, step.part)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.lose(step, err)
			continue
		}
		for _, r := range s.Records {
			switch r.Kind {
			case store.BucketGone:
				deleted[r.Bucket.Name] = true
			case store.BucketStored:
				delete(deleted, r.Bucket.Name)
			}
		}
		if err := restore(ctx, into, s.Records); err != nil {
			return err
		}
		l.Report.Segments++
		l.Report.Records += int64(len(s.Records))
	}
	// A bucket that still had files when its deletion was replayed is removed now, if its files were.
	var again []store.LogRecord
	for _, name := range slices.Sorted(maps.Keys(deleted)) {
		again = append(again, store.LogRecord{Kind: store.BucketGone, Bucket: store.Bucket{Name: name}})
	}
	return restore(ctx, into, again)
}

// lose reports a segment that could be read a moment ago.
func (l *Log) lose(step found, err error) {
	l.Report.Damaged = append(l.Report.Damaged, Segment{step.part, err.Error()})
	if step.Kind == store.TailSegment {
		l.Report.Gaps = append(l.Report.Gaps, Gap{step.First, step.Last})
	} else {
		l.Report.Pieces = append(l.Report.Pieces, step.Piece)
	}
}

// restore calls Restore with a limited number of records and parts at a time.
func restore(ctx context.Context, into Target, records []store.LogRecord) error {
	from, parts := 0, 0
	for i, r := range records {
		if parts += len(r.File.Parts); i-from >= batchRecords || parts > batchParts {
			if err := into.Restore(ctx, records[from:i]); err != nil {
				return err
			}
			from, parts = i, len(r.File.Parts)
		}
	}
	if from == len(records) {
		return nil
	}
	return into.Restore(ctx, records[from:])
}
