package replay

import (
	"container/heap"
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Reconcile compares the placements of all parts with the lists of the nodes, and corrects them: chunks were moved, repaired and added after
// their file was logged. A chunk on no node becomes a hole, which repair fills. What should be on a node that cannot be listed is left as it is.
// Parts and lists are both in the order of their ids, so both are read once, in constant memory. Errors are those of the store.
func Reconcile(ctx context.Context, c Config, in Target, r *Report) error {
	x := &reconciler{in: in, report: r, listed: map[store.NodeID]bool{}}
	for _, n := range c.Nodes {
		l := &lister{node: n}
		if err := l.next(ctx); err != nil {
			continue // Read reported it, or it stopped since: its chunks are not verified
		}
		x.listed[n.ID] = true
		if !l.done {
			x.lists = append(x.lists, l)
		}
	}
	heap.Init(&x.lists)
	for after := (store.PartID{}); ; {
		parts, err := in.PartsAfter(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if err := x.part(ctx, p); err != nil {
				return err
			}
		}
		if len(parts) < pageSize {
			break
		}
		after = parts[len(parts)-1].ID
	}
	for len(x.lists) > 0 {
		x.skip(ctx)
	}
	return nil
}

type reconciler struct {
	in     Target
	report *Report
	listed map[store.NodeID]bool // nodes whose list could be read so far
	lists  listers
}

// copyOf is a chunk of the part on a node.
type copyOf struct {
	node store.NodeID
	chunk.Listed
}

// part corrects the placements of one part.
func (x *reconciler) part(ctx context.Context, p store.Part) error {
	copies := x.take(ctx, p.ID)
	x.report.Parts++
	if err := x.widen(ctx, &p, copies); err != nil {
		return err
	}
	readable := 0
	for i, at := range p.Chunks {
		to, known := x.place(at, copies[uint8(i)])
		switch {
		case !known:
			x.report.Unverified++
			readable++ // it may be there
			continue
		case to.Node.IsZero():
			x.report.Missing++
		default:
			readable++
		}
		if to == at || to.Node.IsZero() && at.Node.IsZero() {
			continue
		}
		if !to.Node.IsZero() {
			x.report.Moved++
		}
		err := x.in.MoveChunk(ctx, p.ChunkID(i), at, to)
		if err != nil && !errors.Is(err, store.Conflict) && !errors.Is(err, store.NotFound) {
			return err
		}
	}
	if readable < p.K {
		return x.lost(ctx, p)
	}
	return nil
}

// place returns where the chunk is: where the metadata has it if it is there, or else on another node. known is false where
// the chunk was found nowhere, and the node that should have it could not be listed.
func (x *reconciler) place(at store.Placement, copies []copyOf) (to store.Placement, known bool) {
	to = store.Placement{Sum: at.Sum}
	for _, c := range copies {
		if c.Damaged || at.Sum != 0 && c.Sum != at.Sum {
			continue
		}
		if c.node == at.Node {
			return at, true
		}
		to = store.Placement{Node: c.node, Sum: c.Sum}
	}
	return to, !to.Node.IsZero() || at.Node.IsZero() || x.listed[at.Node]
}

// widen adds the chunks that the part was given after its file was logged.
func (x *reconciler) widen(ctx context.Context, p *store.Part, copies map[uint8][]copyOf) error {
	width := len(p.Chunks)
	for i := range copies {
		width = max(width, int(i)+1)
	}
	if width == len(p.Chunks) {
		return nil
	}
	p.M = width - p.K
	p.Chunks = append(p.Chunks, make([]store.Placement, width-len(p.Chunks))...)
	return x.in.WidenPart(ctx, p.ID, p.M)
}

func (x *reconciler) lost(ctx context.Context, p store.Part) error {
	x.report.LostParts++
	if len(x.report.LostFiles) >= mostNamed {
		return nil
	}
	_, f, err := x.in.Part(ctx, p.ID)
	if err == nil {
		x.report.LostFiles = append(x.report.LostFiles, Lost{f.ID, f.Bucket, f.Key, p.Number})
	}
	return err
}

// take returns the listed chunks of the part, by index, and passes over those of parts before it.
func (x *reconciler) take(ctx context.Context, id store.PartID) map[uint8][]copyOf {
	copies := map[uint8][]copyOf{}
	for len(x.lists) > 0 {
		first := x.lists[0]
		at := first.page[0]
		switch c := at.ID.Compare(store.ChunkID{Part: id}); {
		case at.ID.Part == id:
			copies[at.ID.Index] = append(copies[at.ID.Index], copyOf{first.node.ID, at})
			x.advance(ctx)
		case c < 0:
			x.skip(ctx)
		default:
			return copies
		}
	}
	return copies
}

// skip passes over a chunk that belongs to no part.
func (x *reconciler) skip(ctx context.Context) {
	if !x.lists[0].page[0].ID.Part.IsLog() {
		x.report.Unknown++
	}
	x.advance(ctx)
}

// advance passes over the first chunk of all lists.
func (x *reconciler) advance(ctx context.Context) {
	first := x.lists[0]
	if err := first.next(ctx); err != nil {
		x.listed[first.node.ID] = false // the rest of it cannot be read: its chunks are not verified
		x.report.Silent = append(x.report.Silent, Silent{first.node.ID, err.Error()})
	}
	if first.done {
		heap.Pop(&x.lists)
		return
	}
	heap.Fix(&x.lists, 0)
}

// lister reads the list of a node. page begins with the current chunk.
type lister struct {
	node Node
	page []chunk.Listed
	last store.ChunkID
	more bool
	done bool
}

// next passes over the current chunk, if there is one.
func (l *lister) next(ctx context.Context) error {
	if len(l.page) > 1 {
		l.page = l.page[1:]
		return nil
	}
	if len(l.page) == 1 && !l.more {
		l.done = true
		return nil
	}
	page, err := l.node.Chunks.List(ctx, l.last, pageSize)
	if err != nil || len(page) == 0 {
		l.done = true
		return err
	}
	l.page, l.more, l.last = page, len(page) == pageSize, page[len(page)-1].ID
	return nil
}

// listers is a heap, by the current chunk.
type listers []*lister

func (l listers) Len() int           { return len(l) }
func (l listers) Less(i, j int) bool { return l[i].page[0].ID.Compare(l[j].page[0].ID) < 0 }
func (l listers) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface.
func (l *listers) Push(x any) { *l = append(*l, x.(*lister)) }

// Pop implements heap.Interface.
func (l *listers) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}
