package ring_test

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

var update = flag.Bool("update", false, "write testdata anew")

// nodeID and partID are fixed ids, so that a failure is reproducible.
func nodeID(i int) (id store.NodeID) {
	binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15+1)
	binary.BigEndian.PutUint64(id[8:], uint64(i)*0xbf58476d1ce4e5b9+1)
	return id
}

func partID(i int) store.PartID { return store.PartID(nodeID(i + 1<<20)) }

func nodes(count, zones int) []ring.Node {
	list := make([]ring.Node, count)
	for i := range list {
		list[i] = ring.Node{ID: nodeID(i), Weight: 1}
		if zones > 0 {
			list[i].Zone = fmt.Sprint("zone-", i%zones)
		}
	}
	return list
}

// deviation is the t for which N nodes stay under 1+t times the mean in all but one of a million
// rings. A node's share is a sum of 150 spacings, each near to exponential, so nearly
// Gamma(150)/150 times the mean; Chernoff bounds its tail by
// exp(-150 (t - ln(1+t))), and N such tails may add up to 1e-6.
// It gives 0.53 for 6 nodes and 0.62 for 1000.
func deviation(count int) float64 {
	t := 0.0
	for 150*(t-math.Log1p(t)) < math.Log(float64(count)*1e6) {
		t += 0.001
	}
	return t
}

func TestSharesStayWithinWhat150VirtualNodesPredict(t *testing.T) {
	t.Parallel()
	for _, count := range []int{6, 7, 10, 30, 100, 300, 1000} {
		shares := ring.New(1, nodes(count, 0)).Shares()
		worst := slices.Max(shares) * float64(count)
		t.Logf("%4d nodes: max/mean %.3f, bound %.3f", count, worst, 1+deviation(count))
		require.Less(t, worst, 1+deviation(count))
		sum := 0.0
		for _, s := range shares {
			sum += s
		}
		require.InDelta(t, 1, sum, 1e-9)
	}
}

func TestSharesOfRandomNodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawNodes(t, 6, 60)
		for i := range list {
			list[i].Weight = 1
		}
		shares := ring.New(1, list).Shares()
		require.Less(t, slices.Max(shares)*float64(len(shares)), 1+deviation(len(shares)))
	})
}

// Chunks are distributed like shares, or more evenly: the bound holds with five standard
// deviations of the count added.
func TestChunksAreBalanced(t *testing.T) {
	t.Parallel()
	const parts, width = 4000, 10
	for _, count := range []int{6, 11, 30, 100} {
		r := ring.New(1, nodes(count, 0))
		load := map[store.NodeID]int{}
		for p := range parts {
			for _, id := range r.Place(partID(p), width, nil) {
				load[id]++
			}
		}
		mean := float64(parts*width) / float64(count)
		worst := 0
		for _, n := range load {
			worst = max(worst, n)
		}
		t.Logf("%4d nodes: max/mean %.3f", count, float64(worst)/mean)
		require.Less(t, float64(worst)/mean, 1+deviation(count)+5/math.Sqrt(mean))
	}
}

func TestWeightsSetTheShare(t *testing.T) {
	t.Parallel()
	list := nodes(20, 0)
	total := 0
	for i := range list {
		list[i].Weight = 1 + i%4
		total += list[i].Weight
	}
	r := ring.New(1, list)
	for i, share := range r.Shares() {
		fair := float64(r.Nodes()[i].Weight) / float64(total)
		require.InEpsilon(t, fair, share, deviation(20))
	}
}

func TestWeightsOutOfRangeAreTakenAsTheNearest(t *testing.T) {
	t.Parallel()
	r := ring.New(1, []ring.Node{{ID: nodeID(1), Weight: -5}, {ID: nodeID(2), Weight: 1 << 30}})
	got := map[store.NodeID]int{}
	for _, n := range r.Nodes() {
		got[n.ID] = n.Weight
	}
	require.Equal(t, map[store.NodeID]int{nodeID(1): 1, nodeID(2): ring.MaxWeight}, got)
}

func TestEmptyRing(t *testing.T) {
	t.Parallel()
	r := ring.New(7, nil)
	require.Equal(t, store.Epoch(7), r.Epoch())
	require.Empty(t, r.Nodes())
	require.Empty(t, r.Shares())
	require.Nil(t, r.Place(partID(1), 3, nil))
	_, ok := r.Next(partID(1), nil, nil)
	require.False(t, ok)
	require.Empty(t, ring.Diff(r, r))
}

func TestNobodyUsable(t *testing.T) {
	t.Parallel()
	r := ring.New(1, nodes(6, 0))
	nobody := func(store.NodeID) bool { return false }
	require.Nil(t, r.Place(partID(1), 3, nobody))
	require.Nil(t, r.Place(partID(1), 0, nil))
	_, ok := r.Next(partID(1), nil, nobody)
	require.False(t, ok)
}

func TestInputOrderAndRepeatsDoNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawNodes(t, 1, 12)
		other := append(rapid.Permutation(list).Draw(t, "permutation"), list[0])
		a, b := ring.New(1, list), ring.New(1, other)
		require.Equal(t, a.Nodes(), b.Nodes())
		require.Empty(t, ring.Diff(a, b))
		part, n := drawPart(t), rapid.IntRange(1, 20).Draw(t, "n")
		require.Equal(t, a.Place(part, n, nil), b.Place(part, n, nil))
	})
}

// Clusters in use have placed their data by these values. A change here moves all of it.
func TestGoldenPlacements(t *testing.T) {
	t.Parallel()
	type golden struct {
		Nodes, Zones, Weights int
		Part                  store.PartID
		Place                 []store.NodeID
	}
	var got []golden
	for _, g := range []golden{{6, 0, 1, partID(1), nil}, {6, 3, 1, partID(2), nil}, {7, 2, 3, partID(3), nil}, {100, 5, 2, partID(4), nil}} {
		list := nodes(g.Nodes, g.Zones)
		for i := range list {
			list[i].Weight = 1 + i%g.Weights
		}
		g.Place = ring.New(1, list).Place(g.Part, 10, nil)
		got = append(got, g)
	}
	const file = "testdata/placements.json"
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var want []golden
	require.NoError(t, json.Unmarshal(text, &want))
	require.Empty(t, cmp.Diff(want, got))
}

func drawNodes(t *rapid.T, least, most int) []ring.Node {
	count := rapid.IntRange(least, most).Draw(t, "count")
	first := rapid.IntRange(0, 1<<30).Draw(t, "first id")
	zones := rapid.SampledFrom([]int{0, 0, 1, 2, 3, 5}).Draw(t, "zones")
	list := make([]ring.Node, count)
	for i := range list {
		list[i] = ring.Node{ID: nodeID(first + i), Weight: rapid.IntRange(1, 3).Draw(t, "weight")}
		if zones > 0 { // one node in a few has no zone
			list[i].Zone = rapid.SampledFrom([]string{"", "a", "b", "c", "d"}[min(1, zones-1):zones]).Draw(t, "zone")
		}
	}
	return list
}

func drawPart(t *rapid.T) store.PartID { return partID(rapid.IntRange(0, 1<<30).Draw(t, "part")) }
