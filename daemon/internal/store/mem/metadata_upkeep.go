package mem

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// Part implements store.Placements.
func (m *Metadata) Part(ctx context.Context, id store.PartID) (p store.Part, f store.File, err error) {
	err = m.do(ctx, func(d *data) error {
		found, file, err := d.part(id)
		if err != nil {
			return err
		}
		p, f = clonePart(*found), withoutParts(file)
		return nil
	})
	return p, f, err
}

// part returns the stored part, to be changed under the lock, and the file that it belongs to or will belong to.
func (d *data) part(id store.PartID) (*store.Part, store.File, error) {
	if file, ok := d.parts[id]; ok {
		f := d.files[file]
		for i := range f.Parts {
			if f.Parts[i].ID == id {
				return &f.Parts[i], f, nil
			}
		}
	}
	if session, ok := d.arrived[id]; ok {
		x := d.sessions[session]
		for i := range x.Parts {
			if x.Parts[i].ID == id {
				return &x.Parts[i].Part, store.File{ID: x.ID, Bucket: x.Bucket, Key: x.Key, State: store.Uploading}, nil
			}
		}
	}
	for i := range d.log.segments {
		if p := &d.log.segments[i].Part; p.ID == id {
			return p, store.File{State: store.Complete}, nil
		}
	}
	return nil, store.File{}, store.Errorf(store.NotFound, "part %s does not exist", id)
}

// PartsByID implements store.Placements.
func (m *Metadata) PartsByID(ctx context.Context, ids []store.PartID) (parts []store.Part, err error) {
	if err := (store.ObjectQuery{Limit: len(ids)}).Validate(); err != nil {
		return nil, err
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b store.PartID) int { return bytes.Compare(a[:], b[:]) })
	err = m.do(ctx, func(d *data) error {
		for _, id := range slices.Compact(ids) {
			if p, _, err := d.part(id); err == nil {
				parts = append(parts, clonePart(*p))
			}
		}
		return nil
	})
	return parts, err
}

// PartsAfter implements store.Placements.
func (m *Metadata) PartsAfter(ctx context.Context, after store.PartID, limit int) (parts []store.Part, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return nil, err
	}
	err = m.do(ctx, func(d *data) error {
		for _, f := range d.files {
			if f.State == store.Complete {
				parts = append(parts, f.Parts...)
			}
		}
		for _, x := range d.sessions {
			for _, p := range x.Parts {
				parts = append(parts, p.Part)
			}
		}
		for _, s := range d.log.segments {
			parts = append(parts, s.Part)
		}
		parts = slices.DeleteFunc(parts, func(p store.Part) bool { return bytes.Compare(p.ID[:], after[:]) <= 0 })
		slices.SortFunc(parts, func(a, b store.Part) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		parts = parts[:min(limit, len(parts))]
		for i := range parts {
			parts[i] = clonePart(parts[i])
		}
		return nil
	})
	return parts, err
}

// WidenPart implements store.Placements.
func (m *Metadata) WidenPart(ctx context.Context, id store.PartID, parity int) error {
	return m.do(ctx, func(d *data) error {
		p, _, err := d.part(id)
		if err != nil {
			return err
		}
		if err := valid.Width(p.K, parity); err != nil {
			return err
		}
		var added store.ChunkSet
		for p.M < parity {
			p.M++
			added |= store.NewChunkSet(len(p.Chunks))
			p.Chunks = append(p.Chunks, store.Placement{})
		}
		d.repair(*p, added, "widened")
		return nil
	})
}

// SweepDeleted implements store.Placements.
func (m *Metadata) SweepDeleted(ctx context.Context, grace time.Duration, limit int) (swept int, err error) {
	if err := valid.Sweep(grace, limit); err != nil {
		return 0, err
	}
	err = m.do(ctx, func(d *data) error {
		now := d.now()
		d.forgetFences(now.Add(-store.FenceFor))
		due := slices.SortedFunc(maps.Keys(d.deleted), func(a, b store.FileID) int { return d.deleted[a].Compare(d.deleted[b]) })
		for _, id := range due {
			if swept < limit && !d.deleted[id].After(now.Add(-grace)) {
				swept += d.sweep(id, limit-swept, now)
			}
		}
		return nil
	})
	return swept, err
}

