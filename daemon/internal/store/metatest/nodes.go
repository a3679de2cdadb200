package metatest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// newNode is a node as it asks to join.
func newNode(name string) store.Node {
	return store.Node{
		ID: store.NewNodeID(), Name: name, Address: name + ":50051", Zone: "z1", Weight: 1, Version: "v1",
		Capacity: store.Capacity{Total: 1 << 50, Used: 1, Free: 2, Chunks: 3, Disk: store.Disk{State: store.DiskReadOnly, Reason: "as joined"}},
	}
}

func join(tb testing.TB, m store.Metadata, n store.Node) store.Membership {
	tb.Helper()
	view, err := m.JoinNode(tb.Context(), n)
	require.NoError(tb, err)
	return view
}

func members(tb testing.TB, m store.Metadata) store.Membership {
	tb.Helper()
	view, err := m.Members(tb.Context())
	require.NoError(tb, err)
	return view
}

// nodeOf picks a node out of the membership.
func nodeOf(tb testing.TB, view store.Membership, id store.NodeID) store.Node {
	tb.Helper()
	for _, n := range view.Nodes {
		if n.ID == id {
			return n
		}
	}
	tb.Fatalf("node %s is not a member", id)
	return store.Node{}
}

var nodeTests = []test{
	{"an empty membership has a cluster id that stays", func(t *testing.T, m store.Metadata) {
		view := members(t, m)
		require.False(t, view.Cluster.IsZero())
		require.Empty(t, view.Nodes)
		requireStoreTime(t, view.Now)
		require.Equal(t, view.Cluster, join(t, m, newNode("n1")).Cluster)
	}},
	{"a node joins as active, and the epoch grows", func(t *testing.T, m store.Metadata) {
		before := members(t, m)
		n := newNode("n1")
		n.State, n.JoinedAt, n.LastBeat = store.NodeRemoved, now().AddDate(-1, 0, 0), now().AddDate(-1, 0, 0)
		view := join(t, m, n)
		require.Equal(t, before.Epoch+1, view.Epoch)
		require.Len(t, view.Nodes, 1)
		got := view.Nodes[0]
		requireStoreTime(t, got.JoinedAt)
		requireStoreTime(t, got.LastBeat)
		require.False(t, got.LastBeat.After(view.Now))
		want := n
		want.State, want.JoinedAt, want.LastBeat = store.NodeActive, got.JoinedAt, got.LastBeat
		same(t, want, got)
		again := members(t, m)
		again.Now = view.Now
		same(t, view, again)
	}},
	{"the list is by name, as bytes, removed nodes included", func(t *testing.T, m store.Metadata) {
		want := []string{"B", "a", "b", "é"}
		for i := len(want) - 1; i >= 0; i-- {
			join(t, m, newNode(want[i]))
		}
		require.NoError(t, m.SetNodeState(t.Context(), members(t, m).Nodes[1].ID, store.NodeRemoved, ""))
		var got []string
		for _, n := range members(t, m).Nodes {
			got = append(got, n.Name)
		}
		require.Equal(t, want, got)
	}},
	{"joining again brings the node up to date and keeps its state and time", func(t *testing.T, m store.Metadata) {
		n := newNode("n1")
		first := nodeOf(t, join(t, m, n), n.ID)
		require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeDraining, ""))
		n.Name, n.Address, n.Zone, n.Weight, n.Version, n.DataPort = "renamed", "elsewhere:1", "z2", 7, "v2", 3
		n.Capacity = store.Capacity{Total: 9, Used: 8, Free: 7, Chunks: 6}
		got := nodeOf(t, join(t, m, n), n.ID)
		require.False(t, got.LastBeat.Before(first.LastBeat))
		want := n
		want.State, want.JoinedAt, want.LastBeat = store.NodeDraining, first.JoinedAt, got.LastBeat
		same(t, want, got)
	}},
	{"the epoch grows with address, zone and weight only", func(t *testing.T, m store.Metadata) {
		n := newNode("n1")
		epoch := join(t, m, n).Epoch
		for _, c := range []struct {
			what   string
			change func()
			grows  store.Epoch
		}{
			{"nothing", func() {}, 0},
			{"name", func() { n.Name = "n2" }, 0},
			{"version", func() { n.Version = "v9" }, 0},
			{"data port", func() { n.DataPort++ }, 0},
			{"capacity", func() { n.Capacity.Free++ }, 0},
			{"address", func() { n.Address = "other:1" }, 1},
			{"zone", func() { n.Zone = "" }, 1},
			{"weight", func() { n.Weight++ }, 1},
			{"all three", func() { n.Address, n.Zone, n.Weight = "third:1", "z3", 5 }, 1},
		} {
			c.change()
			view := join(t, m, n)
			require.Equal(t, epoch+c.grows, view.Epoch, c.what)
			epoch = view.Epoch
		}
	}},
	{"a name belongs to one node that is not removed", func(t *testing.T, m store.Metadata) {
		one, two := newNode("n1"), newNode("n2")
		join(t, m, one)
		epoch := join(t, m, two).Epoch
		two.Name, two.Weight = "n1", 9
		_, err := m.JoinNode(t.Context(), two)
		requireKind(t, store.Conflict, err)
		_, err = m.JoinNode(t.Context(), newNode("n1"))
		requireKind(t, store.Conflict, err)
		view := members(t, m)
		require.Len(t, view.Nodes, 2)
		require.Equal(t, epoch, view.Epoch)
		require.Equal(t, 1, nodeOf(t, view, two.ID).Weight)
		require.NoError(t, m.SetNodeState(t.Context(), one.ID, store.NodeRemoved, ""))
		require.Equal(t, "n1", nodeOf(t, join(t, m, two), two.ID).Name)
	}},
	{"a removed node may not come back", func(t *testing.T, m store.Metadata) {
		n := newNode("n1")
		join(t, m, n)
		require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeRemoved, ""))
		epoch := members(t, m).Epoch
		_, err := m.JoinNode(t.Context(), n)
		requireKind(t, store.Denied, err)
		view := members(t, m)
		require.Equal(t, epoch, view.Epoch)
		require.Equal(t, store.NodeRemoved, nodeOf(t, view, n.ID).State)
	}},
	{"a node without id, name or weight is Invalid", func(t *testing.T, m store.Metadata) {
		for _, invalidate := range []func(*store.Node){
			func(n *store.Node) { n.ID = store.NodeID{} }, func(n *store.Node) { n.Name = "" },
			func(n *store.Node) { n.Weight = 0 }, func(n *store.Node) { n.Weight = -1 },
		} {
			n := newNode("n1")
			invalidate(&n)
			_, err := m.JoinNode(t.Context(), n)
			requireKind(t, store.Invalid, err)
		}
		require.Empty(t, members(t, m).Nodes)
	}},
	{"beats bring the time and the capacity, and leave the epoch", func(t *testing.T, m store.Metadata) {
		one, two, three := newNode("n1"), newNode("n2"), newNode("n3")
		join(t, m, one)
		join(t, m, two)
		before := join(t, m, three)
		full := store.Capacity{Total: 1 << 60, Used: 1 << 59, Free: 0, Chunks: 1 << 40, Disk: store.Disk{State: store.DiskFull, Reason: "é: no space left"}}
		unknown, err := m.BeatNodes(t.Context(), []store.Beat{{Node: one.ID, Capacity: full}, {Node: three.ID}})
		require.NoError(t, err)
		require.Empty(t, unknown)
		after := members(t, m)
		require.Equal(t, before.Epoch, after.Epoch)
		require.Equal(t, full, nodeOf(t, after, one.ID).Capacity)
		require.Equal(t, store.Capacity{}, nodeOf(t, after, three.ID).Capacity)
		same(t, nodeOf(t, before, two.ID), nodeOf(t, after, two.ID))
		beat := nodeOf(t, after, one.ID)
		require.False(t, beat.LastBeat.Before(nodeOf(t, before, one.ID).LastBeat))
		require.False(t, beat.LastBeat.After(after.Now))
		require.Equal(t, nodeOf(t, before, one.ID).JoinedAt, beat.JoinedAt)
		require.Equal(t, beat.LastBeat, nodeOf(t, after, three.ID).LastBeat, "many in one step, at one time")
	}},
	{"beats of unknown and removed nodes are passed over and returned", func(t *testing.T, m store.Metadata) {
		known, removed := newNode("n1"), newNode("n2")
		join(t, m, known)
		join(t, m, removed)
		require.NoError(t, m.SetNodeState(t.Context(), removed.ID, store.NodeRemoved, ""))
		before := nodeOf(t, members(t, m), removed.ID)
		stranger := store.NewNodeID()
		c := store.Capacity{Total: 42}
		unknown, err := m.BeatNodes(t.Context(), []store.Beat{{Node: stranger, Capacity: c}, {Node: known.ID, Capacity: c}, {Node: removed.ID, Capacity: c}})
		require.NoError(t, err)
		require.ElementsMatch(t, []store.NodeID{stranger, removed.ID}, unknown)
		view := members(t, m)
		require.Len(t, view.Nodes, 2)
		require.Equal(t, c, nodeOf(t, view, known.ID).Capacity)
		same(t, before, nodeOf(t, view, removed.ID))
		unknown, err = m.BeatNodes(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, unknown)
	}},
	{"a beat is later than the one before", func(t *testing.T, m store.Metadata) {
		n := newNode("n1")
		first := nodeOf(t, join(t, m, n), n.ID).LastBeat
		require.Eventually(t, func() bool {
			_, err := m.BeatNodes(t.Context(), []store.Beat{{Node: n.ID}})
			require.NoError(t, err)
			return nodeOf(t, members(t, m), n.ID).LastBeat.After(first)
		}, patience, time.Millisecond)
	}},
	{"a state changes, and the epoch grows when it differs", func(t *testing.T, m store.Metadata) {
		n := newNode("n1")
		epoch := join(t, m, n).Epoch
		for _, c := range []struct {
			state store.NodeState
			grows store.Epoch
		}{{store.NodeActive, 0}, {store.NodeDraining, 1}, {store.NodeDraining, 0}, {store.NodeActive, 1}, {store.NodeRemoved, 1}} {
			require.NoError(t, m.SetNodeState(t.Context(), n.ID, c.state, ""))
			view := members(t, m)
			require.Equal(t, epoch+c.grows, view.Epoch)
			require.Equal(t, c.state, nodeOf(t, view, n.ID).State)
			epoch = view.Epoch
		}
		requireKind(t, store.Conflict, m.SetNodeState(t.Context(), n.ID, store.NodeActive, ""))
		requireKind(t, store.Conflict, m.SetNodeState(t.Context(), n.ID, store.NodeDraining, ""))
		view := members(t, m)
		require.Equal(t, epoch, view.Epoch)
		require.Equal(t, store.NodeRemoved, nodeOf(t, view, n.ID).State)
		requireKind(t, store.NotFound, m.SetNodeState(t.Context(), store.NewNodeID(), store.NodeActive, ""))
	}},
	{"what is desired of a node counts instead of what it reports, and stays when it joins again", func(t *testing.T, m store.Metadata) {
		desiredStays(t, m)
	}},
	{"a desired value out of range, and one of an unknown or removed node, is refused", func(t *testing.T, m store.Metadata) {
		n := newNode("n1")
		join(t, m, n)
		for _, d := range []store.Desired{
			{Weight: new(0)},
			{Weight: new(-1)},
			{Weight: new(store.MaxWeight + 1)},
			{Zone: new(strings.Repeat("z", store.MaxZone+1))},
			{Zone: new("\xff")},
			{Zone: new("a\x00")},
		} {
			requireKind(t, store.Invalid, m.SetNodeDesired(t.Context(), n.ID, d, ""))
		}
		requireKind(t, store.NotFound, m.SetNodeDesired(t.Context(), store.NewNodeID(), store.Desired{Weight: new(2)}, ""))
		require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeRemoved, ""))
		before := members(t, m)
		requireKind(t, store.Conflict, m.SetNodeDesired(t.Context(), n.ID, store.Desired{Weight: new(2)}, ""))
		requireKind(t, store.Conflict, m.SetNodeDesired(t.Context(), n.ID, store.Desired{}, ""))
		after := members(t, m)
		after.Now = before.Now
		same(t, before, after)
	}},
	{"nodes that join at once each get in, under an epoch of their own", func(t *testing.T, m store.Metadata) {
		joinAtOnce(t, m)
	}},
}

