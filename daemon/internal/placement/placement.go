// Package placement computes what a durability policy means for the members of a cluster: how many chunks a part has, how many
// of them a node may hold, and which failures a part survives. It is pure.
package placement

import (
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// DataChunks is K of striped parts. Six makes the chunks of a 10 GB file 1.67 GB each.
const DataChunks = 6

// Policy is what new data gets, and older data is brought to.
type Policy struct {
	Wanted  int // node failures that were asked for
	Survive int // node failures that the members can give, at most Wanted
	Members int // active nodes, whether they can be reached or not
	Parity  int // parity chunks of a striped part; a small part has Survive further copies
}

// Node is a member that takes new chunks, whether it can be reached now or not: what is promised must
// not depend on the moment.
type Node struct {
	ID   store.NodeID
	Zone string // failure domain; "": the node is its own
}

// Place gives the nodes of n chunks of a part, by chunk index, on a cluster whose nodes can all be reached; the ring does.
type Place func(part store.PartID, n int) []store.NodeID

// PolicyFor gives the policy for the nodes of a cluster, of which so many are to be able to fail.
func PolicyFor(nodes []Node, place Place, wanted int) Policy {
	p := Policy{Wanted: wanted, Members: len(nodes)}
	zones := map[string]bool{}
	for _, n := range nodes {
		zones[zoneOf(n)] = true
	}
	p.Survive = max(min(wanted, p.Members-1), 0)
	p.Parity = parityFor(DataChunks, max(p.Members, 1), p.Survive)
	if len(zones) > p.Survive && len(zones) < p.Members {
		p.coverZones(nodes, place)
	}
	return p
}

// ParityOf is the number of parity chunks, or of further copies, that a part of k data chunks has by the policy.
func (p Policy) ParityOf(k int) int {
	if k == 1 {
		return p.Survive
	}
	return p.Parity
}

// Share is the most chunks of a part with that many chunks that a node may hold.
func (p Policy) Share(chunks int) int { return (chunks + p.Members - 1) / max(p.Members, 1) }

// coverZones adds parity until the loss of as many whole zones as nodes may fail is
// survived too. Chunks are spread over nodes before they are spread over zones, so
// zones of different sizes hold different shares: what counts is where the ring puts them. Where no
// amount of parity does it (one zone has most of the nodes), the layout stays as nodes alone want it.
func (p *Policy) coverZones(nodes []Node, place Place) {
	zone := map[store.NodeID]store.NodeID{} // a zone stands for its nodes under the id of one of them
	first := map[string]store.NodeID{}
	for _, m := range nodes {
		if _, ok := first[zoneOf(m)]; !ok {
			first[zoneOf(m)] = m.ID
		}
		zone[m.ID] = first[zoneOf(m)]
	}
	for m := p.Parity; DataChunks+m <= store.MaxChunksPerPart; m++ {
		if zonesSurvived(place, m, zone) >= p.Survive {
			p.Parity = m
			return
		}
	}
}

// zonesSurvived is the number of zones that parts with m parity chunks can
// lose. How the ring spreads a part depends a little on where the part's walk begins, so many are tried.
func zonesSurvived(place Place, m int, zone map[store.NodeID]store.NodeID) int {
	const samples = 64
	least := len(zone)
	for i := range samples {
		placed := make([]store.Placement, 0, DataChunks+m)
		for _, n := range place(store.PartID{byte(i + 1)}, DataChunks+m) {
			placed = append(placed, store.Placement{Node: zone[n]})
		}
		least = min(least, Survives(DataChunks, placed))
	}
	return least
}

// zoneOf names a member's failure domain; without a zone it is its own.
func zoneOf(m Node) string {
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

// Survives is the number of node failures, whichever they are, after which at
// least k of the placed chunks are left; -1 when there are fewer already.
// Placements without a node count as lost.
func Survives(k int, placed []store.Placement) int {
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
