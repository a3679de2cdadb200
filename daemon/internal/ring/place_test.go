package ring_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// naive is the rule of the package comment as a direct and slow implementation: the oracle of Place.
func naive(list []ring.Node, part store.PartID, n int, usable func(store.NodeID) bool) []store.NodeID {
	walk := naiveWalk(list, part)
	walk = slices.DeleteFunc(walk, func(x ring.Node) bool { return !usable(x.ID) })
	if len(walk) == 0 {
		return nil
	}
	zone := func(x ring.Node) string {
		if x.Zone == "" {
			return x.ID.String()
		}
		return "named " + x.Zone
	}
	onNode, inZone := map[store.NodeID]int{}, map[string]int{}
	var placed []store.NodeID
	for range n {
		best := walk[0]
		for _, x := range walk {
			if onNode[x.ID] < onNode[best.ID] || onNode[x.ID] == onNode[best.ID] && inZone[zone(x)] < inZone[zone(best)] {
				best = x
			}
		}
		onNode[best.ID]++
		inZone[zone(best)]++
		placed = append(placed, best.ID)
	}
	return placed
}

// naiveWalk orders the nodes by the distance from the part to their nearest token.
func naiveWalk(list []ring.Node, part store.PartID) []ring.Node {
	nearest := func(x ring.Node) uint64 {
		best := ^uint64(0)
		for v := range 150 * x.Weight {
			token := xxhash.Sum64(binary.BigEndian.AppendUint32(slices.Clone(x.ID[:]), uint32(v)))
			best = min(best, token-xxhash.Sum64(part[:]))
		}
		return best
	}
	distance := map[store.NodeID]uint64{}
	for _, x := range list {
		distance[x.ID] = nearest(x)
	}
	walk := slices.Clone(list)
	slices.SortFunc(walk, func(a, b ring.Node) int {
		if distance[a.ID] < distance[b.ID] {
			return -1
		}
		return 1
	})
	return walk
}

func drawUsable(t *rapid.T, list []ring.Node) func(store.NodeID) bool {
	away := map[store.NodeID]bool{}
	for _, n := range list {
		away[n.ID] = rapid.IntRange(0, 3).Draw(t, "away") == 0
	}
	return func(id store.NodeID) bool { return !away[id] }
}

func TestPlaceFollowsTheRule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawNodes(t, 1, 14)
		usable := drawUsable(t, list)
		part, n := drawPart(t), rapid.IntRange(1, store.MaxChunksPerPart).Draw(t, "n")
		r := ring.New(1, list)
		want := naive(list, part, n, usable)
		require.Equal(t, want, r.Place(part, n, usable))
		require.Equal(t, want, r.Place(part, n, usable), "a second walk starts afresh")
		for i := range want {
			next, ok := r.Next(part, want[:i], usable)
			require.True(t, ok)
			require.Equal(t, want[i], next, "chunk %d by Next", i)
		}
	})
}

func TestPlaceSpreadsOverNodesThenZones(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawNodes(t, 1, 14)
		usable := drawUsable(t, list)
		n := rapid.IntRange(1, 30).Draw(t, "n")
		onNode, inZone, size := map[store.NodeID]int{}, map[string]int{}, map[string]int{}
		zoneOf := map[store.NodeID]string{}
		for _, x := range list {
			if zoneOf[x.ID] = x.Zone; x.Zone == "" {
				zoneOf[x.ID] = x.ID.String()
			}
			if usable(x.ID) {
				onNode[x.ID] = 0
				size[zoneOf[x.ID]]++
			}
		}
		placed := ring.New(1, list).Place(drawPart(t), n, usable)
		if len(onNode) == 0 {
			require.Nil(t, placed)
			return
		}
		require.Len(t, placed, n)
		for _, id := range placed {
			require.True(t, usable(id))
			onNode[id]++
			inZone[zoneOf[id]]++
		}
		least, most := n/len(onNode), (n+len(onNode)-1)/len(onNode)
		for id, got := range onNode {
			require.GreaterOrEqual(t, got, least, "%s was free", id)
			require.LessOrEqual(t, got, most)
		}
		smallest := n
		for _, s := range size {
			smallest = min(smallest, s)
		}
		fair := (n + len(size) - 1) / len(size)
		if n <= len(onNode) && smallest >= fair {
			for zone, got := range inZone {
				require.LessOrEqual(t, got, fair, "zone %q", zone)
			}
		}
	})
}

