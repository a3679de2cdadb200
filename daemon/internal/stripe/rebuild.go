package stripe

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// RebuildSpec is what Rebuild writes.
type RebuildSpec struct {
	Part    store.Part
	Lost    store.ChunkSet       // not read where the part places them
	Targets map[int]store.NodeID // the chunks to write, by index, and the node for each
	// Announce is called when all bytes were sent, before a chunk can be durable on its target. Its error ends the rebuild.
	Announce func(context.Context) error
}

// Rebuilt is a chunk that was written to another node, or why it was not.
type Rebuilt struct {
	Index     int
	From      store.Placement // in the part
	To        store.Placement
	Err       error // of the target, which has failed: another node may take the chunk. nil: the chunk is durable there
	Uncertain bool  // the target may have the chunk, although it has failed or Rebuild returned an error
}

// DifferingError is the error of chunks that were reconstructed with other sums than the part has.
type DifferingError struct {
	Chunks store.ChunkSet
	err    error
}

// Error implements error.
func (d *DifferingError) Error() string { return d.err.Error() }

// Unwrap returns the errors of the chunks.
func (d *DifferingError) Unwrap() error { return d.err }

// Rebuild writes chunks of a part to other nodes. The bytes come from the chunks themselves unless they are lost, and otherwise
// from one read of any K others. A chunk that is durable on its target is equal to the one before wherever the sum of that is known: where
// sums differ nothing is stored, and the error is a *DifferingError. The failure of a target fails its chunk only. With another
// error no chunk counts as written, and those that may be on their targets are returned as Uncertain.
func (o *IO) Rebuild(ctx context.Context, spec RebuildSpec) ([]Rebuilt, error) {
	var chunks store.ChunkSet
	part := spec.Part
	part.Chunks = make([]store.Placement, len(spec.Part.Chunks))
	for i, node := range spec.Targets {
		chunks |= store.NewChunkSet(i)
		part.Chunks[i].Node = node
	}
	in, err := o.ReadChunks(ctx, spec.Part, chunks, spec.Lost)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	label, err := in.label()
	if err != nil {
		return nil, err
	}
	out := o.Write(ctx, WriteSpec{Part: part, Size: part.Size, Required: -1, All: true})
	defer out.Abort()
	if err := out.copyFrom(in, chunks); err != nil {
		return nil, err
	}
	if err := out.differing(spec.Part, chunks); err != nil {
		return nil, err
	}
	if err := spec.Announce(ctx); err != nil {
		return nil, err
	}
	_, err = out.Commit(label)
	return out.rebuilt(spec.Part, chunks), err
}

// copyFrom sends all units of the chunks. It ends early when no target takes more.
func (w *Writer) copyFrom(in *Reader, chunks store.ChunkSet) error {
	first, last := in.Stripes()
	for s := first; s <= last; s++ {
		units, err := in.Units(s)
		if err != nil {
			return err
		}
		w.Send(units)
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if w.failedOf(chunks) == chunks {
			break
		}
	}
	return nil
}

// failedOf returns those of the chunks whose target has failed.
func (w *Writer) failedOf(chunks store.ChunkSet) (failed store.ChunkSet) {
	for _, i := range chunks.Indexes() {
		if w.failure(i) != nil {
			failed |= store.NewChunkSet(i)
		}
	}
	return failed
}

// differing returns the error of the chunks that were sent with other sums than the part has, nil if no sum differs. Those of failed
// targets may not have been sent to their end.
func (w *Writer) differing(p store.Part, chunks store.ChunkSet) error {
	var wrong DifferingError
	for _, i := range (chunks &^ w.failedOf(chunks)).Indexes() {
		if before, sum := p.Chunks[i].Sum, w.chunks[i].sum; before != 0 && before != sum {
			wrong.Chunks |= store.NewChunkSet(i)
			wrong.err = errors.Join(wrong.err, store.Errorf(store.Corrupt, "chunk %s was reconstructed with sum %08x instead of %08x", p.ChunkID(i), sum, before))
		}
	}
	if wrong.Chunks == 0 {
		return nil
	}
	return &wrong
}

// rebuilt returns the chunks after Commit.
func (w *Writer) rebuilt(p store.Part, chunks store.ChunkSet) (all []Rebuilt) {
	var uncertain store.ChunkSet
	for _, t := range w.Uncertain() {
		uncertain |= store.NewChunkSet(int(t.Chunk.Index))
	}
	for _, i := range chunks.Indexes() {
		to := store.Placement{Node: w.spec.Part.Chunks[i].Node, Sum: w.chunks[i].sum}
		all = append(all, Rebuilt{Index: i, From: p.Chunks[i], To: to, Err: w.failure(i), Uncertain: uncertain.Has(i)})
	}
	return all
}
