package control

import (
	"context"
	"database/sql"
	"errors"
	"reflect"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// JoinNode implements store.Nodes.
func (s *Store) JoinNode(ctx context.Context, n store.Node) (m store.Membership, err error) {
	if err := n.Validate(); err != nil {
		return m, err
	}
	err = s.db.Write(ctx, "JoinNode", func(t *db.Tx) error {
		event, err := s.mayJoin(t, n)
		if err != nil {
			return err
		}
		c := n.Capacity
		now := db.Micros(s.db.Now())
		if _, err := t.Exec(s.db.Q.SaveNode, n.ID[:], n.Name, n.Address, n.Zone, n.Weight, now); err != nil {
			return err
		}
		if _, err := t.Exec(s.db.Q.FirstBeat, n.ID[:], now, c.Total, c.Used, c.Free, c.Chunks, n.Version, c.Disk.State, c.Disk.Reason, n.DataPort); err != nil {
			return err
		}
		if event != nil {
			if _, err := t.Exec(s.db.Q.NextEpoch); err != nil {
				return err
			}
			if _, err := s.Tell(t, *event); err != nil {
				return err
			}
		}
		m, err = s.members(t)
		return err
	})
	return m, err
}

// mayJoin checks the node against those there are, and returns the event of its joining, nil where the epoch stays.
func (s *Store) mayJoin(t *db.Tx, n store.Node) (event *store.Event, err error) {
	was, err := s.node(t, n.ID)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if known && was.State == store.NodeRemoved {
		return nil, store.Errorf(store.Denied, "node %q was removed from the cluster", n.Name).
			WithHint("Give the daemon an empty data directory, so that it joins as a new node.")
	}
	var other []byte
	err = t.Row(s.db.Q.NodeNamed, n.Name).Scan(&other)
	if err == nil && store.NodeID(other) != n.ID {
		return nil, store.Errorf(store.Conflict, "node %s has the name %q already", store.NodeID(other), n.Name).
			WithHint("Give this node another name, or remove the other one.")
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	n.Desired = was.Desired
	var happened store.Event
	switch {
	case !known:
		happened = eventof.NodeJoined(n)
	case !was.SamePlace(n):
		happened = eventof.NodeChanged(n)
	default:
		return nil, nil
	}
	return &happened, nil
}

// node returns what of the node decides about the epoch, and its state; sql.ErrNoRows if it is unknown.
func (s *Store) node(t *db.Tx, id store.NodeID) (n store.Node, err error) {
	err = t.Row(s.db.Q.Node, id[:]).Scan(&n.State, &n.Address, &n.Zone, &n.Weight, &n.Desired.Zone, &n.Desired.Weight)
	return n, err
}

// Members implements store.Nodes.
func (s *Store) Members(ctx context.Context) (m store.Membership, err error) {
	err = s.db.Read(ctx, "Members", func(r *db.Reader) error {
		m, err = s.members(r)
		return err
	})
	return m, err
}

func (s *Store) members(a db.Asker) (m store.Membership, err error) {
	var cluster []byte
	if err := a.Row(s.db.Q.Cluster).Scan(&cluster, &m.Epoch); err != nil {
		return m, err
	}
	m.Cluster, m.Now = store.ClusterID(cluster), s.db.Now()
	rows, err := a.Query(s.db.Q.Members)
	if err != nil {
		return m, err
	}
	err = db.Each(rows, func() error {
		var n store.Node
		var id []byte
		var joined, beat int64
		c := &n.Capacity
		err := rows.Scan(&id, &n.Name, &n.Address, &n.Zone, &n.Weight, &n.Desired.Zone, &n.Desired.Weight, &n.State, &joined, &beat,
			&c.Total, &c.Used, &c.Free, &c.Chunks, &c.Disk.State, &c.Disk.Reason, &n.Version, &n.DataPort)
		if err != nil {
			return err
		}
		n.ID, n.JoinedAt, n.LastBeat = store.NodeID(id), db.FromMicros(joined), db.FromMicros(beat)
		m.Nodes = append(m.Nodes, n)
		return nil
	})
	return m, err
}

// BeatNodes implements store.Nodes.
func (s *Store) BeatNodes(ctx context.Context, beats []store.Beat) (unknown []store.NodeID, err error) {
	err = s.db.Write(ctx, "BeatNodes", func(t *db.Tx) error {
		now := db.Micros(s.db.Now())
		for _, b := range beats {
			c := b.Capacity
			changed, err := t.Exec(s.db.Q.BeatNode, now, c.Total, c.Used, c.Free, c.Chunks, c.Disk.State, c.Disk.Reason, b.Node[:])
			if err != nil {
				return err
			}
			if changed == 0 {
				unknown = append(unknown, b.Node)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return unknown, nil
}

// SetNodeState implements store.Nodes.
func (s *Store) SetNodeState(ctx context.Context, id store.NodeID, state store.NodeState, caller string) error {
	if state.String() == "" {
		return store.Errorf(store.Invalid, "node state %d is unknown", state)
	}
	return s.db.Write(ctx, "SetNodeState", func(t *db.Tx) error {
		was, err := s.node(t, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.Errorf(store.NotFound, "node %s does not exist", id)
		case err != nil || was.State == state:
			return err
		case was.State == store.NodeRemoved:
			return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
		}
		if _, err := t.Exec(s.db.Q.SetNodeState, int64(state), id[:]); err != nil {
			return err
		}
		if _, err := t.Exec(s.db.Q.NextEpoch); err != nil {
			return err
		}
		_, err = s.Tell(t, eventof.NodeState(id, state, caller))
		return err
	})
}

// SetNodeDesired implements store.Nodes.
func (s *Store) SetNodeDesired(ctx context.Context, id store.NodeID, d store.Desired, caller string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return s.db.Write(ctx, "SetNodeDesired", func(t *db.Tx) error {
		was, err := s.node(t, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.Errorf(store.NotFound, "node %s does not exist", id)
		case err != nil:
			return err
		case was.State == store.NodeRemoved:
			return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
		case reflect.DeepEqual(was.Desired, d):
			return nil
		}
		if _, err := t.Exec(s.db.Q.SetNodeDesired, d.Zone, d.Weight, id[:]); err != nil {
			return err
		}
		n := was
		if n.Desired = d; !was.SamePlace(n) {
			if _, err := t.Exec(s.db.Q.NextEpoch); err != nil {
				return err
			}
		}
		_, err = s.Tell(t, eventof.NodeDesired(id, d, caller))
		return err
	})
}
