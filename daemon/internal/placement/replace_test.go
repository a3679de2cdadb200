package placement_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestNodesWithFewerChunks(t *testing.T) {
	t.Parallel()
	a, b, c := store.NodeID{1}, store.NodeID{2}, store.NodeID{3}
	p := store.Part{Chunks: []store.Placement{{Node: a}, {Node: a}, {Node: b}, {}}}
	require.Equal(t, []store.NodeID{a, b, {}}, placement.Others(p, 0))

	fewer := placement.FewerThan(p, 0, a)
	require.False(t, fewer(a))
	require.False(t, fewer(b), "it would hold as many as a does now")
	require.True(t, fewer(c))
	require.True(t, placement.FewerThan(p, 3, a)(b))
}