// sweep removes parts of a Deleted file, and then the file once it has no more.
func (d *data) sweep(id store.FileID, limit int, now time.Time) (swept int) {
	f := d.files[id]
	for swept < limit && len(f.Parts) > 0 {
		d.reclaimPart(f.Parts[0], "its file was deleted")
		delete(d.parts, f.Parts[0].ID)
		delete(d.loose, f.Parts[0].ID)
		f.Parts = f.Parts[1:]
		swept++
	}
	d.files[id] = f
	fence := f.CompletedAt.IsZero() && d.deleted[id].After(now.Add(-store.FenceFor))
	if len(f.Parts) == 0 && !fence && swept < limit {
		delete(d.files, id)
		delete(d.deleted, id)
		swept++
	}
	return swept
}

// MoveChunk implements store.Placements.
func (m *Metadata) MoveChunk(ctx context.Context, id store.ChunkID, from, to store.Placement) error {
	return m.do(ctx, func(d *data) error {
		p, _, err := d.part(id.Part)
		if err != nil {
			return err
		}
		if int(id.Index) >= len(p.Chunks) {
			return store.Errorf(store.NotFound, "part %s has no chunk %d", id.Part, id.Index)
		}
		if p.Chunks[id.Index] != from {
			return store.Errorf(store.Conflict, "chunk %s was moved in the meantime", id)
		}
		reclaim := taskID{store.Reclaim, id, to.Node}
		if t := d.tasks[reclaim]; t != nil && t.Attempts > 0 {
			return store.Errorf(store.Conflict, "chunk %s may be being deleted on node %s", id, to.Node)
		}
		delete(d.tasks, reclaim)
		p.Chunks[id.Index] = to
		d.afterMove(*p, id, from, to)
		return nil
	})
}

func (d *data) afterMove(p store.Part, id store.ChunkID, from, to store.Placement) {
	chunk := store.NewChunkSet(int(id.Index))
	if !from.Node.IsZero() && from.Node != to.Node {
		d.enqueue(store.Task{Kind: store.Reclaim, Chunk: id, Node: from.Node, Reason: "the chunk was moved"})
	}
	if to.Node.IsZero() {
		d.repair(p, chunk, "lost")
		return
	}
	repair := idOf(placement.Repair(p, chunk, ""))
	if t := d.tasks[repair]; t != nil {
		t.Chunks, t.held = t.Chunks&^chunk, t.held&^chunk
		if t.Chunks|t.held == 0 {
			delete(d.tasks, repair)
		}
	}
}

// repair queues the repair of chunks of the part, if there are any.
func (d *data) repair(p store.Part, chunks store.ChunkSet, reason string) {
	if chunks == 0 {
		return
	}
	t := placement.Repair(p, p.Missing(), reason)
	t.Chunks = chunks
	d.enqueue(t)
}

// JoinNode implements store.Nodes.
func (m *Metadata) JoinNode(ctx context.Context, n store.Node) (members store.Membership, err error) {
	if err := n.Validate(); err != nil {
		return members, err
	}
	err = m.do(ctx, func(d *data) error {
		was, known := d.nodes[n.ID]
		if known && was.State == store.NodeRemoved {
			return store.Errorf(store.Denied, "node %s was removed from the cluster", n.ID)
		}
		for _, o := range d.nodes {
			if o.Name == n.Name && o.ID != n.ID && o.State != store.NodeRemoved {
				return store.Errorf(store.Conflict, "another node has the name %q", n.Name)
			}
		}
		now := d.now()
		n.LastBeat = now
		if known {
			n.State, n.JoinedAt, n.Desired = was.State, was.JoinedAt, was.Desired
		} else {
			n.State, n.JoinedAt, n.Desired = store.NodeActive, now, store.Desired{}
		}
		switch {
		case !known:
			d.epoch++
			d.tell(eventof.NodeJoined(n))
		case !was.SamePlace(n):
			d.epoch++
			d.tell(eventof.NodeChanged(n))
		}
		d.nodes[n.ID] = n
		members = d.members()
		return nil
	})
	return members, err
}

// Members implements store.Nodes.
func (m *Metadata) Members(ctx context.Context) (members store.Membership, err error) {
	err = m.do(ctx, func(d *data) error { members = d.members(); return nil })
	return members, err
}

