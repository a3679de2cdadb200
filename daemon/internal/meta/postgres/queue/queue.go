// Package queue keeps the tasks of background work.
package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Queues is that part of the metadata in PostgreSQL. Safe for concurrent use.
type Queues struct {
	calls db.Calls
	q     *db.Queries
}

var _ store.Queues = (*Queues)(nil)

// New returns the part of the database that the calls go to.
func New(calls db.Calls, q *db.Queries) *Queues { return &Queues{calls, q} }

// taskArrays are tasks, one array per column.
type taskArrays struct {
	kinds      []int16
	parts      [][16]byte
	indexes    []int16
	nodes      [][16]byte
	terms      []int64
	reasons    []string
	sets       []int64
	priorities []int16
	delays     []time.Duration
}

func newTaskArrays(tasks []store.Task) (a taskArrays) {
	for _, t := range tasks {
		t = t.Queued()
		a.kinds, a.terms, a.reasons = append(a.kinds, int16(t.Kind)), append(a.terms, int64(t.Term)), append(a.reasons, t.Reason)
		a.sets, a.priorities, a.delays = append(a.sets, int64(t.Chunks)), append(a.priorities, int16(t.Priority)), append(a.delays, t.Delay)
		a.parts, a.indexes, a.nodes = append(a.parts, t.Chunk.Part), append(a.indexes, int16(t.Chunk.Index)), append(a.nodes, t.Node)
	}
	return a
}

// identities are the arguments of a statement that begin with the primary keys of the tasks, and their terms.
func (a taskArrays) identities() []any {
	return []any{a.kinds, a.parts, a.indexes, a.nodes, a.terms}
}

// merged are the tasks, each once: a statement cannot change a row twice.
func merged(tasks []store.Task) []store.Task {
	type identity struct {
		kind  store.TaskKind
		chunk store.ChunkID
		node  store.NodeID
	}
	at := map[identity]int{}
	all := make([]store.Task, 0, len(tasks))
	for _, t := range tasks {
		t = t.Queued()
		id := identity{t.Kind, t.Chunk, t.Node}
		if i, known := at[id]; known {
			all[i], _ = placement.Merge(all[i], t)
			continue
		}
		at[id] = len(all)
		all = append(all, t)
	}
	return all
}

// Enqueue implements store.Queues.
func (s *Queues) Enqueue(ctx context.Context, tasks []store.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	a := newTaskArrays(merged(tasks))
	_, err := s.calls.Exec(ctx, "Enqueue", s.q.Enqueue, a.kinds, a.parts, a.indexes, a.nodes, a.reasons, a.sets, a.priorities, store.MaxReasons, a.delays)
	return err
}

// Claim implements store.Queues. It adds up the counts of the queues, too.
func (s *Queues) Claim(ctx context.Context, q store.ClaimQuery) (tasks []store.Task, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	sql, args := s.claim(q)
	err = s.calls.Write(ctx, "Claim", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.AddUpQueues)
		b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
			tasks, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Task, error) {
				t := store.Task{Kind: q.Kind, Term: q.Term}
				var chunks int64
				err := row.Scan((*[16]byte)(&t.Chunk.Part), &t.Chunk.Index, (*[16]byte)(&t.Node), &t.Attempts, &t.QueuedAt, &t.Reason, &chunks, &t.Priority)
				t.QueuedAt, t.Chunks = t.QueuedAt.UTC(), store.ChunkSet(chunks)
				return t, err
			})
			return err
		})
		return db.Pipeline(ctx, c, b)
	})
	slices.SortStableFunc(tasks, func(a, b store.Task) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.QueuedAt.Compare(b.QueuedAt))
	})
	return tasks, err
}

// claim is the statement of a claim, with its arguments.
func (s *Queues) claim(q store.ClaimQuery) (sql string, args []any) {
	args = []any{int16(q.Kind), q.Limit, q.Hold, int64(q.Term)}
	switch {
	case q.Kind == store.Repair:
		return s.q.ClaimRepairs, append(args, q.Urgent(), store.MaxPriority)
	case q.Nodes == nil:
		return s.q.Claim, args
	}
	nodes := make([][16]byte, len(q.Nodes))
	for i, n := range q.Nodes {
		nodes[i] = n
	}
	return s.q.ClaimOfNodes, append(args, nodes)
}

// TakeOver implements store.Queues.
func (s *Queues) TakeOver(ctx context.Context, term uint64) error {
	_, err := s.calls.Exec(ctx, "TakeOver", s.q.TakeOver, int64(term))
	return err
}

// Unclaim implements store.Queues.
func (s *Queues) Unclaim(ctx context.Context, kind store.TaskKind, term uint64) error {
	_, err := s.calls.Exec(ctx, "Unclaim", s.q.Unclaim, int16(kind), int64(term))
	return err
}

// Hasten implements store.Queues.
func (s *Queues) Hasten(ctx context.Context, kind store.TaskKind) error {
	_, err := s.calls.Exec(ctx, "Hasten", s.q.Hasten, int16(kind))
	return err
}

// Finish implements store.Queues.
func (s *Queues) Finish(ctx context.Context, tasks []store.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	a := newTaskArrays(tasks)
	return s.calls.Write(ctx, "Finish", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.Finish, a.identities()...)
		if slices.Contains(a.kinds, int16(store.Repair)) {
			b.Queue(s.q.FinishSome, a.identities()...)
		}
		return db.Pipeline(ctx, c, b)
	})
}

// Postpone implements store.Queues.
func (s *Queues) Postpone(ctx context.Context, tasks []store.Task, delay time.Duration) error {
	if len(tasks) == 0 {
		return nil
	}
	a := newTaskArrays(tasks)
	_, err := s.calls.Exec(ctx, "Postpone", s.q.Postpone, append(a.identities(), a.reasons, delay)...)
	return err
}

// Depth implements store.Queues.
func (s *Queues) Depth(ctx context.Context, kind store.TaskKind) (d store.QueueDepth, err error) {
	err = s.calls.Read(ctx, "Depth", func(c *db.Conn) error {
		return c.QueryRow(ctx, s.q.Depth, int16(kind)).Scan(&d.Tasks, &d.Endangered)
	})
	return d, err
}