// counts is the number of chunks of each node: a change of it moves data.
func counts(placed []store.NodeID) map[store.NodeID]int {
	c := map[store.NodeID]int{}
	for _, id := range placed {
		c[id]++
	}
	return c
}

func TestAddingANodeMovesChunksToItOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawNodes(t, 2, 14)
		before, after := ring.New(1, list[1:]), ring.New(2, list)
		newcomer := list[0].ID
		part, n := drawPart(t), rapid.IntRange(1, 20).Draw(t, "n")
		old := counts(before.Place(part, n, nil))
		for id, got := range counts(after.Place(part, n, nil)) {
			if id != newcomer {
				require.LessOrEqual(t, got, old[id], "a node that was there gained a chunk")
			}
		}
	})
}

// The same for a node that leaves or is skipped: only its chunks move.
func TestPassingOverIsLikeLeaving(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawNodes(t, 2, 14)
		whole, without := ring.New(1, list), ring.New(2, list[1:])
		leaver := list[0].ID
		part, n := drawPart(t), rapid.IntRange(1, 20).Draw(t, "n")
		passed := whole.Place(part, n, func(id store.NodeID) bool { return id != leaver })
		require.Equal(t, without.Place(part, n, nil), passed)
		now := counts(passed)
		for id, had := range counts(whole.Place(part, n, nil)) {
			if id != leaver {
				require.GreaterOrEqual(t, now[id], had, "a node that stayed lost a chunk")
			}
		}
	})
}

func TestMovementIsTheNewcomersShare(t *testing.T) {
	t.Parallel()
	for _, count := range []int{6, 20, 100} {
		before, after := ring.New(1, nodes(count, 0)), ring.New(2, nodes(count+1, 0))
		newcomer := nodeID(count)
		share := after.Shares()[slices.IndexFunc(after.Nodes(), func(n ring.Node) bool { return n.ID == newcomer })]

		moved := 0.0
		for _, x := range ring.Diff(before, after) {
			require.Equal(t, newcomer, x.To)
			moved += x.Share
		}
		require.InEpsilon(t, share, moved, 1e-9, "the circle")

		const parts = 20000
		chunks := 0
		for p := range parts {
			if before.Place(partID(p), 1, nil)[0] != after.Place(partID(p), 1, nil)[0] {
				chunks++
			}
		}
		require.Less(t, float64(chunks)/parts, share*1.1, "%d nodes: chunks that move", count)

		back := 0.0
		for _, x := range ring.Diff(after, before) {
			require.Equal(t, newcomer, x.From)
			back += x.Share
		}
		require.InEpsilon(t, share, back, 1e-9, "removal is the mirror of adding")
	}
}

func TestDiffOfAnEmptyRing(t *testing.T) {
	t.Parallel()
	none, one := ring.New(1, nil), ring.New(2, nodes(1, 0))
	require.Len(t, ring.Diff(none, one), 1)
	got := ring.Diff(none, one)[0]
	require.Equal(t, store.NodeID{}, got.From)
	require.Equal(t, nodeID(0), got.To)
	require.InDelta(t, 1, got.Share, 1e-9)
}

func TestUsableIsAskedOnceANode(t *testing.T) {
	t.Parallel()
	asked := map[store.NodeID]int{}
	ring.New(1, nodes(9, 2)).Place(partID(3), 20, func(id store.NodeID) bool {
		asked[id]++
		return true
	})
	require.Len(t, asked, 9)
	for _, times := range asked {
		require.Equal(t, 1, times)
	}
}

func BenchmarkPlace(b *testing.B) {
	for _, zones := range []int{0, 3} {
		for _, count := range []int{6, 10, 30, 100, 1000} {
			r := ring.New(1, nodes(count, zones))
			usable := map[store.NodeID]bool{}
			for _, n := range r.Nodes() {
				usable[n.ID] = true
			}
			b.Run(fmt.Sprintf("nodes=%d/zones=%d", count, zones), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r.Place(partID(i), 10, func(id store.NodeID) bool { return usable[id] })
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	list := nodes(1000, 0)
	for b.Loop() {
		ring.New(1, list)
	}
}
