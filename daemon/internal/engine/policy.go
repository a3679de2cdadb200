package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// plan is how new data is laid out while the view of the nodes stays as it is.
type plan struct {
	placement.Policy
	view    *cluster.View
	atOnce  int // node failures that a write survives when it is acknowledged, with the nodes that are usable now
	striped erasure.Layout
	copies  erasure.Layout
	usable  map[store.NodeID]bool
}

// required is the number of further node failures that durable chunks must
// survive for a write to be acknowledged. It is 0 only in a cluster of one node,
// or where the operator asked for it.
func (p *plan) required() int { return min(1, p.Survive) }

// place gives the nodes of a new part's chunks, by index. Nodes that cannot be used leave holes, the
// zero node, rather than have the others hold more than their share: repair fills them.
func (p *plan) place(id store.PartID, n int) []store.NodeID {
	placed := p.view.Ring.Place(id, n, func(n store.NodeID) bool { return p.usable[n] })
	share := p.Share(n)
	held := map[store.NodeID]int{}
	for i, node := range placed {
		if held[node]++; held[node] > share {
			placed[i] = store.NodeID{}
		}
	}
	return placed
}

// spares returns the nodes for chunks whose node fails during a write, in the order of the ring. The first ones hold chunks of the part already.
func (p *plan) spares(id store.PartID, n int) []store.NodeID {
	return p.view.Ring.Place(id, min(len(p.usable), n+moreSpares), func(n store.NodeID) bool { return p.usable[n] })
}

// moreSpares is the number of spare nodes beyond those that hold chunks already.
const moreSpares = 4

// newPlan lays out new data over the members. Which of them happen to be reachable decides only where
// chunks can go at once, not what is promised. Errors: NoSpace when what can be reached is full, Unavailable when
// too few can be reached for a write to survive one more failure.
func newPlan(v *cluster.View, wanted, unitSize int) (*plan, error) {
	p := &plan{Policy: v.Policy(wanted), view: v, usable: map[store.NodeID]bool{}}
	full := 0
	for _, m := range v.Members {
		switch {
		case m.Writable():
			p.usable[m.ID] = true
		case m.State == store.NodeActive && m.Status == cluster.Online:
			full++
		}
	}
	if err := p.enough(full); err != nil {
		return nil, err
	}
	p.striped = erasure.Layout{K: placement.DataChunks, M: p.Parity, UnitSize: unitSize}
	p.copies = erasure.Layout{K: 1, M: p.Survive, UnitSize: unitSize}
	p.atOnce = p.survivesAtOnce()
	return p, nil
}

// enough refuses to begin a write that could not be acknowledged.
func (p *plan) enough(full int) error {
	n := len(p.usable)
	switch {
	case n > p.required():
		return nil
	case n+full > p.required():
		return store.Errorf(store.NoSpace, "%d of the %d storage nodes that can be reached are full, and a write needs %d with room", full, n+full, p.required()+1).
			WithHint("Delete files, or add a storage node.")
	case n == 0:
		return store.Errorf(store.Unavailable, "none of the %d storage nodes can be written to", p.Members).
			WithHint("Start the storage nodes that are missing.")
	}
	return store.Errorf(store.Unavailable, "%d of the %d storage nodes can be written to; a write must survive the loss of one more and needs %d", n, p.Members, p.required()+1).
		WithHint("Start the storage nodes that are missing.")
}

// survivesAtOnce is what a part survives that is written now, on the nodes that are usable.
func (p *plan) survivesAtOnce() int {
	placed := make([]store.Placement, p.striped.Width())
	for i, n := range p.place(store.PartID{1}, len(placed)) {
		placed[i].Node = n
	}
	return min(p.Survive, len(p.usable)-1, placement.Survives(placement.DataChunks, placed))
}

// planner keeps the plans of the present view, one for each number of failures,
// so that a small put does not walk over all nodes.
type planner struct {
	now atomic.Pointer[planSet]
}

type planSet struct {
	view  *cluster.View
	plans [store.MaxSurvive + 1]atomic.Pointer[plan]
}

// get returns the plan for the view. Two callers may make the same one at once; either will do.
func (p *planner) get(v *cluster.View, wanted, unitSize int) (*plan, error) {
	set := p.now.Load()
	if set == nil || set.view != v {
		set = &planSet{view: v}
		p.now.Store(set)
	}
	if made := set.plans[wanted].Load(); made != nil {
		return made, nil
	}
	made, err := newPlan(v, wanted, unitSize)
	if err != nil {
		return nil, err
	}
	set.plans[wanted].Store(made)
	return made, nil
}

// bucketTTL is how long a bucket's policy is trusted. Whether the bucket still
// exists is not: CommitFile looks that up itself.
const bucketTTL = 2 * time.Second

type bucketCache struct {
	m sync.Map // store.BucketName -> cachedBucket
}

type cachedBucket struct {
	bucket store.Bucket
	at     time.Time
}

func (e *Engine) bucket(ctx context.Context, name store.BucketName) (store.Bucket, error) {
	if c, ok := e.buckets.m.Load(name); ok && time.Since(c.(cachedBucket).at) < bucketTTL {
		return c.(cachedBucket).bucket, nil
	}
	b, err := e.meta.Bucket(ctx, name)
	if err != nil {
		e.buckets.m.Delete(name)
		return store.Bucket{}, err
	}
	e.buckets.m.Store(name, cachedBucket{b, time.Now()})
	return b, nil
}

// planFor returns the layout of new data in the bucket. NotFound, and the errors of newPlan.
func (e *Engine) planFor(ctx context.Context, name store.BucketName) (*plan, error) {
	b, err := e.bucket(ctx, name)
	if err != nil {
		return nil, err
	}
	wanted := b.Survive
	if wanted == store.SurviveDefault {
		wanted = e.cfg.Survive
	}
	return e.plans.get(e.fleet.View(), wanted, e.cfg.UnitSize)
}
