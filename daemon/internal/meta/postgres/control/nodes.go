package control

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// JoinNode implements store.Nodes.
func (s *Store) JoinNode(ctx context.Context, n store.Node) (m store.Membership, err error) {
	if err := n.Validate(); err != nil {
		return m, err
	}
	v, err := joinValues(n)
	if err != nil {
		return m, err
	}
	err = s.calls.Write(ctx, "JoinNode", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.LockCluster)
		b.Queue(s.q.JoinNode, s.q.Args(s.q.JoinNode, v)...)
		b.Queue(s.q.Members).Query(func(rows pgx.Rows) (err error) {
			m, err = collectMembers(rows)
			return err
		})
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		for _, known := range m.Nodes {
			if known.ID == n.ID && known.State == store.NodeRemoved {
				return store.Errorf(store.Denied, "node %q was removed and may not rejoin", n.Name).
					WithHint("Join with an empty data directory, as a new node.")
			}
		}
		return nil
	})
	if err != nil {
		return store.Membership{}, err
	}
	return m, nil
}

// joinValues are the values of JoinNode.
func joinValues(n store.Node) (db.Values, error) {
	c, changed := n.Capacity, eventof.NodeChanged(n)
	return db.Values{
		"id": [16]byte(n.ID), "name": n.Name, "address": n.Address, "zone": n.Zone, "weight": n.Weight,
		"total": c.Total, "used": c.Used, "free": c.Free, "chunks": c.Chunks, "disk_state": int16(c.Disk.State), "disk_reason": c.Disk.Reason,
		"version": n.Version, "data_port": int16(n.DataPort), "changed": changed.Kind, "changed_message": changed.Message,
	}.WithEvent(eventof.NodeJoined(n))
}

// Members implements store.Nodes.
func (s *Store) Members(ctx context.Context) (m store.Membership, err error) {
	err = s.calls.Read(ctx, "Members", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Members)
		if err != nil {
			return err
		}
		m, err = collectMembers(rows)
		return err
	})
	return m, err
}

// BeatNodes implements store.Nodes.
func (s *Store) BeatNodes(ctx context.Context, beats []store.Beat) (unknown []store.NodeID, err error) {
	if len(beats) == 0 {
		return nil, nil
	}
	last := make(map[store.NodeID]store.Capacity, len(beats)) // of several heartbeats of a node the last one counts
	for _, b := range beats {
		last[b.Node] = b.Capacity
	}
	var ids [][16]byte
	var total, used, free, chunks []int64
	var states []int16
	var reasons []string
	for id, c := range last {
		ids = append(ids, id)
		total, used, free, chunks = append(total, c.Total), append(used, c.Used), append(free, c.Free), append(chunks, c.Chunks)
		states, reasons = append(states, int16(c.Disk.State)), append(reasons, c.Disk.Reason)
	}
	var known map[store.NodeID]bool
	err = s.calls.Write(ctx, "BeatNodes", func(c *db.Conn) error {
		known = make(map[store.NodeID]bool, len(last))
		rows, err := c.Query(ctx, s.q.BeatNodes, ids, total, used, free, chunks, states, reasons)
		if err != nil {
			return err
		}
		var id [16]byte
		_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
			known[id] = true
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, b := range beats {
		if !known[b.Node] {
			unknown = append(unknown, b.Node)
			known[b.Node] = true // returned once
		}
	}
	return unknown, nil
}

// SetNodeState implements store.Nodes.
func (s *Store) SetNodeState(ctx context.Context, id store.NodeID, state store.NodeState, caller string) error {
	if state < store.NodeActive || state > store.NodeRemoved {
		return store.Errorf(store.Invalid, "node state %d is unknown", state)
	}
	v, err := db.Values{"id": [16]byte(id), "state": int16(state)}.WithEvent(eventof.NodeState(id, state, caller))
	if err != nil {
		return err
	}
	before, err := s.setNode(ctx, "SetNodeState", s.q.SetNodeState, id, v)
	if err == nil && before == store.NodeRemoved && state != store.NodeRemoved {
		return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
	}
	return err
}

// SetNodeDesired implements store.Nodes.
func (s *Store) SetNodeDesired(ctx context.Context, id store.NodeID, d store.Desired, caller string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	v, err := db.Values{"id": [16]byte(id), "zone": d.Zone, "weight": d.Weight}.WithEvent(eventof.NodeDesired(id, d, caller))
	if err != nil {
		return err
	}
	before, err := s.setNode(ctx, "SetNodeDesired", s.q.SetNodeDesired, id, v)
	if err == nil && before == store.NodeRemoved {
		return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
	}
	return err
}

// setNode executes a statement that changes a node, unless it is removed, and returns the state that the node had before. NotFound.
func (s *Store) setNode(ctx context.Context, op, text string, id store.NodeID, v db.Values) (before store.NodeState, err error) {
	var state int16
	err = s.calls.Write(ctx, op, func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.LockCluster)
		b.Queue(s.q.NodeState, [16]byte(id)).QueryRow(func(row pgx.Row) error { return row.Scan(&state) })
		b.Queue(text, s.q.Args(text, v)...)
		err := db.Pipeline(ctx, c, b)
		if db.IsNoRows(err) {
			return store.Errorf(store.NotFound, "node %s does not exist", id)
		}
		return err
	})
	return store.NodeState(state), err
}

// collectMembers reads the rows of Members: the cluster, beside each of its nodes.
func collectMembers(rows pgx.Rows) (m store.Membership, err error) {
	defer rows.Close()
	var n store.Node
	var epoch int64
	var state, disk int16
	cluster := []any{(*[16]byte)(&m.Cluster), &epoch, &m.Now}
	node := slices.Concat(cluster, []any{
		(*[16]byte)(&n.ID), &n.Name, &n.Address, &n.Zone, &n.Weight, &n.Desired.Zone, &n.Desired.Weight, &state, &n.JoinedAt,
		&n.LastBeat, &n.Capacity.Total, &n.Capacity.Used, &n.Capacity.Free, &n.Capacity.Chunks, &disk, &n.Capacity.Disk.Reason, &n.Version, &n.DataPort,
	})
	without := slices.Concat(cluster, make([]any, len(node)-len(cluster)))
	for rows.Next() {
		if rows.RawValues()[len(cluster)] == nil {
			if err := rows.Scan(without...); err != nil {
				return m, err
			}
			continue
		}
		if err := rows.Scan(node...); err != nil {
			return m, err
		}
		n.State, n.JoinedAt, n.LastBeat = store.NodeState(state), n.JoinedAt.UTC(), n.LastBeat.UTC()
		n.Capacity.Disk.State = store.DiskState(disk)
		m.Nodes = append(m.Nodes, n)
	}
	m.Epoch, m.Now = store.Epoch(epoch), m.Now.UTC()
	slices.SortFunc(m.Nodes, func(a, b store.Node) int { // the database's collation may differ
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return m, rows.Err()
}
