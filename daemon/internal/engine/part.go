package engine

import (
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// partWrite brings one part from a body to its nodes. When run returns nil the
// part is durable. What it leaves on nodes, after an error too, stands in stored and uncertain, for
// the caller that commits or abandons the part.
type partWrite struct {
	e      *Engine
	plan   *plan
	in     *intake
	number int
	begin  func(context.Context, store.Part) error // hears of a striped part before its bytes go out
	verify func(Sums) error                        // hears of the sums before the part's chunks are made durable
	label  func(store.Part) store.Label            // is called after verify

	part      store.Part   // as it is stored; without bytes where the body had none
	stored    []store.Part // parts whose chunks may have become durable on nodes
	uncertain []store.Task // chunks that may lie where the part does not have them
}

// run reads the body to its end and sends it. Errors: those of Put.
func (w *partWrite) run(ctx context.Context) error {
	// The copies' layout holds small bodies in less memory; when nothing is known of the size it may be a large one.
	l := w.plan.striped
	if w.in.most >= 0 && w.in.most <= w.e.cfg.CopyBelow {
		l = w.plan.copies
	}
	w.in.open(w.e.pool)
	defer w.in.mem.Close()
	first, err := w.in.next(ctx, l)
	if err != nil {
		return err
	}
	switch {
	case w.in.ended && w.in.total == 0:
		first.Release()
		return w.verify(w.in.sums())
	case w.in.ended && w.in.total <= w.e.cfg.CopyBelow:
		return w.sendCopies(ctx, first)
	default:
		return w.sendStripes(ctx, first)
	}
}

// newPart places a part of the layout. Its size is filled in once it is known.
func (w *partWrite) newPart(l erasure.Layout) store.Part {
	p := store.Part{ID: store.NewPartID(), Number: w.number, K: l.K, M: l.M, UnitSize: l.UnitSize}
	p.Chunks = make([]store.Placement, l.Width())
	for i, n := range w.plan.place(p.ID, l.Width()) {
		p.Chunks[i].Node = n
	}
	return p
}

// sendStripes encodes and sends the body stripe by stripe, the first of which was read.
func (w *partWrite) sendStripes(ctx context.Context, first *erasure.Stripe) error {
	l := w.plan.striped
	code, err := w.e.code(l.K, l.M)
	if err != nil {
		first.Release()
		return err
	}
	part := w.newPart(l)
	if err := w.begin(ctx, part); err != nil {
		first.Release()
		return err
	}
	out := w.e.spread(ctx, part, w.plan.required(), w.in.size)
	defer out.abort()
	if err := w.pump(ctx, out, code, first); err != nil {
		return err
	}
	sums := w.in.sums()
	if err := w.verify(sums); err != nil {
		return err
	}
	part.Size, part.CRC64 = sums.Size, sums.CRC64
	w.stored = append(w.stored, part)
	part.Chunks, err = out.commit(w.label(part))
	w.uncertain = out.uncertain()
	if err != nil {
		return err
	}
	w.part = part
	return nil
}

func (w *partWrite) pump(ctx context.Context, out *spread, code *erasure.Code, stripe *erasure.Stripe) error {
	var units []store.Unit
	for {
		if stripe.Len() > 0 {
			var err error
			if units, err = stripe.Units(ctx, code, units); err != nil {
				stripe.Release()
				return err
			}
			out.send(units)
		}
		stripe.Release()
		if err := out.hopeless(); err != nil {
			return err
		}
		if w.in.ended {
			return nil
		}
		var err error
		if stripe, err = w.in.next(ctx, w.plan.striped); err != nil {
			return err
		}
	}
}

// wantsRepair says whether a chunk of the part is nowhere.
func (w *partWrite) wantsRepair() bool {
	for _, c := range w.part.Chunks {
		if c.Node.IsZero() {
			return true
		}
	}
	return false
}

// orphans is what must be reclaimed when the part is abandoned.
func (w *partWrite) orphans() []store.Task {
	tasks := slices.Clone(w.uncertain)
	for _, p := range w.stored {
		tasks = append(tasks, reclaimsOf(p)...)
	}
	return tasks
}

// sweep queues what failed attempts may have left behind beside a part that is stored. It works in the background.
func (w *partWrite) sweep(owner store.FileID) {
	if len(w.uncertain) == 0 {
		return
	}
	w.e.persist(func(ctx context.Context) error {
		err := w.e.meta.Enqueue(ctx, w.uncertain)
		w.e.cfg.WakeReclaim()
		return err
	}, func(err error) {
		w.e.cfg.Log.Warn("chunks of failed attempts stay on their nodes until the next scrub", "file", owner, "error", err)
	})
}
