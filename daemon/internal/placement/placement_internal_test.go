package placement

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestParityForTheExamplesOfTheDesign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, f, m int }{
		{6, 2, 4}, {8, 2, 2}, {100, 2, 2}, {6, 0, 0}, {1, 0, 0}, {2, 1, 6}, {3, 2, 12}, {4, 1, 2}, {6, 1, 2}, {6, 3, 6},
	} {
		require.Equal(t, c.m, parityFor(c.n, c.f), "%d nodes, %d failures", c.n, c.f)
	}
}

// TestParityIsEnoughAndNoMore spreads the chunks evenly and lets every choice of failures happen.
func TestParityIsEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "nodes")
		f := rapid.IntRange(0, min(3, n-1)).Draw(t, "failures")
		m := parityFor(n, f)
		require.LessOrEqual(t, DataChunks+m, store.MaxChunksPerPart)
		require.GreaterOrEqual(t, Survives(DataChunks, evenly(DataChunks+m, n)), f)
		for less := range m {
			require.Less(t, Survives(DataChunks, evenly(DataChunks+less, n)), f, "%d parity chunks would do", less)
		}
	})
}

func evenly(chunks, nodes int) []store.Placement {
	placed := make([]store.Placement, chunks)
	for i := range placed {
		placed[i].Node = store.NodeID{1, byte(i % nodes)}
	}
	return placed
}

// TestSurvivesAgainstEveryChoice compares with the definition: try every set of nodes.
func TestSurvivesAgainstEveryChoice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 6).Draw(t, "nodes")
		k := rapid.IntRange(1, 6).Draw(t, "k")
		placed := make([]store.Placement, rapid.IntRange(0, 10).Draw(t, "chunks"))
		for i := range placed {
			if n := rapid.IntRange(0, nodes).Draw(t, "node"); n > 0 {
				placed[i].Node = store.NodeID{byte(n)}
			}
		}
		require.Equal(t, bruteSurvives(k, nodes, placed), Survives(k, placed))
	})
}

func bruteSurvives(k, nodes int, placed []store.Placement) int {
	holders := map[store.NodeID]bool{}
	for _, p := range placed {
		if !p.Node.IsZero() {
			holders[p.Node] = true
		}
	}
	best := -1
	for f := 0; f <= len(holders); f++ {
		for lost := range 1 << (nodes + 1) {
			if bits(lost) != f {
				continue
			}
			left := 0
			for _, p := range placed {
				if !p.Node.IsZero() && lost>>p.Node[0]&1 == 0 {
					left++
				}
			}
			if left < k {
				return best
			}
		}
		best = f
	}
	return best
}

func bits(n int) (c int) {
	for ; n > 0; n >>= 1 {
		c += n & 1
	}
	return c
}

// TestZoneLoadsAreThoseOfTheRing compares with the ring itself, for parts whose walks start anywhere.
func TestZoneLoadsAreThoseOfTheRing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 5), 1, 5).Draw(t, "nodes of each zone")
		chunks := rapid.IntRange(1, store.MaxChunksPerPart).Draw(t, "chunks")
		zone := map[store.NodeID]int{}
		var nodes []ring.Node
		var members []Node
		for z, size := range sizes {
			for range size {
				n := ring.Node{ID: store.NodeID{9, byte(len(nodes))}, Zone: fmt.Sprint("zone-", z), Weight: rapid.IntRange(1, 3).Draw(t, "weight")}
				nodes, zone[n.ID] = append(nodes, n), z
				members = append(members, Node{ID: n.ID, Zone: n.Zone})
			}
		}
		require.Equal(t, sizes, zoneSizes(members))
		want := zoneLoads(sizes, chunks)
		slices.Sort(want)
		r := ring.New(1, nodes)
		for part := range 20 {
			loads := make([]int, len(sizes))
			for _, id := range r.Place(store.PartID{byte(part), byte(chunks)}, chunks, nil) {
				loads[zone[id]]++
			}
			slices.Sort(loads)
			require.Equal(t, want, loads)
		}
	})
}

// TestPolicyCoversZonesWithTheLeastParity places every chunk by the ring and lets every choice of zones fail.
func TestPolicyCoversZonesWithTheLeastParity(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]int{{2, 2, 2}, {1, 2, 3}, {2, 5}, {3, 3}, {1, 1, 4}, {4, 4, 4, 1}, {2, 3, 3, 2}, {1, 1, 1, 5}} {
		for wanted := 1; wanted < len(sizes); wanted++ {
			var nodes []Node
			for z, size := range sizes {
				for range size {
					nodes = append(nodes, Node{ID: store.NodeID{7, byte(len(nodes))}, Zone: fmt.Sprint(z)})
				}
			}
			p := PolicyFor(nodes, wanted)
			alone := parityFor(len(nodes), p.Survive)
			require.GreaterOrEqual(t, p.Parity, alone)
			if least := leastParity(sizes, alone, p.Survive); least >= 0 {
				require.Equal(t, least, p.Parity, "%v, %d failures", sizes, wanted)
			} else {
				require.Equal(t, alone, p.Parity, "%v, %d failures: no parity covers zones", sizes, wanted)
			}
		}
	}
}

// leastParity tries every amount of parity from the given one on; -1: none does.
func leastParity(sizes []int, from, f int) int {
	for m := from; DataChunks+m <= store.MaxChunksPerPart; m++ {
		var placed []store.Placement
		for z, load := range zoneLoads(sizes, DataChunks+m) {
			for range load {
				placed = append(placed, store.Placement{Node: store.NodeID{byte(z + 1)}})
			}
		}
		if bruteSurvives(DataChunks, len(sizes), placed) >= f {
			return m
		}
	}
	return -1
}

// TestPlanNeverExceedsANodesShare holds for any set of usable nodes: a node has at most its share, and the rest are holes.
func TestPlanNeverExceedsANodesShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "nodes")
		var members []Member
		var nodes []ring.Node
		for i := range n {
			id := store.NodeID{5, byte(i)}
			members = append(members, Member{Node: Node{ID: id}, Active: true, Writable: rapid.Bool().Draw(t, "writable")})
			nodes = append(nodes, ring.Node{ID: id, Weight: 1})
		}
		p, err := NewPlan(ring.New(1, nodes), members, rapid.IntRange(0, 3).Draw(t, "wanted"))
		if err != nil {
			require.ErrorIs(t, err, store.Unavailable)
			return
		}
		for _, width := range []int{p.Survive + 1, DataChunks + p.Parity} {
			id := store.PartID{byte(width)}
			held, holes := map[store.NodeID]int{}, 0
			for _, c := range p.Place(id, width) {
				if c.Node.IsZero() {
					holes++
					continue
				}
				held[c.Node]++
				require.LessOrEqual(t, held[c.Node], p.Share(width))
				require.True(t, members[c.Node[1]].Writable)
			}
			require.Equal(t, max(0, width-p.Share(width)*len(p.usable)) == 0, holes == 0, "a hole only where there is no room")
			require.Subset(t, p.Spares(id, width), slices.Collect(maps.Keys(held)))
		}
	})
}
