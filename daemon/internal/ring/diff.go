package ring

import (
	"cmp"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Transfer is a share of the circle whose owner changes from one node to another.
// A zero From or To stands for a ring without nodes.
type Transfer struct {
	From, To store.NodeID
	Share    float64 // of the whole circle, above 0, up to 1
}

// Diff returns the shares of the circle that have another owner on the ring after
// than on the ring before: the largest first, each pair of nodes once. The
// sum of the shares is the fraction of all first chunks that should move.
func Diff(before, after *Ring) []Transfer {
	points := slices.Concat(before.tokens, after.tokens)
	slices.Sort(points)
	points = slices.Compact(points)
	shares := map[[2]store.NodeID]float64{}
	for i, to := range points {
		from := points[(i+len(points)-1)%len(points)]
		pair := [2]store.NodeID{before.ownerOf(to), after.ownerOf(to)}
		if pair[0] != pair[1] {
			shares[pair] += arc(from, to)
		}
	}
	transfers := make([]Transfer, 0, len(shares))
	for pair, share := range shares {
		transfers = append(transfers, Transfer{From: pair[0], To: pair[1], Share: share})
	}
	slices.SortFunc(transfers, func(a, b Transfer) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), compareIDs(a.From, b.From), compareIDs(a.To, b.To))
	})
	return transfers
}

// ownerOf is the node of the first token at or clockwise after the point.
func (r *Ring) ownerOf(point uint64) store.NodeID {
	if len(r.tokens) == 0 {
		return store.NodeID{}
	}
	at, _ := slices.BinarySearch(r.tokens, point)
	return r.nodes[r.owners[at%len(r.tokens)]].ID
}
