package replay

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// plan is what a replay of one log applies.
type plan struct {
	cluster  store.ClusterID
	log      store.LogID
	written  time.Time // of the newest segment of the log
	grounded bool      // it has everything: a complete snapshot, or the tail from the first change on
	base     store.Revision
	last     store.Revision
	steps    []found
	gaps     []Gap
	missing  []uint64 // pieces of the snapshot
}

// better reports whether p is to be replayed rather than the other: a log that has everything, and of two such the newer.
func (p plan) better(than plan) bool {
	if p.grounded != than.grounded {
		return p.grounded
	}
	return p.written.After(than.written) || than.steps == nil && than.written.IsZero()
}

// newPlan plans the replay of the segments of one log.
func newPlan(segments []found) plan {
	p := plan{cluster: segments[0].Cluster, log: segments[0].Log}
	var tail []found
	for _, x := range segments {
		if x.Written.After(p.written) {
			p.written = x.Written
		}
		if x.Kind == store.TailSegment {
			tail = append(tail, x)
		}
	}
	snapshot, complete := p.takeSnapshot(segments)
	p.last = p.base
	p.follow(tail)
	p.grounded = complete || !snapshot && len(p.gaps) == 0 && len(p.steps) > 0
	return p
}

// snapshotID identifies a snapshot: two writers may have used the same number.
type snapshotID struct{ term, group uint64 }

// takeSnapshot takes the newest snapshot that is complete, or else the newest of which only pieces are missing.
func (p *plan) takeSnapshot(segments []found) (taken, complete bool) {
	pieces := map[snapshotID]map[uint64]found{}
	var ends []found
	for _, x := range segments {
		switch id := (snapshotID{x.Term, x.Group}); x.Kind {
		case store.SnapshotEnd:
			ends = append(ends, x)
		case store.SnapshotSegment:
			if pieces[id] == nil {
				pieces[id] = map[uint64]found{}
			}
			pieces[id][x.Piece] = x
		}
	}
	slices.SortFunc(ends, func(a, b found) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(b.Term, a.Term), cmp.Compare(b.Number, a.Number)) // the newest first
	})
	for _, end := range ends {
		if have := pieces[snapshotID{end.Term, end.Group}]; len(absent(have, end.Piece)) == 0 {
			p.take(end, have)
			return true, true
		}
	}
	if len(ends) == 0 {
		return false, false
	}
	have := pieces[snapshotID{ends[0].Term, ends[0].Group}]
	p.missing = absent(have, ends[0].Piece)
	p.take(ends[0], have)
	return true, false
}

// absent lists the pieces that are not there, at most mostNamed.
func absent(have map[uint64]found, count uint64) (missing []uint64) {
	for i := uint64(0); i < count && len(missing) < mostNamed; i++ {
		if _, ok := have[i]; !ok {
			missing = append(missing, i)
		}
	}
	return missing
}

func (p *plan) take(end found, have map[uint64]found) {
	p.base = end.Last
	for i := range end.Piece {
		if x, ok := have[i]; ok {
			p.steps = append(p.steps, x)
		}
		if i >= uint64(len(have))+mostNamed {
			return // a damaged end that names pieces without number
		}
	}
}

// follow adds the tail: always the segment that leads furthest of those that begin at the last revision or before. Where none does there is
// a gap, after which it continues with the segment that begins first.
func (p *plan) follow(tail []found) {
	slices.SortFunc(tail, func(a, b found) int { return cmp.Compare(a.First, b.First) })
	for at := 0; ; {
		var best *found
		for ; at < len(tail) && tail[at].First <= p.last; at++ {
			if x := &tail[at]; best == nil || furthest(x.Header, best.Header) > 0 {
				best = x
			}
		}
		switch {
		case best != nil && best.Last > p.last:
			p.steps, p.last = append(p.steps, *best), best.Last
		case at == len(tail):
			return
		case tail[at].First > p.last:
			p.gaps = append(p.gaps, Gap{p.last, tail[at].First})
			p.last = tail[at].First
		}
	}
}

// furthest compares segments by where they end, and then by their writers.
func furthest(a, b metalog.Header) int {
	return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.Term, b.Term), cmp.Compare(a.Number, b.Number))
}
