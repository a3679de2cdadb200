package repair

import (
	"context"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// rebuild writes the chunk to the target, from the chunks of those indexes, and
// returns its sum. It is durable then, and the same as what was lost wherever that is known.
// Errors of the target are refusals.
func (j *Job) rebuild(ctx context.Context, p *patient, from []int, chunks store.Chunks, target store.NodeID) (store.ChunkSum, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	code, err := erasure.New(p.part.K, p.part.M)
	if err != nil {
		return 0, err
	}
	src := j.newSources(p, from)
	defer src.close()
	label, err := j.label(ctx, p, from)
	if err != nil {
		return 0, err
	}
	w := &writing{job: j, p: p, node: target, ctx: ctx, cancel: cancel}
	if err := w.begin(chunks); err != nil {
		return 0, err
	}
	defer w.abort()
	for s := range src.layout.Stripes(p.part.Size) {
		u, err := j.unit(ctx, p, src, code, s)
		if err != nil {
			return 0, err
		}
		if err := w.append(u); err != nil {
			return 0, err
		}
	}
	return w.commit(label)
}

// label is what the chunk's fellows carry: it is the same for all chunks of a part.
func (j *Job) label(ctx context.Context, p *patient, from []int) (store.Label, error) {
	var last error = store.Errorf(store.Unavailable, "no other chunk of part %s can be read now", p.part.ID)
	for _, i := range from {
		node := p.part.Chunks[i].Node
		if m, ok := p.view.Member(node); !ok || !m.Readable() {
			continue
		}
		info, err := j.stat(ctx, node, p.part.ChunkID(i))
		if err == nil {
			return info.Label, nil
		}
		if ctx.Err() != nil {
			return store.Label{}, ctx.Err()
		}
		last = err
	}
	return store.Label{}, last
}

func (j *Job) stat(ctx context.Context, node store.NodeID, id store.ChunkID) (store.ChunkInfo, error) {
	chunks, err := j.cfg.Fleet.Chunks(node)
	if err != nil {
		return store.ChunkInfo{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Stall)
	defer cancel()
	return chunks.Stat(ctx, id)
}

// unit makes the stripe's unit of the chunk.
func (j *Job) unit(ctx context.Context, p *patient, src *sources, code *erasure.Code, stripe int) (store.Unit, error) {
	var read [store.MaxChunksPerPart]store.Unit
	units := read[:src.layout.Width()]
	err := src.stripe(ctx, stripe, units)
	if err == nil && src.need == 1 {
		for _, u := range units {
			if u.Data != nil {
				return u, nil // a copy, or the chunk itself: handed on as it came
			}
		}
	}
	defer func() {
		for _, u := range units {
			u.Release()
		}
	}()
	if err != nil {
		return store.Unit{}, err
	}
	return j.decode(p, src.layout, code, stripe, units)
}

func (j *Job) decode(p *patient, l erasure.Layout, code *erasure.Code, stripe int, units []store.Unit) (store.Unit, error) {
	var views [store.MaxChunksPerPart][]byte
	var want [store.MaxChunksPerPart]bool
	for i, u := range units {
		views[i] = u.Data
	}
	buf := j.buffers.get(l.UnitLen(p.part.Size, stripe))
	views[p.index] = buf.data[:0]
	want[p.index] = true
	if err := code.Reconstruct(views[:l.Width()], want[:l.Width()]); err != nil {
		buf.Release()
		return store.Unit{}, err
	}
	return store.NewUnit(views[p.index], buf), nil
}

// errStalled ends the context of a rebuild whose target takes nothing.
var errStalled = errors.New("stalled")

// writing is the new chunk on its way to the target. A target that takes nothing
// for a while is cut off, by ending the context of the whole rebuild.
type writing struct {
	job    *Job
	p      *patient
	node   store.NodeID
	ctx    context.Context
	cancel context.CancelCauseFunc

	w   store.ChunkWriter
	sum store.ChunkSum // of what was appended
}

func (w *writing) begin(chunks store.Chunks) error {
	spec := store.ChunkSpec{ID: w.p.id(), UnitSize: w.p.part.UnitSize, SizeHint: w.p.part.ChunkSize()}
	return w.guard(func() (err error) {
		w.w, err = chunks.Create(w.ctx, spec)
		return err
	})
}

func (w *writing) append(u store.Unit) error {
	sum := w.sum.Add(u.CRC)
	if err := w.guard(func() error { return w.w.Append(u) }); err != nil {
		return err
	}
	w.sum = sum
	return nil
}

// commit makes the chunk durable, after its sum was compared with that of the
// chunk that was lost, and compares what the node says it stored.
func (w *writing) commit(label store.Label) (store.ChunkSum, error) {
	if lost := w.p.at.Sum; lost != 0 && lost != w.sum {
		return 0, store.Errorf(store.Corrupt, "chunk %s came out with sum %08x instead of %08x", w.p.id(), w.sum, lost)
	}
	var info store.ChunkInfo
	err := w.guard(func() (err error) {
		info, err = w.w.Commit(label)
		return err
	})
	if err == nil && (info.Sum != w.sum || info.Size != w.p.part.ChunkSize()) {
		err = &refusal{store.Errorf(store.Corrupt, "node %s stored %d bytes with sum %08x instead of %d with %08x", w.node, info.Size, info.Sum, w.p.part.ChunkSize(), w.sum)}
	}
	if err != nil { // it may be there all the same
		return 0, errors.Join(err, w.job.takeBack(w.ctx, w.p, w.node))
	}
	w.job.cfg.Fleet.Report(w.node, nil)
	return w.sum, nil
}

func (w *writing) abort() { w.w.Abort() }

// guard runs one call to the target within the stall limit, and makes its error a refusal.
func (w *writing) guard(call func() error) error {
	stall := w.job.cfg.Stall
	timer := time.AfterFunc(stall, func() { w.cancel(errStalled) })
	err := call()
	timer.Stop()
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(w.ctx), errStalled) {
		err = store.Errorf(store.Unavailable, "node %s took nothing for %s", w.node, stall)
	}
	w.job.cfg.Fleet.Report(w.node, err)
	return &refusal{err}
}
