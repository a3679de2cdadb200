package cluster

import (
	"time"

	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tracker is the state machine behind the views. It is pure: what happens comes in
// as calls, views come out, and no clock is read. Not safe for concurrent use.
type tracker struct {
	heartbeat time.Duration
	ring      *ring.Ring
	members   store.Membership // as last read
	missed    bool             // a read failed since
	excused   map[store.NodeID]time.Duration
	suspects  map[store.NodeID]bool
}

func newTracker(heartbeat time.Duration) *tracker {
	return &tracker{heartbeat: heartbeat, ring: ring.New(0, nil), suspects: map[store.NodeID]bool{}}
}

// load takes in what the metadata store says.
func (t *tracker) load(m store.Membership) {
	if m.Epoch != t.members.Epoch || m.Cluster != t.members.Cluster {
		t.ring = ringOf(m)
	}
	before := make(map[store.NodeID]store.Node, len(t.members.Nodes))
	for _, n := range t.members.Nodes {
		before[n.ID] = n
	}
	t.excused = t.excuses(m, before)
	suspects := map[store.NodeID]bool{}
	for _, n := range m.Nodes {
		// A node that moved is a new way to try.
		if t.suspects[n.ID] && n.State != store.NodeRemoved && n.Address == before[n.ID].Address {
			suspects[n.ID] = true
		}
	}
	t.members, t.suspects, t.missed = m, suspects, false
}

// excuses is the silence that is not the nodes' own, since the last beat of each:
// between two reads of which the store failed one, it took no beats either.
func (t *tracker) excuses(m store.Membership, before map[store.NodeID]store.Node) map[store.NodeID]time.Duration {
	var gap time.Duration
	if t.missed && !t.members.Now.IsZero() {
		gap = max(0, m.Now.Sub(t.members.Now))
	}
	excused := map[store.NodeID]time.Duration{}
	for _, n := range m.Nodes {
		if was, known := before[n.ID]; known && was.LastBeat.Equal(n.LastBeat) && t.excused[n.ID]+gap > 0 {
			excused[n.ID] = t.excused[n.ID] + gap
		}
	}
	return excused
}

// fail takes in that the metadata store did not answer.
func (t *tracker) fail() { t.missed = true }

// report takes in how a call to a node went; true when that changed its standing.
func (t *tracker) report(id store.NodeID, reached bool) bool {
	if reached == !t.suspects[id] {
		return false
	}
	if reached {
		delete(t.suspects, id)
	} else {
		t.suspects[id] = true
	}
	return true
}

// view is the present picture.
func (t *tracker) view() *View {
	members := make([]Member, 0, len(t.members.Nodes))
	var removed []store.NodeID
	for _, n := range t.members.Nodes {
		if n.State == store.NodeRemoved {
			removed = append(removed, n.ID)
			continue
		}
		members = append(members, Member{Node: n, Status: t.status(n)})
	}
	v := NewView(t.members.Cluster, t.members.Epoch, t.ring, members)
	v.Removed = removed
	return v
}

func (t *tracker) status(n store.Node) Status {
	silence := t.members.Now.Sub(n.LastBeat) - t.excused[n.ID]
	switch {
	case silence >= MissedBeats*t.heartbeat:
		return Inactive
	case t.suspects[n.ID]:
		return Suspect
	}
	return Online
}

func ringOf(m store.Membership) *ring.Ring {
	var nodes []ring.Node
	for _, n := range m.Nodes {
		if n.State == store.NodeActive {
			nodes = append(nodes, ring.Node{ID: n.ID, Zone: n.Zone, Weight: n.Weight})
		}
	}
	return ring.New(m.Epoch, nodes)
}
