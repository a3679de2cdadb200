package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// viewOf is a view of nodes with room, in these statuses.
func viewOf(statuses ...cluster.Status) *cluster.View {
	members := make([]cluster.Member, len(statuses))
	nodes := make([]ring.Node, len(statuses))
	for i, s := range statuses {
		n := store.Node{ID: id(i), State: store.NodeActive, Weight: 1, Capacity: store.Capacity{Total: 1 << 40, Free: 1 << 39}}
		members[i], nodes[i] = cluster.Member{Node: n, Status: s}, ring.Node{ID: n.ID, Weight: 1}
	}
	return cluster.NewView(store.NewClusterID(), 1, ring.New(1, nodes), members)
}

func TestAViewPlansOnce(t *testing.T) {
	t.Parallel()
	v := viewOf(cluster.Online, cluster.Online, cluster.Online)
	one, err := v.Plan(1)
	require.NoError(t, err)
	again, err := v.Plan(1)
	require.NoError(t, err)
	require.Same(t, one, again)
	two, err := v.Plan(2)
	require.NoError(t, err)
	require.Equal(t, 1, one.Survive)
	require.Equal(t, 2, two.Survive)

	_, err = viewOf(cluster.Inactive, cluster.Inactive).Plan(1)
	require.ErrorIs(t, err, store.Unavailable)
}

// Chunks on nodes that cannot be read now, on unknown nodes and on none do not count.
func TestWhatAPartSurvivesNow(t *testing.T) {
	t.Parallel()
	v := viewOf(cluster.Online, cluster.Suspect, cluster.Online, cluster.Inactive)
	part := func(nodes ...store.NodeID) store.Part {
		p := store.Part{K: 1}
		for _, n := range nodes {
			p.Chunks = append(p.Chunks, store.Placement{Node: n})
		}
		return p
	}
	require.Equal(t, 1, v.Survives(part(id(0), id(2))))
	require.Equal(t, 0, v.Survives(part(id(0), id(1), store.NodeID{})))
	require.Equal(t, -1, v.Survives(part(id(3), id(9))))
}