func (d *data) members() store.Membership {
	byName := func(a, b store.Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:])) }
	nodes := slices.SortedFunc(maps.Values(d.nodes), byName)
	for i := range nodes {
		nodes[i].Desired = cloneDesired(nodes[i].Desired)
	}
	return store.Membership{Cluster: d.cluster, Epoch: d.epoch, Now: d.now(), Nodes: nodes}
}

// BeatNodes implements store.Nodes.
func (m *Metadata) BeatNodes(ctx context.Context, beats []store.Beat) (unknown []store.NodeID, err error) {
	err = m.do(ctx, func(d *data) error {
		now := d.now()
		for _, b := range beats {
			n, ok := d.nodes[b.Node]
			if !ok || n.State == store.NodeRemoved {
				unknown = append(unknown, b.Node)
				continue
			}
			n.LastBeat, n.Capacity = now, b.Capacity
			d.nodes[b.Node] = n
		}
		return nil
	})
	return unknown, err
}

// SetNodeState implements store.Nodes.
func (m *Metadata) SetNodeState(ctx context.Context, id store.NodeID, s store.NodeState, caller string) error {
	if s < store.NodeActive || s > store.NodeRemoved {
		return store.Errorf(store.Invalid, "node state %d is unknown", s)
	}
	return m.do(ctx, func(d *data) error {
		n, ok := d.nodes[id]
		switch {
		case !ok:
			return store.Errorf(store.NotFound, "node %s does not exist", id)
		case n.State == s:
			return nil
		case n.State == store.NodeRemoved:
			return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
		}
		n.State = s
		d.nodes[id] = n
		d.epoch++
		d.tell(eventof.NodeState(id, s, caller))
		return nil
	})
}

// SetNodeDesired implements store.Nodes.
func (m *Metadata) SetNodeDesired(ctx context.Context, id store.NodeID, desired store.Desired, caller string) error {
	if err := desired.Validate(); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		was, ok := d.nodes[id]
		switch {
		case !ok:
			return store.Errorf(store.NotFound, "node %s does not exist", id)
		case was.State == store.NodeRemoved:
			return store.Errorf(store.Conflict, "node %s was removed from the cluster", id)
		case reflect.DeepEqual(was.Desired, desired):
			return nil
		}
		n := was
		n.Desired = cloneDesired(desired)
		d.nodes[id] = n
		if !was.SamePlace(n) {
			d.epoch++
		}
		d.tell(eventof.NodeDesired(id, desired, caller))
		return nil
	})
}

// cloneDesired copies the values, which the caller might change.
func cloneDesired(d store.Desired) store.Desired {
	if d.Zone != nil {
		d.Zone = new(*d.Zone)
	}
	if d.Weight != nil {
		d.Weight = new(*d.Weight)
	}
	return d
}

// taskID is the identity of a task.
type taskID struct {
	kind  store.TaskKind
	chunk store.ChunkID
	node  store.NodeID
}

// task is a queued task, hidden until due.
type task struct {
	store.Task
	due  time.Time
	held store.ChunkSet // the chunks of a claimed repair; Chunks are those that were added since
}

func idOf(t store.Task) taskID { return taskID{t.Kind, t.Chunk, t.Node} }

func (d *data) enqueue(t store.Task) {
	t = t.Queued()
	queued := d.tasks[idOf(t)]
	if queued == nil {
		t.Attempts, t.Term, t.QueuedAt = 0, 0, d.now()
		due := t.QueuedAt.Add(t.Delay)
		t.Delay = 0
		d.tasks[idOf(t)] = &task{Task: t, due: due}
		return
	}
	merged, changed := placement.Merge(queued.Task, t)
	if queued.Task = merged; changed && queued.Term == 0 && queued.due.After(d.now()) {
		queued.due = d.now()
	}
}

// Enqueue implements store.Queues.
func (m *Metadata) Enqueue(ctx context.Context, tasks []store.Task) error {
	return m.do(ctx, func(d *data) error {
		for _, t := range tasks {
			d.enqueue(t)
		}
		return nil
	})
}

