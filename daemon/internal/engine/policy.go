package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// dataChunks is K of striped parts. Six makes the chunks of a 10 GB file 1.67 GB each.
const dataChunks = 6

// plan is how new data is laid out while the view of the nodes stays as it is.
type plan struct {
	view    *cluster.View
	wanted  int // node failures that were asked for
	survive int // node failures that the members can give, at most wanted; reachable or not
	atOnce  int // node failures that a write survives when it is acknowledged, with the nodes that are usable now
	striped erasure.Layout
	copies  erasure.Layout
	members int // active nodes
	usable  map[store.NodeID]bool
}

// required is the number of further node failures that durable chunks must
// survive for a write to be acknowledged. It is 0 only in a cluster of one node,
// or where the operator asked for it.
func (p *plan) required() int { return min(1, p.survive) }

// place gives the nodes of a new part's chunks, by index. Nodes that cannot be used leave holes, the
// zero node, rather than have the others hold more than their share: repair fills them.
func (p *plan) place(id store.PartID, n int) []store.NodeID {
	placed := p.view.Ring.Place(id, n, func(n store.NodeID) bool { return p.usable[n] })
	share := (n + p.members - 1) / p.members
	held := map[store.NodeID]int{}
	for i, node := range placed {
		if held[node]++; held[node] > share {
			placed[i] = store.NodeID{}
		}
	}
	return placed
}

// substitutes gives all usable nodes, those that a part's copies go to first.
func (p *plan) substitutes(id store.PartID) []store.NodeID {
	return p.view.Ring.Place(id, len(p.usable), func(n store.NodeID) bool { return p.usable[n] })
}

// newPlan lays out new data over the members. Which of them happen to be reachable decides only where
// chunks can go at once, not what is promised. Errors: NoSpace when what can be reached is full, Unavailable when
// too few can be reached for a write to survive one more failure.
func newPlan(v *cluster.View, wanted, unitSize int) (*plan, error) {
	p := &plan{view: v, wanted: wanted, usable: map[store.NodeID]bool{}}
	zones := map[string]bool{}
	full := 0
	for _, m := range v.Members {
		if m.State != store.NodeActive {
			continue
		}
		p.members++
		zones[zoneOf(m)] = true
		switch {
		case m.Writable():
			p.usable[m.ID] = true
		case m.Status == cluster.Online:
			full++
		}
	}
	p.survive = max(min(wanted, p.members-1), 0)
	if err := p.enough(full); err != nil {
		return nil, err
	}
	p.striped = erasure.Layout{K: dataChunks, M: parityFor(dataChunks, p.members, p.survive), UnitSize: unitSize}
	if len(zones) > p.survive && len(zones) < p.members {
		p.coverZones()
	}
	p.copies = erasure.Layout{K: 1, M: p.survive, UnitSize: unitSize}
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
		return store.Errorf(store.Unavailable, "none of the %d storage nodes can be written to", p.members).
			WithHint("Start the storage nodes; GET /nodes shows which are missing.")
	}
	return store.Errorf(store.Unavailable, "%d of the %d storage nodes can be written to; a write must survive the loss of one more and needs %d", n, p.members, p.required()+1).
		WithHint("Start the storage nodes; GET /nodes shows which are missing.")
}

// survivesAtOnce is what a part survives that is written now, on the nodes that are usable.
func (p *plan) survivesAtOnce() int {
	placed := make([]store.Placement, p.striped.Width())
	for i, n := range p.place(store.PartID{1}, len(placed)) {
		placed[i].Node = n
	}
	return min(p.survive, len(p.usable)-1, survives(dataChunks, placed))
}

// coverZones adds parity until the loss of as many whole zones as nodes may fail is
// survived too. Chunks are spread over nodes before they are spread over zones, so
// zones of different sizes hold different shares: what counts is where the ring puts them. Where no
// amount of parity does it (one zone has most of the nodes), the layout stays as nodes alone want it.
func (p *plan) coverZones() {
	zone := map[store.NodeID]store.NodeID{} // a zone stands for its nodes under the id of one of them
	first := map[string]store.NodeID{}
	for _, m := range p.view.Members {
		if _, ok := first[zoneOf(m)]; !ok {
			first[zoneOf(m)] = m.ID
		}
		zone[m.ID] = first[zoneOf(m)]
	}
	for m := p.striped.M; dataChunks+m <= store.MaxChunksPerPart; m++ {
		if p.zonesSurvived(m, zone) >= p.survive {
			p.striped.M = m
			return
		}
	}
}

// zonesSurvived is the number of zones that parts with m parity chunks can
// lose. How the ring spreads a part depends a little on where the part's walk begins, so many are tried.
func (p *plan) zonesSurvived(m int, zone map[store.NodeID]store.NodeID) int {
	const samples = 64
	least := len(zone)
	for i := range samples {
		placed := make([]store.Placement, 0, dataChunks+m)
		for _, n := range p.view.Ring.Place(store.PartID{byte(i + 1)}, dataChunks+m, nil) {
			placed = append(placed, store.Placement{Node: zone[n]})
		}
		least = min(least, survives(dataChunks, placed))
	}
	return least
}

// zoneOf names a member's failure domain; without a zone it is its own.
func zoneOf(m cluster.Member) string {
	if m.Zone == "" {
		return "node " + m.ID.String()
	}
	return "zone " + m.Zone
}

// parityFor is the smallest m such that losing any f of n domains, over which
// k+m chunks are spread evenly, loses at most m of them: f*ceil((k+m)/n) <= m. For f < n it exists.
func parityFor(k, n, f int) int {
	m := 0
	for f*((k+m+n-1)/n) > m {
		m++
	}
	return m
}

// survives is the number of node failures, whichever they are, after which at
// least k of the placed chunks are left; -1 when there are fewer already.
// Placements without a node count as lost.
func survives(k int, placed []store.Placement) int {
	byNode := map[store.NodeID]int{}
	left := 0
	for _, p := range placed {
		if !p.Node.IsZero() {
			byNode[p.Node]++
			left++
		}
	}
	if left < k {
		return -1
	}
	held := make([]int, 0, len(byNode))
	for _, n := range byNode {
		held = append(held, n)
	}
	slices.Sort(held)
	slices.Reverse(held) // the worst that can happen: the fullest go first
	for i, n := range held {
		if left -= n; left < k {
			return i
		}
	}
	return len(held)
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

// planFor gives the layout of new data in the bucket.
func (e *Engine) planFor(b store.Bucket) (*plan, error) {
	wanted := b.Survive
	if wanted == store.SurviveDefault {
		wanted = e.cfg.Survive
	}
	return e.plans.get(e.fleet.View(), wanted, e.cfg.UnitSize)
}