// desiredStays sets and clears what is desired of a node, also while it reports other values.
func desiredStays(t *testing.T, m store.Metadata) {
	n := newNode("n1")
	n.Desired = store.Desired{Zone: new("a node cannot set this"), Weight: new(9)}
	epoch := join(t, m, n).Epoch
	require.Zero(t, nodeOf(t, members(t, m), n.ID).Desired)
	f := follow(t, m)
	for _, step := range []struct {
		what    string
		desired store.Desired
		zone    string
		weight  int
		grows   store.Epoch
		tells   bool
	}{
		{"nothing", store.Desired{}, "z1", 1, 0, false},
		{"what it reports", store.Desired{Zone: new("z1"), Weight: new(1)}, "z1", 1, 0, true},
		{"the same again", store.Desired{Zone: new("z1"), Weight: new(1)}, "z1", 1, 0, false},
		{"another zone", store.Desired{Zone: new("zé"), Weight: new(1)}, "zé", 1, 1, true},
		{"a zone of its own", store.Desired{Zone: new(""), Weight: new(1)}, "", 1, 1, true},
		{"weight alone", store.Desired{Weight: new(store.MaxWeight)}, "z1", store.MaxWeight, 1, true},
		{"zone alone", store.Desired{Zone: new("z7")}, "z7", 1, 1, true},
		{"both", store.Desired{Zone: new("z7"), Weight: new(3)}, "z7", 3, 1, true},
	} {
		require.NoError(t, m.SetNodeDesired(t.Context(), n.ID, step.desired, "AKIA"), step.what)
		view := members(t, m)
		got := nodeOf(t, view, n.ID)
		same(t, step.desired, got.Desired)
		require.Equal(t, step.zone, got.EffectiveZone(), step.what)
		require.Equal(t, step.weight, got.EffectiveWeight(), step.what)
		require.Equal(t, []any{"z1", 1}, []any{got.Zone, got.Weight}, "%s: what the node reports", step.what)
		require.Equal(t, epoch+step.grows, view.Epoch, step.what)
		epoch = view.Epoch
		if step.tells {
			f.requires(t, step.what, eventof.NodeDesired(n.ID, step.desired, "AKIA"))
		}
		f.requires(t, step.what+", no more")
	}
	n.Zone, n.Weight = "z2", 2
	view := join(t, m, n)
	require.Equal(t, epoch, view.Epoch, "what does not count changed")
	f.requires(t, "what does not count changed")
	got := nodeOf(t, view, n.ID)
	require.Equal(t, []any{"z2", 2, "z7", 3}, []any{got.Zone, got.Weight, got.EffectiveZone(), got.EffectiveWeight()})
	require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeDraining, ""))
	require.NoError(t, m.SetNodeDesired(t.Context(), n.ID, store.Desired{Weight: new(3)}, ""))
	got = nodeOf(t, members(t, m), n.ID)
	require.Equal(t, store.NodeDraining, got.State)
	require.Equal(t, "z2", got.EffectiveZone(), "what it reports counts again")
	require.Equal(t, epoch+2, members(t, m).Epoch)
	n.Weight = 5
	require.Equal(t, epoch+2, join(t, m, n).Epoch)
	n.Zone = "z9"
	require.Equal(t, epoch+3, join(t, m, n).Epoch, "the zone counts, the weight does not")
	*got.Desired.Weight = 77
	require.Equal(t, 3, nodeOf(t, members(t, m), n.ID).EffectiveWeight(), "a result is the caller's own")
}

// joinAtOnce lets nodes join side by side, and as many fight for one name.
func joinAtOnce(t *testing.T, stores ...store.Metadata) {
	const count = 8
	before := members(t, stores[0]).Epoch
	own, fight := make([]error, count), make([]error, count)
	var all sync.WaitGroup
	for i := range count {
		m := stores[i%len(stores)]
		all.Go(func() { _, own[i] = m.JoinNode(t.Context(), newNode(fmt.Sprint("own-", i))) })
		all.Go(func() { _, fight[i] = m.JoinNode(t.Context(), newNode("fought-for")) })
	}
	all.Wait()
	won := 0
	for i := range count {
		require.NoError(t, own[i])
		if fight[i] == nil {
			won++
			continue
		}
		requireKind(t, store.Conflict, fight[i])
	}
	require.Equal(t, 1, won)
	view := members(t, stores[0])
	require.Equal(t, before+count+1, view.Epoch)
	require.Len(t, view.Nodes, count+1)
}
