package logwriter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

const (
	mostRemoved = 256              // segments that are removed in a step
	mergePause  = 30 * time.Second // after a segment could not be read
)

// compact does one piece of work that keeps the log short. more: there is other such work.
func (l *Loop) compact(ctx context.Context, out *upkeep.Outcome) (more bool, err error) {
	switch gone := l.superseded(); {
	case len(gone) > 0:
		return true, l.change(ctx, nil, gone[:min(len(gone), mostRemoved)])
	case l.snap != nil:
		return l.continueSnapshot(ctx, out)
	case l.wantsSnapshot():
		l.beginSnapshot()
		return true, nil
	}
	small := l.mergeable()
	if len(small) < l.cfg.MergeCount || time.Now().Before(l.rest) {
		return false, nil
	}
	return false, l.merge(ctx, small, out)
}

// complete returns the last piece of the newest complete snapshot of the log.
func (l *Loop) complete() (end store.LogSegment, ok bool) {
	for _, x := range l.segments {
		if x.Log == l.log && x.Kind == store.SnapshotEnd {
			end, ok = x, true
		}
	}
	return end, ok
}

// grounded reports whether the log alone has everything: it has a complete snapshot, or begins with the first change.
func (l *Loop) grounded() bool {
	_, ok := l.complete()
	return ok || l.logged > 0 && slices.ContainsFunc(l.segments, func(x store.LogSegment) bool {
		return x.Log == l.log && x.Kind == store.TailSegment && x.First == 0
	})
}

// superseded returns the numbers of segments that no replay needs any more: of earlier logs and of snapshots, once the log has everything, of the tail
// before the snapshot, and of unfinished snapshots that this loop does not continue.
func (l *Loop) superseded() (numbers []uint64) {
	end, snapshot := l.complete()
	grounded := l.grounded()
	for i, x := range l.segments {
		switch {
		case x.Log != l.log:
			if grounded {
				numbers = append(numbers, x.Number)
			}
		case x.Kind == store.TailSegment:
			if snapshot && x.Last <= end.Last && i != l.newestTail() {
				numbers = append(numbers, x.Number)
			}
		case snapshot && x.Group == end.Group, l.snap != nil && x.Group == l.snap.group:
		default:
			numbers = append(numbers, x.Number)
		}
	}
	return numbers
}

// newestTail is the index of the newest tail segment, which is always kept: it says up to where the changes are logged.
func (l *Loop) newestTail() int {
	for i, x := range slices.Backward(l.segments) {
		if x.Log == l.log && x.Kind == store.TailSegment {
			return i
		}
	}
	return -1
}

// wantsSnapshot reports whether the tail has become larger than the snapshot and TailBytes, or the log cannot do without a snapshot.
func (l *Loop) wantsSnapshot() bool {
	end, ok := l.complete()
	var tail, snapshot int64
	for _, x := range l.segments {
		switch {
		case x.Log != l.log:
		case x.Kind == store.TailSegment:
			tail += x.Part.Size
		case ok && x.Group == end.Group:
			snapshot += x.Part.Size
		}
	}
	return tail > max(snapshot, l.cfg.TailBytes) || !l.grounded() && l.begun()
}

// begun reports whether there are segments of the log.
func (l *Loop) begun() bool {
	return slices.ContainsFunc(l.segments, func(x store.LogSegment) bool { return x.Log == l.log })
}

// mergeable returns the newest segments of the tail that are small together, in the order of their revisions, without a gap.
func (l *Loop) mergeable() (small []store.LogSegment) {
	var tail []store.LogSegment
	for _, x := range l.segments {
		if x.Log == l.log && x.Kind == store.TailSegment {
			tail = append(tail, x)
		}
	}
	slices.SortFunc(tail, func(a, b store.LogSegment) int { return int(int64(a.Last) - int64(b.Last)) })
	var size int64
	for i, x := range slices.Backward(tail) {
		if size += x.Part.Size; size > l.cfg.MergeBytes || i+1 < len(tail) && x.Last != tail[i+1].First {
			return tail[i+1:]
		}
	}
	return tail
}

// merge replaces segments by one with the same changes. A segment that cannot be read is kept, and noted as a reason for a snapshot where it is lost.
func (l *Loop) merge(ctx context.Context, small []store.LogSegment, out *upkeep.Outcome) error {
	fold := metalog.NewFold()
	var replaced []uint64
	for _, x := range small {
		s, err := l.fetch(ctx, x)
		if err != nil {
			l.rest = time.Now().Add(mergePause)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.cfg.Log.Warn("a segment of the metadata log cannot be read", "segment", x.Number, "error", err)
			if kind := store.KindOf(err); kind == store.Corrupt || kind == store.NotFound {
				l.beginSnapshot()
			}
			return nil
		}
		for _, r := range s.Records {
			fold.Add(r)
		}
		replaced = append(replaced, x.Number)
	}
	done, err := l.store(ctx, segment{
		kind: store.TailSegment, first: small[0].First, last: small[len(small)-1].Last, records: fold.Records(), replaces: replaced,
	})
	if errors.Is(err, errTooLarge) {
		l.rest = time.Now().Add(mergePause)
		return nil
	}
	out.Bytes += done.Part.Size
	return err
}