// Claim implements store.Queues.
func (m *Metadata) Claim(ctx context.Context, q store.ClaimQuery) (claimed []store.Task, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	err = m.do(ctx, func(d *data) error {
		now := d.now()
		var due []*task
		for _, t := range d.tasks {
			if t.Kind == q.Kind && !t.due.After(now) && (q.Nodes == nil || slices.Contains(q.Nodes, t.Node)) {
				due = append(due, t)
			}
		}
		for _, t := range choose(due, q) {
			t.Attempts++
			t.Term, t.due = q.Term, now.Add(q.Hold)
			t.held, t.Chunks = t.held|t.Chunks, 0
			given := t.Task
			given.Chunks = t.held
			claimed = append(claimed, given)
		}
		return nil
	})
	return claimed, err
}

// choose returns the tasks that the claim gets, the most endangered first.
func choose(due []*task, q store.ClaimQuery) []*task {
	older := func(a, b *task) int { return a.due.Compare(b.due) }
	urgent := func(a, b *task) int { return cmp.Or(cmp.Compare(a.Priority, b.Priority), older(a, b)) }
	slices.SortFunc(due, urgent)
	slices.SortFunc(due[min(q.Urgent(), len(due)):], older)
	chosen := due[:min(q.Limit, len(due))]
	slices.SortFunc(chosen, urgent)
	return chosen
}

// release ends the claim; the task is due then.
func (t *task) release(due time.Time) {
	t.Term, t.due = 0, due
	t.Chunks, t.held = t.Chunks|t.held, 0
}

// TakeOver implements store.Queues.
func (m *Metadata) TakeOver(ctx context.Context, term uint64) error {
	return m.do(ctx, func(d *data) error {
		for _, t := range d.tasks {
			if t.Term > 0 && t.Term < term {
				t.release(d.now())
			}
		}
		return nil
	})
}

// Unclaim implements store.Queues.
func (m *Metadata) Unclaim(ctx context.Context, kind store.TaskKind, term uint64) error {
	return m.do(ctx, func(d *data) error {
		for _, t := range d.tasks {
			if t.Kind == kind && t.Term > 0 && t.Term == term {
				t.release(d.now())
			}
		}
		return nil
	})
}

// Hasten implements store.Queues.
func (m *Metadata) Hasten(ctx context.Context, kind store.TaskKind) error {
	return m.do(ctx, func(d *data) error {
		for _, t := range d.tasks {
			if t.Kind == kind && t.Term == 0 && t.due.After(d.now()) {
				t.due = d.now()
			}
		}
		return nil
	})
}

// claimed is the queued task, if it is still claimed under the term of t.
func (d *data) claimed(t store.Task) (*task, bool) {
	queued, ok := d.tasks[idOf(t.Queued())]
	return queued, ok && queued.Term == t.Term
}

// Finish implements store.Queues.
func (m *Metadata) Finish(ctx context.Context, tasks []store.Task) error {
	return m.do(ctx, func(d *data) error {
		for _, t := range tasks {
			queued, ok := d.claimed(t)
			switch {
			case !ok:
			case queued.Chunks == 0:
				delete(d.tasks, idOf(queued.Task))
			default:
				queued.held = 0
				queued.release(d.now())
			}
		}
		return nil
	})
}

// Postpone implements store.Queues.
func (m *Metadata) Postpone(ctx context.Context, tasks []store.Task, delay time.Duration) error {
	return m.do(ctx, func(d *data) error {
		for _, t := range tasks {
			if queued, ok := d.claimed(t); ok {
				queued.release(d.now().Add(delay))
				queued.Reason = t.Reason
			}
		}
		return nil
	})
}

// Depth implements store.Queues.
func (m *Metadata) Depth(ctx context.Context, kind store.TaskKind) (depth store.QueueDepth, err error) {
	err = m.do(ctx, func(d *data) error {
		for _, t := range d.tasks {
			if t.Kind != kind {
				continue
			}
			if depth.Tasks++; t.Priority == 0 {
				depth.Endangered++
			}
		}
		return nil
	})
	return depth, err
}

// lease is a name's current or last holder.
type lease struct {
	owner string
	term  uint64
	until time.Time // zero: released
}

