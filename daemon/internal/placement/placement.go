// Package placement computes what a durability policy means for the members of a cluster: how many chunks a part has, how many
// of them a node may hold, and which failures a part survives. It is pure.
package placement

import (
	"maps"
	"slices"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// DataChunks is K of striped parts. Six makes the chunks of a 10 GB file 1.67 GB each.
const DataChunks = 6

// Policy is the layout of new data, to which older data is brought.
type Policy struct {
	Wanted  int // node failures that were asked for
	Survive int // node failures that the members can survive, at most Wanted
	Members int // active nodes, whether they can be reached or not
	Parity  int // parity chunks of a striped part; a small part has Survive further copies
}

// Node is a member that takes new chunks, whether it can be reached now or not: what is promised does
// not depend on the moment.
type Node struct {
	ID   store.NodeID
	Zone string // failure domain; "": the node is its own
}

// PolicyFor returns the policy for the nodes of a cluster of which wanted are to be able to fail. Where there are more zones than that,
// the same number of whole zones can fail, too, if any amount of parity achieves it.
func PolicyFor(nodes []Node, wanted int) Policy {
	p := Policy{Wanted: wanted, Members: len(nodes)}
	p.Survive = max(min(wanted, p.Members-1), 0)
	p.Parity = parityFor(max(p.Members, 1), p.Survive)
	if zones := zoneSizes(nodes); len(zones) > p.Survive && len(zones) < p.Members {
		p.coverZones(zones)
	}
	return p
}

// coverZones adds parity until the loss of as many whole zones as nodes is
// survived. Chunks are spread over nodes before they are spread over zones, so
// zones of different sizes hold different shares. Where no
// amount of parity suffices (one zone has most of the nodes), the layout remains the one for nodes.
func (p *Policy) coverZones(sizes []int) {
	for m := p.Parity; DataChunks+m <= store.MaxChunksPerPart; m++ {
		if survivesLoads(DataChunks, zoneLoads(sizes, DataChunks+m)) >= p.Survive {
			p.Parity = m
			return
		}
	}
}

// zoneSizes counts the nodes of each zone.
func zoneSizes(nodes []Node) (sizes []int) {
	named := map[string]int{} // index in sizes
	for _, n := range nodes {
		at, known := named[n.Zone]
		if !known || n.Zone == "" {
			at = len(sizes)
			named[n.Zone] = at
			sizes = append(sizes, 0)
		}
		sizes[at]++
	}
	return sizes
}

// zoneLoads returns how many chunks of a part the ring places in zones with so many nodes, all of them usable. By the ring's rule each
// chunk is placed in the zone with the fewest chunks, of those that have a node with the fewest. Which of several equal zones
// is taken depends on the part, so the loads of single zones vary; the loads as a multiset do not, because equal zones
// all get their chunk before the next higher level begins.
func zoneLoads(sizes []int, chunks int) []int {
	nodes := 0
	for _, size := range sizes {
		nodes += size
	}
	loads, rest := make([]int, len(sizes)), slices.Clone(sizes)
	for z, size := range sizes {
		loads[z] = chunks / nodes * size // rounds in which every node gets one
	}
	for range chunks % nodes {
		least := -1
		for z := range sizes {
			if rest[z] > 0 && (least < 0 || loads[z] < loads[least]) {
				least = z
			}
		}
		loads[least]++
		rest[least]--
	}
	return loads
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

// parityFor is the smallest m such that losing any f of n domains, over which
// k = DataChunks and m chunks are spread evenly, loses at most m of them: f*ceil((k+m)/n) <= m. For f < n it exists.
func parityFor(n, f int) int {
	m := 0
	for f*((DataChunks+m+n-1)/n) > m {
		m++
	}
	return m
}

// Survives is the number of node failures, whichever nodes they are, after which at
// least k of the placed chunks are left; -1 when there are fewer already.
// Placements without a node count as lost.
func Survives(k int, placed []store.Placement) int {
	byNode := map[store.NodeID]int{}
	for _, p := range placed {
		if !p.Node.IsZero() {
			byNode[p.Node]++
		}
	}
	return survivesLoads(k, slices.Collect(maps.Values(byNode)))
}

// survivesLoads is the number of failure domains, whichever they are, whose loss leaves at least k chunks, where each
// holds so many; -1 when there are fewer already.
func survivesLoads(k int, loads []int) int {
	left := 0
	for _, n := range loads {
		left += n
	}
	if left < k {
		return -1
	}
	slices.Sort(loads)
	slices.Reverse(loads) // the worst case: the domains with the most chunks fail first
	for i, n := range loads {
		if left -= n; left < k {
			return i
		}
	}
	return len(loads)
}

// Repair is the task that rebuilds the lost chunks of a part. Its priority is the number of further node failures that
// the part survives without them, as its other chunks are placed.
func Repair(p store.Part, lost store.ChunkSet, reason string) store.Task {
	left := slices.Clone(p.Chunks)
	for i := range left {
		if lost.Has(i) {
			left[i] = store.Placement{}
		}
	}
	t := store.Task{Kind: store.Repair, Chunk: store.ChunkID{Part: p.ID}, Chunks: lost, Priority: Survives(p.K, left), Reason: reason}
	return t.Queued()
}

// Merge adds the chunks, the higher urgency and the reason of another repair of the part to a queued one. False: the other adds nothing.
func Merge(queued, o store.Task) (merged store.Task, changed bool) {
	if queued.Kind != store.Repair || queued.Chunks|o.Chunks == queued.Chunks && o.Priority >= queued.Priority {
		return queued, false
	}
	merged = queued
	merged.Chunks |= o.Chunks
	merged.Priority = min(merged.Priority, o.Priority)
	switch {
	case strings.Contains(merged.Reason, o.Reason):
	case merged.Reason == "":
		merged.Reason = o.Reason
	case len(merged.Reason)+len("; ")+len(o.Reason) <= store.MaxReasons:
		merged.Reason += "; " + o.Reason
	}
	return merged, true
}
