package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// JoinNode implements store.Nodes.
func (s *Store) JoinNode(ctx context.Context, n store.Node) (m store.Membership, err error) {
	if err := n.Validate(); err != nil {
		return m, err
	}
	err = s.write(ctx, "JoinNode", func(t *tx) error {
		event, err := s.mayJoin(t, n)
		if err != nil {
			return err
		}
		c := n.Capacity
		if _, err := t.exec(s.q.SaveNode, n.ID[:], n.Name, n.Address, n.Zone, n.Weight, micros(s.now()),
			c.Total, c.Used, c.Free, c.Chunks, n.Version, c.Disk.State, c.Disk.Reason); err != nil {
			return err
		}
		if event != nil {
			if _, err := t.exec(s.q.NextEpoch); err != nil {
				return err
			}
			if _, err := s.tell(t, *event); err != nil {
				return err
			}
		}
		m, err = s.members(t)
		return err
	})
	return m, err
}

// mayJoin checks the node against those there are, and returns the event of its joining, nil where the epoch stays.
func (s *Store) mayJoin(t *tx, n store.Node) (event *store.Event, err error) {
	var was store.Node
	err = t.row(s.q.Node, n.ID[:]).scan(&was.State, &was.Address, &was.Zone, &was.Weight)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if known && was.State == store.NodeRemoved {
		return nil, store.Errorf(store.Denied, "node %q was removed from the cluster", n.Name).
			WithHint("Give the daemon an empty data directory, so that it joins as a new node.")
	}
	var other []byte
	err = t.row(s.q.NodeNamed, n.Name).scan(&other)
	if err == nil && store.NodeID(other) != n.ID {
		return nil, store.Errorf(store.Conflict, "node %s has the name %q already", store.NodeID(other), n.Name).
			WithHint("Give this node another name, or remove the other one.")
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	var happened store.Event
	switch {
	case !known:
		happened = n.JoinedEvent()
	case was.Address != n.Address || was.Zone != n.Zone || was.Weight != n.Weight:
		happened = n.ChangedEvent()
	default:
		return nil, nil
	}
	return &happened, nil
}

// Members implements store.Nodes.
func (s *Store) Members(ctx context.Context) (m store.Membership, err error) {
	err = s.read(ctx, "Members", func(r *reader) error {
		m, err = s.members(r)
		return err
	})
	return m, err
}

func (s *Store) members(a asker) (m store.Membership, err error) {
	var cluster []byte
	if err := a.row(s.q.Cluster).scan(&cluster, &m.Epoch); err != nil {
		return m, err
	}
	m.Cluster, m.Now = store.ClusterID(cluster), s.now()
	rows, err := a.query(s.q.Members)
	if err != nil {
		return m, err
	}
	err = each(rows, func() error {
		var n store.Node
		var id []byte
		var joined, beat int64
		c := &n.Capacity
		err := rows.Scan(&id, &n.Name, &n.Address, &n.Zone, &n.Weight, &n.State, &joined, &beat, &c.Total, &c.Used, &c.Free, &c.Chunks,
			&c.Disk.State, &c.Disk.Reason, &n.Version)
		if err != nil {
			return err
		}
		n.ID, n.JoinedAt, n.LastBeat = store.NodeID(id), fromMicros(joined), fromMicros(beat)
		m.Nodes = append(m.Nodes, n)
		return nil
	})
	return m, err
}

// BeatNodes implements store.Nodes.
func (s *Store) BeatNodes(ctx context.Context, beats []store.Beat) (unknown []store.NodeID, err error) {
	err = s.write(ctx, "BeatNodes", func(t *tx) error {
		now := micros(s.now())
		for _, b := range beats {
			c := b.Capacity
			changed, err := t.exec(s.q.BeatNode, now, c.Total, c.Used, c.Free, c.Chunks, c.Disk.State, c.Disk.Reason, b.Node[:])
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
	return s.write(ctx, "SetNodeState", func(t *tx) error {
		var was store.Node
		err := t.row(s.q.Node, id[:]).scan(&was.State, &was.Address, &was.Zone, &was.Weight)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.Errorf(store.NotFound, "node %s does not exist", id)
		case err != nil || was.State == state:
			return err
		case was.State == store.NodeRemoved:
			return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
		}
		if _, err := t.exec(s.q.SetNodeState, int64(state), id[:]); err != nil {
			return err
		}
		if _, err := t.exec(s.q.NextEpoch); err != nil {
			return err
		}
		_, err = s.tell(t, store.NodeStateEvent(id, state, caller))
		return err
	})
}
