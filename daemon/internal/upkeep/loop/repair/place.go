package repair

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

func anyNode(store.NodeID) bool { return true }

// refuse makes the node no candidate for the chunk in this step.
func (p *partTask) refuse(index int, node store.NodeID) {
	p.avoid[candidate{index, node}] = struct{}{}
}

// planned is the part as it will be when the chunks that are being placed are on their nodes.
func (p *partTask) planned() store.Part {
	part := p.part
	part.Chunks = slices.Clone(part.Chunks)
	for i, node := range p.plan {
		part.Chunks[i].Node = node
	}
	return part
}

// place tries nodes, in the order of the ring, until each of the chunks is on one: rebuilt, durable, and recorded
// in the metadata. All that can be placed at a time are rebuilt by one read. It returns the chunks that were moved, also with an error.
func (l *Loop) place(ctx context.Context, p *partTask, chunks store.ChunkSet, pass func(store.NodeID) bool) (moved []stripe.Rebuilt, err error) {
	var errs []error
	for chunks != 0 && ctx.Err() == nil {
		clear(p.plan)
		for _, i := range chunks.Indexes() {
			if err := l.choose(ctx, p, i, pass); err != nil {
				errs = append(errs, err)
				chunks &^= store.NewChunkSet(i)
			}
		}
		if len(p.plan) == 0 {
			break
		}
		rebuilt, err := l.rebuild(ctx, p)
		if wrong := (*stripe.DifferingError)(nil); errors.As(err, &wrong) {
			errs = append(errs, err)
			chunks &^= wrong.Chunks // the others are rebuilt without them
			continue
		}
		if err != nil {
			errs = append(errs, err)
			break
		}
		for _, c := range rebuilt {
			if c.Err != nil {
				p.refuse(c.Index, c.To.Node)
				continue
			}
			chunks &^= store.NewChunkSet(c.Index)
			if err := l.record(ctx, p, c); err != nil {
				errs = append(errs, err)
				continue
			}
			moved = append(moved, c)
		}
	}
	clear(p.plan)
	return moved, errors.Join(append(errs, ctx.Err())...)
}

// choose plans a node for the chunk that can take it now.
func (l *Loop) choose(ctx context.Context, p *partTask, index int, pass func(store.NodeID) bool) error {
	var last error = store.Errorf(store.Unavailable, "no node can take chunk %s now", p.part.ChunkID(index))
	for ctx.Err() == nil {
		target, ok := p.view.Next(p.planned(), index, func(id store.NodeID) bool {
			_, avoid := p.avoid[candidate{index, id}]
			return !avoid && pass(id)
		})
		if !ok {
			return last
		}
		err := l.mustBeAbsent(ctx, p, index, target)
		if err == nil {
			p.plan[index] = target
			return nil
		}
		last = err
		p.refuse(index, target)
	}
	return ctx.Err()
}

// mustBeAbsent refuses a target that has a chunk of that id. That is a leftover
// of unknown condition, or the copy of a repair that runs at the same time; the reclaim
// loop deletes it unless the metadata places it there.
func (l *Loop) mustBeAbsent(ctx context.Context, p *partTask, index int, node store.NodeID) error {
	id := p.part.ChunkID(index)
	_, err := l.io.Stat(ctx, node, id)
	switch {
	case err == nil || store.KindOf(err) == store.Corrupt:
		err := store.Errorf(store.Conflict, "node %s has an old copy of chunk %s", node, id)
		return errors.Join(err, l.takeBack(ctx, p, index, node))
	case store.KindOf(err) == store.NotFound:
		return nil
	}
	return err
}

// rebuild writes the planned chunks to their nodes, and takes back what failed targets may have.
func (l *Loop) rebuild(ctx context.Context, p *partTask) ([]stripe.Rebuilt, error) {
	rebuilt, err := l.io.Rebuild(ctx, stripe.RebuildSpec{
		Part: p.part, Lost: p.lost, Targets: p.plan, Announce: func(ctx context.Context) error { return l.announce(ctx, p) },
	})
	for _, c := range rebuilt {
		if c.Uncertain {
			err = errors.Join(err, l.takeBack(ctx, p, c.Index, c.To.Node))
		}
	}
	return rebuilt, err
}

// unfinished is when copies that were committed and not moved to count as those of a gateway that has ended: later than a commit
// of a long chunk takes. If the repair still runs then, its copy may be deleted, and it is repeated: see record and mustBePresent.
const unfinished = 30 * time.Second

// announce queues a delayed reclaim of each copy that is about to be committed; the move removes it. Without it, a gateway that is
// killed between the two would leave a copy that no one knows of once the file is deleted.
func (l *Loop) announce(ctx context.Context, p *partTask) error {
	var tasks []store.Task
	for i, node := range p.plan {
		t := p.leftover(i, node)
		t.Delay = unfinished
		tasks = append(tasks, t)
	}
	return l.cfg.Meta.Enqueue(ctx, tasks)
}

// record makes the metadata place the rebuilt chunk on its node. The metadata decides: a copy that it does not place there is reclaimed.
func (l *Loop) record(ctx context.Context, p *partTask, c stripe.Rebuilt) error {
	switch err := l.cfg.Meta.MoveChunk(ctx, p.part.ChunkID(c.Index), c.From, c.To); {
	case err == nil:
		p.part.Chunks[c.Index] = c.To
		p.lost &^= store.NewChunkSet(c.Index)
		l.written.Add(p.part.ChunkSize())
		l.cfg.Reclaim()
		return l.mustBePresent(ctx, p, c.Index)
	case store.KindOf(err) == store.NotFound:
		return l.takeBack(ctx, p, c.Index, c.To.Node) // the file was deleted meanwhile
	default:
		return errors.Join(err, l.takeBack(ctx, p, c.Index, c.To.Node))
	}
}

// mustBePresent checks that the target still has the chunk, now that the metadata places the chunk
// there and no reclaim can delete it. Between commit and move one could:
// another gateway that repairs the same chunk takes this copy for a leftover, queues it, and
// it is deleted before the move. Then the chunk is to be repaired again.
func (l *Loop) mustBePresent(ctx context.Context, p *partTask, index int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	if _, err := l.io.Stat(ctx, p.part.Chunks[index].Node, p.part.ChunkID(index)); err != nil {
		return l.again(ctx, p, index, "it was repaired, but could not be found afterwards: "+err.Error())
	}
	return nil
}
