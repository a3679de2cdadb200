package engine

import (
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// partWrite brings one part from a body to its nodes. Its steps are called in order, from one goroutine: begin, then encode and
// send while there is more, then makeDurable; and close in all cases. What it leaves on nodes, after an error too, is
// listed by orphans.
type partWrite struct {
	e    *Engine
	ctx  context.Context // of the request, never canceled: for work in the background and its log lines
	plan *placement.Plan
	body *bodyReader
	part store.Part // with its size and sums once the body was read, and with the nodes of its chunks once it is durable

	stripe *erasure.Stripe // to be encoded next; nil: the body was read to its end
	units  []chunk.Unit    // reused by encode
	out    *stripe.Writer  // nil before the first send

	stored    []store.Part // the part, once it is durable
	uncertain []store.Task // reclaims of chunks that may be on nodes where the part does not have them
}

// begin reads the first stripe, whose size decides the layout, and chooses the nodes. A body without bytes makes no part. Errors: those of Put.
func (w *partWrite) begin(ctx context.Context, number int) error {
	// The copies' layout takes less memory for a small body; a body of unknown size may be a large one.
	l := w.striped()
	if w.body.most >= 0 && w.body.most <= w.e.cfg.CopyBelow {
		l = w.copies()
	}
	w.body.open(w.e.pool)
	if err := w.read(ctx, l); err != nil {
		return err
	}
	if l = w.striped(); w.body.ended && w.body.total <= w.e.cfg.CopyBelow {
		l = w.copies()
	}
	w.part = store.Part{ID: store.NewPartID(), Number: number, K: l.K, M: l.M, UnitSize: l.UnitSize}
	w.part.Chunks = w.plan.Place(w.part.ID, l.Width())
	return nil
}

func (w *partWrite) striped() erasure.Layout {
	return erasure.Layout{K: placement.DataChunks, M: w.plan.Parity, UnitSize: w.e.cfg.UnitSize}
}

func (w *partWrite) copies() erasure.Layout {
	return erasure.Layout{K: 1, M: w.plan.Survive, UnitSize: w.e.cfg.UnitSize}
}

// read reads the next stripe of the body, if it has more bytes.
func (w *partWrite) read(ctx context.Context, l erasure.Layout) (err error) {
	if w.stripe, err = w.body.next(ctx, l); err != nil {
		return err
	}
	if w.stripe.Len() == 0 {
		w.stripe.Release()
		w.stripe = nil
	}
	return nil
}

// more reports whether there is a stripe to encode and send.
func (w *partWrite) more() bool { return w.stripe != nil }

// encode returns the units of the stripe that was read last, the parity included.
func (w *partWrite) encode(ctx context.Context) ([]chunk.Unit, error) {
	if w.part.K == 1 {
		return w.stripe.Share(len(w.part.Chunks)), nil
	}
	code, err := w.e.io.Code(w.part.K, w.part.M)
	if err != nil {
		return nil, err
	}
	w.units, err = w.stripe.Units(ctx, code, w.units)
	return w.units, err
}

// send passes the units to the nodes, and reads the next stripe. A part of a single stripe is sent by makeDurable.
func (w *partWrite) send(ctx context.Context, units []chunk.Unit) error {
	if w.out == nil {
		spec := stripe.WriteSpec{Part: w.part, Size: w.body.size, Required: w.plan.Required(), Whole: w.body.ended}
		if spec.Whole {
			spec.Spares, spec.Share = w.plan.Spares(w.part.ID, len(units)), w.plan.Share(len(units))
		}
		w.out = w.e.io.Write(ctx, spec)
	}
	w.out.Send(units)
	w.stripe.Release()
	w.stripe = nil
	if err := w.out.Err(); err != nil || w.body.ended {
		return err
	}
	return w.read(ctx, w.striped())
}

// seal fixes the part's size and checksum. The body was read to its end.
func (w *partWrite) seal() Sums {
	sums := w.body.sums()
	w.part.Size, w.part.CRC64 = sums.Size, sums.CRC64
	return sums
}

// makeDurable returns when the part's chunks are durable on enough nodes. The label is stored with each.
func (w *partWrite) makeDurable(label chunk.Label) (err error) {
	if w.out == nil {
		return nil // there are no bytes
	}
	chunks, err := w.out.Commit(label) // here the bytes become durable
	w.uncertain = w.out.Uncertain()
	w.out.Abort() // releases the memory
	if err != nil {
		return err
	}
	w.part.Chunks = chunks
	w.stored = []store.Part{w.part}
	return nil
}

// close releases what the write holds. It does not wait for calls to nodes that are in progress.
func (w *partWrite) close() {
	if w.stripe != nil {
		w.stripe.Release()
	}
	if w.out != nil {
		w.out.Abort()
	}
	if w.body.mem != nil {
		w.body.mem.Close()
	}
}

// wantsRepair reports whether the stored part has a hole.
func (w *partWrite) wantsRepair() bool {
	return slices.ContainsFunc(w.stored, func(p store.Part) bool {
		return slices.ContainsFunc(p.Chunks, func(c store.Placement) bool { return c.Node.IsZero() })
	})
}

// label returns the part's label, but for what is known of its file.
func (w *partWrite) label() chunk.Label {
	p := w.part
	return chunk.Label{PartNumber: p.Number, PartSize: p.Size, PartCRC64: p.CRC64, K: p.K, M: p.M, UnitSize: p.UnitSize}
}

// orphans are the chunks that must be reclaimed when the part is abandoned.
func (w *partWrite) orphans() []store.Task {
	tasks := slices.Clone(w.uncertain)
	for _, p := range w.stored {
		for i, c := range p.Chunks {
			if !c.Node.IsZero() {
				tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(i), Node: c.Node, Reason: "its upload failed"})
			}
		}
	}
	return tasks
}

// queueUncertain queues the chunks that failed or late attempts may have left on nodes, before the part is acknowledged: afterwards a
// gateway that is killed could not tell any more where they are. Usually no node failed or was late, and nothing is queued.
func (w *partWrite) queueUncertain(ctx context.Context) error {
	if len(w.uncertain) == 0 {
		return nil
	}
	defer w.e.cfg.WakeReclaim()
	return w.e.meta.Enqueue(ctx, w.uncertain)
}
