package repair

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func anyNode(store.NodeID) bool { return true }

// refuse makes the node no candidate for the chunk in this step.
func (p *partTask) refuse(index int, node store.NodeID) {
	p.avoid[candidate{index, node}] = struct{}{}
}

// better is the node where the ring would place the chunk, if that holds fewer of
// the part's other chunks than the given node.
func (p *partTask) better(index int, than store.NodeID) (store.NodeID, bool) {
	held := p.held(index)
	best, ok := p.next(index, anyNode)
	return best, ok && held[best] < held[than]
}

// held counts the part's other chunks by node. Holes count under the zero node, which the ring does not have.
func (p *partTask) held(index int) map[store.NodeID]int {
	count := map[store.NodeID]int{}
	for _, id := range p.others(index) {
		count[id]++
	}
	return count
}

// others returns the nodes of the part's other chunks, of those that are being placed the planned ones.
func (p *partTask) others(index int) (nodes []store.NodeID) {
	for i, c := range p.part.Chunks {
		if i == index {
			continue
		}
		if planned, ok := p.plan[i]; ok {
			c.Node = planned
		}
		nodes = append(nodes, c.Node)
	}
	return nodes
}

// next is the ring's choice among the nodes with room for which pass is true.
func (p *partTask) next(index int, pass func(store.NodeID) bool) (store.NodeID, bool) {
	return p.view.Ring.Next(p.part.ID, p.others(index), func(id store.NodeID) bool {
		m, known := p.view.Member(id)
		return known && m.Writable() && m.Capacity.Free > p.part.ChunkSize() && pass(id)
	})
}

// move is a chunk that was rebuilt on another node, or why it was not.
type move struct {
	candidate
	from store.Placement
	sum  store.ChunkSum
	err  error
}

// place tries nodes, in the order of the ring, until each of the chunks is on one: rebuilt, durable, and recorded
// in the metadata. All that can be placed at a time are rebuilt by one read. It returns the moves that were made, also with an error.
func (l *Loop) place(ctx context.Context, p *partTask, chunks store.ChunkSet, pass func(store.NodeID) bool) (made []move, err error) {
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
		moves, err := l.rebuild(ctx, p)
		if wrong := (*differing)(nil); errors.As(err, &wrong) {
			errs = append(errs, err)
			chunks &^= wrong.chunks // the others are rebuilt without them
			continue
		}
		if err != nil {
			errs = append(errs, err)
			break
		}
		for _, m := range moves {
			if m.err == nil {
				m.err = l.record(ctx, p, m)
			}
			switch refused := (*refusal)(nil); {
			case errors.As(m.err, &refused):
				p.refuse(m.index, m.node)
				continue
			case m.err == nil:
				made = append(made, m)
			default:
				errs = append(errs, m.err)
			}
			chunks &^= store.NewChunkSet(m.index)
		}
	}
	clear(p.plan)
	return made, errors.Join(append(errs, ctx.Err())...)
}

// choose plans a node for the chunk that can take it now.
func (l *Loop) choose(ctx context.Context, p *partTask, index int, pass func(store.NodeID) bool) error {
	var last error = store.Errorf(store.Unavailable, "no node can take chunk %s now", p.part.ChunkID(index))
	for ctx.Err() == nil {
		target, ok := p.next(index, func(id store.NodeID) bool {
			_, avoid := p.avoid[candidate{index, id}]
			return !avoid && pass(id)
		})
		if !ok {
			return last
		}
		err := l.mustBeAbsent(ctx, p, candidate{index, target})
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
func (l *Loop) mustBeAbsent(ctx context.Context, p *partTask, c candidate) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Stall)
	defer cancel()
	err := l.stat(ctx, p, c)
	switch {
	case err == nil || store.KindOf(err) == store.Corrupt:
		err := store.Errorf(store.Conflict, "node %s has an old copy of chunk %s", c.node, p.part.ChunkID(c.index))
		return errors.Join(err, l.takeBack(ctx, p, c))
	case store.KindOf(err) == store.NotFound:
		return nil
	}
	return err
}

// stat looks for the chunk on the node, and reports a node that does not answer.
func (l *Loop) stat(ctx context.Context, p *partTask, c candidate) error {
	chunks, err := l.cfg.Fleet.Chunks(c.node)
	if err != nil {
		return err
	}
	_, err = chunks.Stat(ctx, p.part.ChunkID(c.index))
	if err != nil && store.KindOf(err) != store.NotFound && store.KindOf(err) != store.Corrupt {
		l.cfg.Fleet.Report(c.node, err)
	}
	return err
}

// record makes the metadata place the rebuilt chunk on its node. The metadata decides: a copy that it does not place there is reclaimed.
func (l *Loop) record(ctx context.Context, p *partTask, m move) error {
	now := store.Placement{Node: m.node, Sum: m.sum}
	switch err := l.cfg.Meta.MoveChunk(ctx, p.part.ChunkID(m.index), m.from, now); {
	case err == nil:
		p.part.Chunks[m.index] = now
		p.lost &^= store.NewChunkSet(m.index)
		l.written.Add(p.part.ChunkSize())
		l.cfg.Reclaim()
		return l.mustBePresent(ctx, p, m.candidate)
	case store.KindOf(err) == store.NotFound:
		return l.takeBack(ctx, p, m.candidate) // the file was deleted meanwhile
	default:
		return errors.Join(err, l.takeBack(ctx, p, m.candidate))
	}
}

// mustBePresent checks that the target still has the chunk, now that the metadata places the chunk
// there and no reclaim can delete it. Between commit and move one could:
// another gateway that repairs the same chunk takes this copy for a leftover, queues it, and
// it is deleted before the move. Then the chunk is to be repaired again.
func (l *Loop) mustBePresent(ctx context.Context, p *partTask, c candidate) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	err := l.stat(ctx, p, c)
	if err == nil {
		return nil
	}
	return l.again(ctx, p, c.index, "it was repaired, but could not be found afterwards: "+err.Error())
}
