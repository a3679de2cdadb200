package placement

import "github.com/ringstore/ringstore/daemon/internal/store"

// Ring chooses nodes; *ring.Ring implements it.
type Ring interface {
	// Place returns the node of each of the part's n chunks, by index, among the nodes for which usable is true; nil where no node is usable.
	Place(part store.PartID, n int, usable func(store.NodeID) bool) []store.NodeID
}

// Member is a node of the membership, with what it can do now.
type Member struct {
	Node
	Active   bool // it counts for the policy
	Writable bool // it takes new chunks now
	Full     bool // it could be written to if it had space
}

// Plan decides where the chunks of new parts are placed as long as the membership and the usable nodes stay the same. It is
// immutable and safe for concurrent use.
type Plan struct {
	Policy
	AtOnce int // node failures that a part survives when its write is acknowledged

	ring   Ring
	usable map[store.NodeID]bool
}

// NewPlan plans for the members, of which wanted are to be able to fail. Which of them can be reached decides
// only where chunks can be placed at once, not the policy. Errors: NoSpace when the reachable nodes are full, Unavailable when
// too few can be reached for a write to survive one more failure.
func NewPlan(r Ring, members []Member, wanted int) (*Plan, error) {
	p := &Plan{ring: r, usable: map[store.NodeID]bool{}}
	var active []Node
	full := 0
	for _, m := range members {
		if m.Active {
			active = append(active, m.Node)
		}
		switch {
		case m.Writable:
			p.usable[m.ID] = true
		case m.Full:
			full++
		}
	}
	p.Policy = PolicyFor(active, wanted)
	if err := p.enough(full); err != nil {
		return nil, err
	}
	p.AtOnce = min(p.Survive, len(p.usable)-1, Survives(DataChunks, p.Place(store.PartID{1}, DataChunks+p.Parity)))
	return p, nil
}

// Required is the number of further node failures that durable chunks must
// survive for a write to be acknowledged. It is 0 only in a cluster of one node,
// or where the operator asked for it.
func (p *Plan) Required() int { return min(1, p.Survive) }

// Place returns the nodes of a new part's n chunks, by index. Chunks that would exceed the share of the usable
// nodes become holes, without a node: repair fills them.
func (p *Plan) Place(id store.PartID, n int) []store.Placement {
	placed := make([]store.Placement, n)
	share := p.Share(n)
	held := map[store.NodeID]int{}
	for i, node := range p.ring.Place(id, n, p.takes) {
		if held[node]++; held[node] <= share {
			placed[i].Node = node
		}
	}
	return placed
}

// moreSpares is the number of spare nodes beyond those that hold chunks of the part.
const moreSpares = 4

// Spares returns the nodes for chunks of the part whose node fails during the write, in the order of the ring. The first of them hold
// chunks of the part already.
func (p *Plan) Spares(id store.PartID, n int) []store.NodeID {
	return p.ring.Place(id, min(len(p.usable), n+moreSpares), p.takes)
}

func (p *Plan) takes(id store.NodeID) bool { return p.usable[id] }

// enough refuses to begin a write that could not be acknowledged.
func (p *Plan) enough(full int) error {
	n := len(p.usable)
	switch {
	case n > p.Required():
		return nil
	case n+full > p.Required():
		return store.Errorf(store.NoSpace, "%d of the %d storage nodes that can be reached are full, and a write needs %d with room", full, n+full, p.Required()+1).
			WithHint("Delete files, or add a storage node.")
	case n == 0:
		return store.Errorf(store.Unavailable, "none of the %d storage nodes can be written to", p.Members).
			WithHint("Start the storage nodes that are missing.")
	}
	return store.Errorf(store.Unavailable, "%d of the %d storage nodes can be written to; a write must survive the loss of one more and needs %d", n, p.Members, p.Required()+1).
		WithHint("Start the storage nodes that are missing.")
}