// AcquireLease implements store.Leases.
func (m *Metadata) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (got store.Lease, err error) {
	if err := valid.TTL(ttl); err != nil {
		return got, err
	}
	err = m.do(ctx, func(d *data) error {
		now := d.now()
		l := d.leases[name]
		if l == nil {
			l = &lease{}
			d.leases[name] = l
		}
		if now.Before(l.until) && l.owner != owner {
			return store.Errorf(store.Conflict, "lease %q is held by %s", name, l.owner)
		}
		if l.owner != owner {
			d.tell(eventof.Lease(name, owner))
		}
		l.owner, l.until = owner, now.Add(ttl)
		l.term++
		got = store.Lease{Name: name, Owner: owner, Term: l.term, TTL: ttl}
		return nil
	})
	return got, err
}

// RenewLease implements store.Leases.
func (m *Metadata) RenewLease(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := valid.TTL(ttl); err != nil {
		return store.Lease{}, err
	}
	err := m.do(ctx, func(d *data) error {
		now := d.now()
		held := d.leases[l.Name]
		if held == nil || held.owner != l.Owner || held.term != l.Term || !now.Before(held.until) {
			return store.Errorf(store.Conflict, "term %d of lease %q is over", l.Term, l.Name)
		}
		held.until = now.Add(ttl)
		l.TTL = ttl
		return nil
	})
	if err != nil {
		return store.Lease{}, err
	}
	return l, nil
}

// ReleaseLease implements store.Leases.
func (m *Metadata) ReleaseLease(ctx context.Context, l store.Lease) error {
	return m.do(ctx, func(d *data) error {
		if held := d.leases[l.Name]; held != nil && held.owner == l.Owner && held.term == l.Term {
			held.until = time.Time{}
		}
		return nil
	})
}

// SaveCredential implements store.Credentials.
func (m *Metadata) SaveCredential(ctx context.Context, c store.Credential, caller string) error {
	return m.do(ctx, func(d *data) error {
		if _, ok := d.credentials[c.AccessKey]; ok {
			return store.Errorf(store.Exists, "access key %q exists already", c.AccessKey)
		}
		c.Sealed, c.CreatedAt = bytes.Clone(c.Sealed), d.now()
		d.credentials[c.AccessKey] = c
		d.tell(eventof.Key(store.EventKeyMade, c.AccessKey, c.Note, caller))
		return nil
	})
}

// ReplaceCredentials implements store.Credentials.
func (m *Metadata) ReplaceCredentials(ctx context.Context, c store.Credential, caller string) error {
	return m.do(ctx, func(d *data) error {
		maps.DeleteFunc(d.credentials, func(_ string, old store.Credential) bool { return old.Note == c.Note })
		c.Sealed, c.CreatedAt = bytes.Clone(c.Sealed), d.now()
		d.credentials[c.AccessKey] = c
		d.tell(eventof.Key(store.EventKeyReplaced, c.AccessKey, c.Note, caller))
		return nil
	})
}

// Credential implements store.Credentials.
func (m *Metadata) Credential(ctx context.Context, accessKey string) (c store.Credential, err error) {
	err = m.do(ctx, func(d *data) error {
		var ok bool
		if c, ok = d.credentials[accessKey]; !ok {
			return store.Errorf(store.NotFound, "access key %q does not exist", accessKey)
		}
		c.Sealed = bytes.Clone(c.Sealed)
		return nil
	})
	return c, err
}

// ListCredentials implements store.Credentials.
func (m *Metadata) ListCredentials(ctx context.Context) (all []store.Credential, err error) {
	err = m.do(ctx, func(d *data) error {
		for _, key := range slices.Sorted(maps.Keys(d.credentials)) {
			c := d.credentials[key]
			c.Sealed = bytes.Clone(c.Sealed)
			all = append(all, c)
		}
		return nil
	})
	return all, err
}

// DeleteCredential implements store.Credentials.
func (m *Metadata) DeleteCredential(ctx context.Context, accessKey, caller string) error {
	return m.do(ctx, func(d *data) error {
		if _, ok := d.credentials[accessKey]; !ok {
			return store.Errorf(store.NotFound, "access key %q does not exist", accessKey)
		}
		delete(d.credentials, accessKey)
		d.tell(eventof.Key(store.EventKeyGone, accessKey, "", caller))
		return nil
	})
}
