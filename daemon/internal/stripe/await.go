package stripe

import (
	"time"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	// The upper bound of patience for chunks of one unit. The lower one, Config.LateFloor, keeps ordinary jitter of a loaded node from causing repairs.
	maxPatienceSmall = 250 * time.Millisecond
	// The same for longer chunks, whatever is usual, and worth is added.
	patienceStream = time.Second
	// repairRate is the bytes a second of a part at which its repair is assumed to run.
	repairRate = 100e6
	// lateFor is how long all writes of a node must have been late before it is reported as unreachable.
	lateFor = time.Second
)

// patience is how long a commit waits for further chunks once the first is durable. For chunks of one unit it is four times the 95th
// percentile of what the nodes needed recently, within bounds; the upper one while that is not known. A floor above the upper bound prevails.
func (w *Writer) patience() time.Duration {
	usual := w.io.smalls.p95()
	switch {
	case !w.spec.Whole:
		return max(patienceStream+w.worth(), w.io.cfg.LateFloor)
	case usual == 0:
		return max(maxPatienceSmall, w.io.cfg.LateFloor)
	}
	return max(min(4*usual, maxPatienceSmall), w.io.cfg.LateFloor)
}

// worth is how much longer a write waits for a slow node than it would if it had few bytes: as long as the repair would take that makes
// up for the node's chunks. It reads K chunks of the part. A disk that is busy writing what it has cached stops for seconds.
func (w *Writer) worth() time.Duration {
	return time.Duration(float64(max(w.spec.Size, w.sent)) / repairRate * float64(time.Second))
}

// lag is how long one node may delay the others.
func (w *Writer) lag() time.Duration {
	return max(min(w.io.cfg.Lag+w.worth(), w.io.cfg.Stall), w.io.cfg.Lag)
}

// streamEnded counts a stream that ended, and wakes Commit when that may change what it waits for.
func (w *Writer) streamEnded(err error) {
	if err != nil {
		w.failed.Add(1)
	} else {
		w.first.CompareAndSwap(0, max(1, int64(time.Since(w.began))))
	}
	if left := w.pending.Add(-1); left > 0 && err == nil && !w.eager.Load() {
		return
	}
	select {
	case w.ended <- struct{}{}:
	default:
	}
}

// await returns when no further chunk can become durable, when enough are and the patience is over, or when ctx has ended.
// A write has three phases: it waits for all chunks where the spec places them, then for all chunks with late ones on
// spare nodes, too, and then until the durable ones survive what is required.
func (w *Writer) await() {
	timer := time.NewTimer(w.patience())
	defer timer.Stop()
	enough := false // suffices: the last phase
	for replaced := int32(0); ; {
		if failed := w.failed.Load(); w.spec.Whole && failed > replaced && time.Since(w.began) < w.io.cfg.Stall {
			replaced = failed
			w.substitute()
		}
		if w.settled() || enough && w.survives() {
			return
		}
		select {
		case <-w.ended:
			continue
		case <-w.ctx.Done():
			return
		case <-timer.C:
		}
		switch rest := w.patienceLeft(); {
		case w.spec.Whole && time.Since(w.began) >= w.io.cfg.Stall:
			w.endStalled()
		case enough:
			timer.Reset(w.io.cfg.Stall / 4) // until the limit of the calls
		case rest > 0:
			timer.Reset(rest)
		case !w.eager.Swap(true) && w.spec.Whole && w.substituteLate() > 0:
			timer.Reset(w.patience())
		default:
			enough = true
			timer.Reset(w.patience())
		}
	}
}

// patienceLeft is how long the first phase lasts from now on. It does not end before the first chunk is durable, unless there is only one: there
// is nothing that a single node could be compared with.
func (w *Writer) patienceLeft() time.Duration {
	if w.eager.Load() || len(w.chunks) == 1 && w.spec.Whole {
		return 0
	}
	needed := time.Duration(w.first.Load())
	if needed == 0 {
		return w.patience()
	}
	return needed + max(needed, w.patience()) - time.Since(w.began)
}

// endStalled ends the attempts of chunks of one unit that have exceeded Config.Stall. Longer chunks have a limit for each call.
func (w *Writer) endStalled() {
	for _, s := range w.streams {
		s.end(store.Errorf(store.Unavailable, "the node made no progress for %v", w.io.cfg.Stall))
	}
}

// substituteLate starts attempts on spare nodes for chunks that are not durable. The late attempts continue.
func (w *Writer) substituteLate() int {
	for _, s := range w.streams {
		if !s.done() {
			s.late = true
		}
	}
	return w.substitute()
}

// settled reports whether each chunk is durable or has no attempt in progress.
func (w *Writer) settled() bool {
	for _, s := range w.streams {
		if !s.done() && (!s.late || !w.hasNode(s.index)) {
			return false
		}
	}
	return true
}

// survives reports whether Commit need not wait for more chunks.
func (w *Writer) survives() bool {
	return !w.spec.All && placement.Survives(w.spec.Part.K, w.placed((*stream).durable)) >= w.spec.Required
}

// noteLate records that a write of the node was abandoned because it was slower than its peers. A single one means little; a node that
// has completed nothing for lateFor is reported as unreachable, so that writes stop using it until it answers a probe.
func (o *IO) noteLate(id store.NodeID) {
	since, known := o.lateSince.LoadOrStore(id, time.Now())
	if idle := time.Since(since.(time.Time)); known && idle >= lateFor {
		o.lateSince.Delete(id)
		o.cfg.Fleet.Report(id, store.Errorf(store.Unavailable, "the node has completed no write for %v", idle.Round(time.Millisecond)))
	}
}

// noteDone records that the node completed a write.
func (o *IO) noteDone(id store.NodeID) {
	if _, late := o.lateSince.Load(id); late {
		o.lateSince.Delete(id)
	}
}
