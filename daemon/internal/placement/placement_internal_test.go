package placement

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestParityForTheExamplesOfTheDesign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, f, m int }{
		{6, 2, 4}, {8, 2, 2}, {100, 2, 2}, {6, 0, 0}, {1, 0, 0}, {2, 1, 6}, {3, 2, 12}, {4, 1, 2}, {6, 1, 2}, {6, 3, 6},
	} {
		require.Equal(t, c.m, parityFor(DataChunks, c.n, c.f), "%d nodes, %d failures", c.n, c.f)
	}
}

// TestParityIsEnoughAndNoMore spreads the chunks evenly and lets every choice of failures happen.
func TestParityIsEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "nodes")
		f := rapid.IntRange(0, min(3, n-1)).Draw(t, "failures")
		m := parityFor(DataChunks, n, f)
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
