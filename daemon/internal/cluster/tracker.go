package cluster

import (
	"time"

	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tracker is the state machine that computes the views. It is pure: events are calls, with the
// time of this process as an argument where needed, and no clock is read. Not safe for
// concurrent use.
//
// It accumulates the silence of each node from one read of the membership to the next. A new
// beat is recognized by a changed time in the store. Its age is computed with the store's clock,
// but is at most the time between the two reads, so jumps of the store's clock have no effect.
type tracker struct {
	heartbeat time.Duration
	refresh   time.Duration // between two successful reads
	ring      *ring.Ring
	members   store.Membership // as last read
	readAt    time.Time        // start of that read, by this process's clock; zero: never
	missed    bool             // a read failed since
	silence   map[store.NodeID]time.Duration
	suspects  map[store.NodeID]bool
}

func newTracker(heartbeat, refresh time.Duration) *tracker {
	return &tracker{heartbeat: heartbeat, refresh: refresh, ring: ring.New(0, nil), suspects: map[store.NodeID]bool{}}
}

// load applies the membership of a read that began at the given time.
func (t *tracker) load(m store.Membership, at time.Time) {
	if m.Epoch != t.members.Epoch || m.Cluster != t.members.Cluster {
		t.ring = ringOf(m)
	}
	before := make(map[store.NodeID]store.Node, len(t.members.Nodes))
	for _, n := range t.members.Nodes {
		before[n.ID] = n
	}
	t.silence = t.listen(m, before, at)
	suspects := map[store.NodeID]bool{}
	for _, n := range m.Nodes {
		// A node with a new address may be reachable there.
		if t.suspects[n.ID] && n.State != store.NodeRemoved && n.Address == before[n.ID].Address {
			suspects[n.ID] = true
		}
	}
	t.members, t.readAt, t.suspects, t.missed = m, at, suspects, false
}

// listen computes the silence of each node. It does not count time in which this gateway was
// deaf: it was paused, or a read failed, so that the store probably accepted no beats either.
// If a node may have missed a beat by that, its status does not change before one and a half
// further heartbeat intervals.
func (t *tracker) listen(m store.Membership, before map[store.NodeID]store.Node, at time.Time) map[store.NodeID]time.Duration {
	first := !t.loaded() || m.Cluster != t.members.Cluster
	step := max(0, at.Sub(t.readAt))
	deaf := !first && (t.missed || step > max(2*t.refresh, t.heartbeat/2))
	most := MissedBeats*t.heartbeat - t.heartbeat*3/2
	silence := make(map[store.NodeID]time.Duration, len(m.Nodes))
	for _, n := range m.Nodes {
		was, known := before[n.ID]
		s := max(0, m.Now.Sub(n.LastBeat))
		switch {
		case first:
		case !known || !was.LastBeat.Equal(n.LastBeat):
			s = min(s, step)
		case deaf:
			s = t.silence[n.ID]
		default:
			s = t.silence[n.ID] + step
		}
		if deaf && 2*step >= t.heartbeat && !t.inactive(was.ID) {
			s = min(s, most)
		}
		silence[n.ID] = s
	}
	return silence
}

// inactive reports whether the node has been silent for too long.
func (t *tracker) inactive(id store.NodeID) bool { return t.silence[id] >= MissedBeats*t.heartbeat }

// loaded reports whether the membership was read before.
func (t *tracker) loaded() bool { return !t.readAt.IsZero() }

// fail takes in that the metadata store did not answer, or took no beats.
func (t *tracker) fail() { t.missed = true }

// report applies the result of a call to a node and reports whether its status changed.
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

// view returns the current state.
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
	switch {
	case t.inactive(n.ID):
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
			nodes = append(nodes, ring.Node{ID: n.ID, Zone: n.EffectiveZone(), Weight: n.EffectiveWeight()})
		}
	}
	return ring.New(m.Epoch, nodes)
}
