package repair

import (
	"context"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// refusal is an error of the target node: another node may take the chunk.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

// differing is the error of chunks that were reconstructed with other sums than they had. Nothing was stored.
type differing struct {
	chunks store.ChunkSet
	err    error
}

func (d *differing) Error() string { return d.err.Error() }

func (d *differing) Unwrap() error { return d.err }

// rebuild writes the planned chunks to their nodes. The bytes come from the chunks themselves unless they are lost, and
// otherwise from one read of any K others. A move without an error is durable, and equal to the chunk before wherever the
// sum of that is known. The error of a target is a refusal, and fails its chunk only. Where sums differ the error is a *differing.
func (l *Loop) rebuild(ctx context.Context, p *partTask) ([]move, error) {
	var chunks store.ChunkSet
	only := p.part
	only.Chunks = make([]store.Placement, len(p.part.Chunks))
	for i, node := range p.plan {
		chunks |= store.NewChunkSet(i)
		only.Chunks[i].Node = node
	}
	in, err := l.io.ReadChunks(ctx, p.part, chunks, p.lost)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	label, err := in.Label()
	if err != nil {
		return nil, err
	}
	out := l.io.Write(ctx, stripe.WriteSpec{Part: only, Size: only.Size, Required: -1, All: true})
	defer out.Abort()
	sums, err := transfer(ctx, chunks, in, out)
	if err != nil {
		return nil, err
	}
	var moves []move
	var wrong differing
	for _, i := range chunks.Indexes() {
		m := move{candidate: candidate{i, p.plan[i]}, from: p.part.Chunks[i], sum: sums[i]}
		if before := m.from.Sum; before != 0 && before != m.sum && out.Failure(i) == nil {
			wrong.chunks |= store.NewChunkSet(i)
			wrong.err = errors.Join(wrong.err, store.Errorf(store.Corrupt, "chunk %s was reconstructed with sum %08x instead of %08x", p.part.ChunkID(i), m.sum, before))
		}
		moves = append(moves, m)
	}
	if wrong.chunks != 0 {
		return nil, &wrong
	}
	if err := l.announce(ctx, p); err != nil {
		return nil, err
	}
	_, err = out.Commit(label)
	for _, t := range out.Uncertain() {
		err = errors.Join(err, l.takeBack(ctx, p, candidate{int(t.Chunk.Index), t.Node}))
	}
	for i := range moves {
		moves[i].err = refused(out.Failure(moves[i].index))
	}
	return moves, err
}

// unfinished is when copies that were committed and not moved to count as those of a gateway that has ended: later than a commit
// of a long chunk takes. If the repair still runs then, its copy may be deleted, and it is repeated: see record and mustBePresent.
const unfinished = 30 * time.Second

// announce queues a delayed reclaim of each copy that is about to be committed; the move removes it. Without it, a gateway that is
// killed between the two would leave a copy that no one knows of once the file is deleted.
func (l *Loop) announce(ctx context.Context, p *partTask) error {
	var tasks []store.Task
	for i, node := range p.plan {
		tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: p.part.ChunkID(i), Node: node, Reason: leftByRepair, Delay: unfinished})
	}
	return l.cfg.Meta.Enqueue(ctx, tasks)
}

// transfer sends all units of the chunks, and returns the chunks' sums. It ends early when no target takes more.
func transfer(ctx context.Context, chunks store.ChunkSet, in *stripe.Reader, out *stripe.Writer) (sums [store.MaxChunksPerPart]store.ChunkSum, err error) {
	first, last := in.Stripes()
	for s := first; s <= last; s++ {
		units, err := in.Units(s)
		if err != nil {
			return sums, err
		}
		for _, i := range chunks.Indexes() {
			sums[i] = sums[i].Add(units[i].CRC)
		}
		out.Send(units)
		if err := ctx.Err(); err != nil {
			return sums, err
		}
		if !taken(chunks, out) {
			break
		}
	}
	return sums, nil
}

// taken reports whether a target still takes its chunk.
func taken(chunks store.ChunkSet, out *stripe.Writer) bool {
	for _, i := range chunks.Indexes() {
		if out.Failure(i) == nil {
			return true
		}
	}
	return false
}

// refused makes an error of the target a refusal.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err}
}
