// Package cluster tracks the nodes of the cluster and which of them can be used.
//
// The metadata store holds the members and the time of each one's last heartbeat. Every
// gateway reads them ([Fleet.Refresh]) and computes the status of each node for itself:
//
//	          beat within 3 heartbeats
//	Inactive <------------------------> Online
//	                                    |    ^
//	   this gateway fails to reach it   v    |  a call or a probe succeeds
//	                                   Suspect
//
// The time without a beat of a node (its silence) is accumulated from one read to the next, so
// clocks that differ or jump have no effect. While the store is unreachable the last view stays
// in use. The time in which it was unreachable, or this gateway was paused, does not count as
// silence: no beat could be stored, and the nodes get time to send another one before their
// status changes. Calls of this gateway still count: a node that it cannot reach is Suspect at
// once, before any beat is missed.
//
// [Heartbeater] sends the heartbeats of nodes in the gateway's own process.
package cluster

import (
	"fmt"
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// MissedBeats is how many heartbeats a node may miss before it is Inactive.
const MissedBeats = 3

// minFree is the least free space in bytes with which a node takes new chunks:
// one unit for each of many concurrent writers whose reservations are not reported yet.
const minFree = 64 << 20

// Status is whether a node can be used, from the view of this gateway.
type Status uint8

// The statuses of a node.
const (
	Inactive Status = iota + 1 // no beat for MissedBeats heartbeats
	Suspect                    // it beats, but the last call of this gateway did not reach it
	Online                     // it beats, and no call failed
)

// String gives the name that operators see.
func (s Status) String() string {
	switch s {
	case Inactive:
		return "inactive"
	case Suspect:
		return "suspect"
	case Online:
		return "online"
	}
	return "unknown"
}

// Member is a node with its status.
type Member struct {
	store.Node
	Status Status
}

// Readable reports whether chunks may be read from the node.
func (m Member) Readable() bool { return m.Status == Online && m.State != store.NodeRemoved }

// Writable reports whether new chunks may be placed on the node.
func (m Member) Writable() bool { return m.Unwritable() == "" }

// Unwritable is the reason, for operators, why no new chunks may be placed on the node; "" if they may.
func (m Member) Unwritable() string {
	switch {
	case m.Status != Online:
		return "it is " + m.Status.String()
	case m.State != store.NodeActive:
		return "it is " + m.State.String()
	case !m.Capacity.Disk.Writable() && m.Capacity.Disk.Reason != "":
		return "its disk is " + m.Capacity.Disk.State.String() + ": " + m.Capacity.Disk.Reason
	case !m.Capacity.Disk.Writable():
		return "its disk is " + m.Capacity.Disk.State.String()
	case m.Capacity.Free <= minFree:
		return fmt.Sprintf("its disk is full: %d bytes are free", m.Capacity.Free)
	}
	return ""
}

// View is a consistent, immutable state of the nodes; a change creates a new View.
type View struct {
	Cluster store.ClusterID
	Epoch   store.Epoch
	Ring    *ring.Ring // of the active nodes, whether they can be reached or not
	Members []Member   // by name, removed ones left out
	// Gains counts how often, since this gateway began, nodes became able to take new chunks. Two views with the same set of such
	// nodes have different counts if a node was away between them.
	Gains uint64
	// Removed are the nodes that were members and were removed for good. A node that
	// is in neither list may have joined after this view.
	Removed []store.NodeID
	byID    map[store.NodeID]int
	plans   sync.Map // of Plan: int -> *placement.Plan
}

// NewView builds a view. It takes over members.
func NewView(id store.ClusterID, epoch store.Epoch, r *ring.Ring, members []Member) *View {
	v := &View{Cluster: id, Epoch: epoch, Ring: r, Members: members, byID: make(map[store.NodeID]int, len(members))}
	for i, m := range members {
		v.byID[m.ID] = i
	}
	return v
}

// Policy is the placement policy of new data that is to survive the wanted number of node failures.
func (v *View) Policy(wanted int) placement.Policy {
	var nodes []placement.Node
	for _, m := range v.Members {
		if m.State == store.NodeActive {
			nodes = append(nodes, placement.Node{ID: m.ID, Zone: m.EffectiveZone()})
		}
	}
	return placement.PolicyFor(nodes, wanted)
}

// Plan decides where new data that is to survive the wanted number of node failures is placed, as long as this view is
// current. It is made once, so that a small put does not visit all nodes. Errors: those of placement.NewPlan.
func (v *View) Plan(wanted int) (*placement.Plan, error) {
	if p, ok := v.plans.Load(wanted); ok {
		return p.(*placement.Plan), nil
	}
	members := make([]placement.Member, len(v.Members))
	for i, m := range v.Members {
		active := m.State == store.NodeActive
		members[i] = placement.Member{
			Node:   placement.Node{ID: m.ID, Zone: m.EffectiveZone()},
			Active: active, Writable: m.Writable(), Full: active && m.Status == Online,
		}
	}
	p, err := placement.NewPlan(v.Ring, members, wanted)
	if err != nil {
		return nil, err
	}
	v.plans.Store(wanted, p)
	return p, nil
}

// Survives is the number of further node failures that the part survives, counting only nodes that can be read now; -1 when it
// cannot be read now.
func (v *View) Survives(p store.Part) int {
	placed := make([]store.Placement, len(p.Chunks))
	for i, c := range p.Chunks {
		if m, ok := v.Member(c.Node); ok && m.Readable() {
			placed[i] = c
		}
	}
	return placement.Survives(p.K, placed)
}

// Next is the node where the ring places the chunk of the part, given the nodes of its other chunks, among those with room for it for
// which pass is true. False when no node qualifies.
func (v *View) Next(p store.Part, index int, pass func(store.NodeID) bool) (store.NodeID, bool) {
	return v.Ring.Next(p.ID, placement.Others(p, index), func(id store.NodeID) bool {
		m, known := v.Member(id)
		return known && m.Writable() && m.Capacity.Free > p.ChunkSize() && pass(id)
	})
}

// gained reports whether a node takes new chunks that did not in the view before.
func (v *View) gained(before *View) bool {
	return slices.ContainsFunc(v.Members, func(m Member) bool {
		was, _ := before.Member(m.ID)
		return m.Writable() && !was.Writable()
	})
}

// Member looks a node up. False for unknown and removed nodes.
func (v *View) Member(id store.NodeID) (Member, bool) {
	i, ok := v.byID[id]
	if !ok {
		return Member{}, false
	}
	return v.Members[i], true
}
