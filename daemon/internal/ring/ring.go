// Package ring is the consistent hash ring. It decides on which nodes new chunks are placed and
// to which nodes upkeep moves existing ones; where a chunk is now is recorded in the metadata. The package is pure: no clock, no I/O.
//
// A node owns [VirtualNodes] points on a circle of 64 bits per unit of weight.
// A part's id is hashed onto the circle, and its walk visits the points clockwise from there.
// One rule decides where each chunk is placed:
//
//	to the usable nodes that hold the fewest chunks of the part,
//	among these, to the zones that hold the fewest,
//	among these, to the first met on the walk.
//
// Consequences: the first chunks are placed in distinct zones, the next on
// distinct nodes, and only then does the walk wrap, so that no node holds more
// than ceil(chunks / usable nodes). Zones are filled evenly as far as their numbers of
// nodes allow. Where the two conflict, nodes take precedence: a second chunk on a node always reduces
// what the part survives, a fuller zone only when a whole zone fails.
//
// When a node joins, chunks move only to it, and when one leaves
// only its chunks move. This holds for the number of chunks of a part on each node. The
// indexes of these chunks may differ; that is no reason to move data.
package ring

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// VirtualNodes is the number of points on the circle per unit of weight. A node's share of
// the circle then varies by 1/sqrt(150), 8%, around what its weight says.
const VirtualNodes = 150

// MaxWeight bounds a node's weight, and with it the memory that a ring takes.
const MaxWeight = store.MaxWeight

// Node is a node as the ring knows it.
type Node struct {
	ID     store.NodeID
	Zone   string // failure domain; "": the node is its own
	Weight int    // taken as 1 below 1, and as MaxWeight above that
}

// Ring is a ring of one epoch. It never changes and may be used by many goroutines.
type Ring struct {
	epoch    store.Epoch
	nodes    []Node // by ID, each once
	zoneOf   []int32
	zoneSize []int32 // nodes by zone
	tokens   []uint64
	owners   []int32 // the node of each token
	walks    sync.Pool
}

// New makes the ring of these nodes. Their order does not matter. An ID that is given
// twice counts once. It takes tens of milliseconds for a thousand nodes, so make one per epoch.
func New(epoch store.Epoch, nodes []Node) *Ring {
	r := &Ring{epoch: epoch, nodes: unique(nodes)}
	r.findZones()
	r.placeTokens()
	r.walks.New = func() any { return newWalk(r) }
	return r
}

// Epoch is the version of the membership that the ring was made from.
func (r *Ring) Epoch() store.Epoch { return r.epoch }

// Nodes returns the ring's nodes by ID, with their effective weights.
func (r *Ring) Nodes() []Node { return slices.Clone(r.nodes) }

// Shares returns the share of the circle that each node owns, in the order of
// Nodes. They add up to 1. A node gets about this share of the first chunks.
func (r *Ring) Shares() []float64 {
	shares := make([]float64, len(r.nodes))
	for i, owner := range r.owners {
		shares[owner] += arc(r.tokens[(i+len(r.tokens)-1)%len(r.tokens)], r.tokens[i])
	}
	return shares
}

// arc is the share of the circle clockwise from one point to another.
func arc(from, to uint64) float64 { return math.Ldexp(float64(to-from), -64) }

func unique(nodes []Node) []Node {
	nodes = slices.Clone(nodes)
	for i := range nodes {
		nodes[i].Weight = min(max(nodes[i].Weight, 1), MaxWeight)
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(compareIDs(a.ID, b.ID), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Weight, b.Weight))
	})
	return slices.CompactFunc(nodes, func(a, b Node) bool { return a.ID == b.ID })
}

func compareIDs(a, b store.NodeID) int { return slices.Compare(a[:], b[:]) }

func (r *Ring) findZones() {
	named := map[string]int32{}
	r.zoneOf = make([]int32, len(r.nodes))
	for i, n := range r.nodes {
		zone, known := named[n.Zone]
		if !known || n.Zone == "" {
			zone = int32(len(r.zoneSize))
			named[n.Zone] = zone
			r.zoneSize = append(r.zoneSize, 0)
		}
		r.zoneOf[i] = zone
		r.zoneSize[zone]++
	}
}

func (r *Ring) placeTokens() {
	type point struct {
		token uint64
		owner int32
	}
	total := 0
	for _, n := range r.nodes {
		total += n.Weight * VirtualNodes
	}
	points := make([]point, 0, total)
	for i, n := range r.nodes {
		for v := range n.Weight * VirtualNodes {
			points = append(points, point{token(n.ID, uint32(v)), int32(i)})
		}
	}
	// Owners are in the order of IDs, so equal tokens are ordered the same whatever the input order.
	slices.SortFunc(points, func(a, b point) int {
		if a.token != b.token {
			return cmp.Compare(a.token, b.token)
		}
		return cmp.Compare(a.owner, b.owner)
	})
	r.tokens = make([]uint64, len(points))
	r.owners = make([]int32, len(points))
	for i, p := range points {
		r.tokens[i], r.owners[i] = p.token, p.owner
	}
}

// token is the position of a node's virtual node: XXH64, seed 0, of the 16 bytes of the ID
// and the number in four big-endian bytes. Testdata pins it, because another hash would move all data.
func token(id store.NodeID, virtual uint32) uint64 {
	var b [20]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint32(b[16:], virtual)
	return xxhash.Sum64(b[:])
}

// start is the index of the first token at or clockwise after the part's place.
func (r *Ring) start(part store.PartID) int {
	at, _ := slices.BinarySearch(r.tokens, xxhash.Sum64(part[:]))
	if at == len(r.tokens) {
		return 0
	}
	return at
}
