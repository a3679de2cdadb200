package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// sendCopies makes a small part durable as whole copies on distinct nodes. It
// releases body. A node that fails is replaced by the next on the ring, because
// the bytes are still at hand.
func (w *partWrite) sendCopies(ctx context.Context, body *erasure.Stripe) error {
	defer body.Release()
	if err := w.verify(w.in.sums()); err != nil {
		return err
	}
	l := w.plan.copies
	part := store.Part{
		ID: store.NewPartID(), Number: w.number, K: l.K, M: l.M, UnitSize: l.UnitSize,
		Size: w.in.total, CRC64: w.in.crc, Chunks: make([]store.Placement, l.Width()),
	}
	c := &copies{e: w.e, part: part, body: body, label: w.label(part), nodes: w.plan.substitutes(part.ID)}
	errs := c.send(ctx)
	w.stored = append(w.stored, c.durable()...)
	w.uncertain = c.uncertain
	if got := placement.Survives(1, part.Chunks); got < w.plan.required() {
		return notEnough(part, got, w.plan.required(), errs)
	}
	w.part = part
	return nil
}

// copies writes one chunk to several nodes at once.
type copies struct {
	e     *Engine
	part  store.Part
	body  *erasure.Stripe
	label store.Label

	mu        sync.Mutex     // guards what follows
	nodes     []store.NodeID // in the ring's order; those not yet tried
	uncertain []store.Task   // where a failed attempt may have left a copy after all
}

// send fills part.Chunks as far as it can, and returns the errors it met.
func (c *copies) send(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, c.e.cfg.Stall)
	defer cancel()
	units := c.body.Share(len(c.part.Chunks))
	for i, u := range units {
		c.part.Chunks[i].Sum = store.ChunkSum(0).Add(u.CRC) // also of a copy that is not written: its repair is compared with it
	}
	results := make([][]error, len(units))
	var wg sync.WaitGroup
	for i := 1; i < len(units); i++ {
		wg.Go(func() { results[i] = c.sendOne(ctx, i, units[i]) })
	}
	results[0] = c.sendOne(ctx, 0, units[0]) // in this goroutine: one fewer to start
	wg.Wait()
	var errs []error
	for _, r := range results {
		errs = append(errs, r...)
	}
	return errs
}

// sendOne tries node after node until one has taken the copy.
func (c *copies) sendOne(ctx context.Context, index int, u store.Unit) (errs []error) {
	for {
		node, ok := c.next()
		if !ok || ctx.Err() != nil {
			u.Release()
			return append(errs, ctx.Err()) // nil where the nodes ran out: errs says why
		}
		sum := store.ChunkSum(0).Add(u.CRC)
		err := c.put(ctx, node, index, u, sum)
		c.e.fleet.Report(node, err)
		if err == nil {
			c.part.Chunks[index].Node = node
			return errs
		}
		c.mayLinger(node, index, err)
		errs = append(errs, &store.Error{Kind: store.KindOf(err), Item: "node " + node.String(), Err: err})
		u = c.body.Share(1)[0] // put took the unit over
	}
}

func (c *copies) put(ctx context.Context, node store.NodeID, index int, u store.Unit, sum store.ChunkSum) error {
	chunks, err := c.e.fleet.Chunks(node)
	if err != nil {
		u.Release()
		return err
	}
	size := int64(len(u.Data))
	spec := store.ChunkSpec{ID: c.part.ChunkID(index), UnitSize: c.part.UnitSize, SizeHint: size}
	info, err := store.PutSmall(ctx, chunks, spec, u, c.label)
	if err != nil {
		return err
	}
	return compare(info, size, sum)
}

// compare checks what a node says it stored against what was sent.
func compare(info store.ChunkInfo, size int64, sum store.ChunkSum) error {
	if info.Size != size || info.Sum != sum {
		return store.Errorf(store.Corrupt, "the node stored %d bytes with sum %08x, %d bytes with sum %08x were sent",
			info.Size, uint32(info.Sum), size, uint32(sum))
	}
	return nil
}

func (c *copies) next() (store.NodeID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.nodes) == 0 {
		return store.NodeID{}, false
	}
	node := c.nodes[0]
	c.nodes = c.nodes[1:]
	return node, true
}

func (c *copies) mayLinger(node store.NodeID, index int, err error) {
	if kind := store.KindOf(err); kind == store.NoSpace || kind == store.Invalid {
		return // refused before anything was written
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uncertain = append(c.uncertain, store.Task{Kind: store.Reclaim, Chunk: c.part.ChunkID(index), Node: node, Reason: "an attempt to write it failed"})
}

// durable gives the part where any copy was taken, for the reclaim queue should the put still fail.
func (c *copies) durable() []store.Part {
	for _, p := range c.part.Chunks {
		if !p.Node.IsZero() {
			return []store.Part{c.part}
		}
	}
	return nil
}

// notEnough says why a write cannot be acknowledged.
func notEnough(p store.Part, got, required int, errs []error) error {
	kind := store.NoQuorum
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, store.NoSpace):
			kind = store.NoSpace
		case errors.Is(err, context.Canceled):
			return &store.Error{Kind: store.Canceled, Err: err}
		}
	}
	placed := 0
	for _, c := range p.Chunks {
		if !c.Node.IsZero() {
			placed++
		}
	}
	e := store.Errorf(kind, "%d of %d chunks are durable, which survives %s; a write is acknowledged when it survives %d: %w",
		placed, len(p.Chunks), failures(got), required, firstFew(errs))
	return e.WithHint("Nothing was stored. Try again; GET /nodes shows which storage nodes are missing or full.")
}

// firstFew keeps the message readable: one wave of failures mostly has one cause.
func firstFew(errs []error) error {
	const few = 3
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > few {
		errs = append(errs[:few:few], fmt.Errorf("and %d more", len(errs)-few))
	}
	return errors.Join(errs...)
}

func failures(n int) string {
	switch {
	case n < 0:
		return "nothing"
	case n == 0:
		return "no further node failure"
	case n == 1:
		return "1 further node failure"
	}
	return "several further node failures"
}
