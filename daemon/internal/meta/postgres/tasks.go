package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// taskArrays are tasks, one array per column.
type taskArrays struct {
	kinds   []int16
	chunks  *chunkArrays
	terms   []int64
	reasons []string
}

func newTaskArrays(tasks []store.Task) taskArrays {
	a := taskArrays{chunks: newChunkArrays()}
	for _, t := range tasks {
		a.kinds, a.terms, a.reasons = append(a.kinds, int16(t.Kind)), append(a.terms, int64(t.Term)), append(a.reasons, t.Reason)
		a.chunks.add(t.Chunk.Part, int(t.Chunk.Index), t.Node)
	}
	return a
}

// Enqueue implements store.Queues.
func (s *Store) Enqueue(ctx context.Context, tasks []store.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	a := newTaskArrays(tasks)
	_, err := s.clients.Exec(ctx, "Enqueue", s.q.Enqueue, a.kinds, a.chunks.parts, a.chunks.indexes, a.chunks.nodes, a.reasons)
	return err
}

// Claim implements store.Queues.
func (s *Store) Claim(ctx context.Context, q store.ClaimQuery) (tasks []store.Task, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	sql, args := s.q.Claim, []any{int16(q.Kind), q.Limit, q.Hold, int64(q.Term)}
	if q.Nodes != nil {
		nodes := make([][16]byte, len(q.Nodes))
		for i, n := range q.Nodes {
			nodes[i] = n
		}
		sql, args = s.q.ClaimOfNodes, append(args, nodes)
	}
	err = s.clients.Write(ctx, "Claim", func(c *db.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		tasks, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Task, error) {
			t := store.Task{Kind: q.Kind, Term: q.Term}
			err := row.Scan((*[16]byte)(&t.Chunk.Part), &t.Chunk.Index, (*[16]byte)(&t.Node), &t.Attempts, &t.QueuedAt, &t.Reason)
			t.QueuedAt = t.QueuedAt.UTC()
			return t, err
		})
		return err
	})
	slices.SortStableFunc(tasks, func(a, b store.Task) int { return a.QueuedAt.Compare(b.QueuedAt) })
	return tasks, err
}

// TakeOver implements store.Queues.
func (s *Store) TakeOver(ctx context.Context, term uint64) error {
	_, err := s.clients.Exec(ctx, "TakeOver", s.q.TakeOver, int64(term))
	return err
}

// Unclaim implements store.Queues.
func (s *Store) Unclaim(ctx context.Context, kind store.TaskKind, term uint64) error {
	_, err := s.clients.Exec(ctx, "Unclaim", s.q.Unclaim, int16(kind), int64(term))
	return err
}

// Hasten implements store.Queues.
func (s *Store) Hasten(ctx context.Context, kind store.TaskKind) error {
	_, err := s.clients.Exec(ctx, "Hasten", s.q.Hasten, int16(kind))
	return err
}

// Finish implements store.Queues.
func (s *Store) Finish(ctx context.Context, tasks []store.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	a := newTaskArrays(tasks)
	_, err := s.clients.Exec(ctx, "Finish", s.q.Finish, a.kinds, a.chunks.parts, a.chunks.indexes, a.chunks.nodes, a.terms)
	return err
}

// Postpone implements store.Queues.
func (s *Store) Postpone(ctx context.Context, tasks []store.Task, delay time.Duration) error {
	if len(tasks) == 0 {
		return nil
	}
	a := newTaskArrays(tasks)
	_, err := s.clients.Exec(ctx, "Postpone", s.q.Postpone, a.kinds, a.chunks.parts, a.chunks.indexes, a.chunks.nodes, a.terms, a.reasons, delay)
	return err
}

// Depth implements store.Queues.
func (s *Store) Depth(ctx context.Context, kind store.TaskKind) (d store.QueueDepth, err error) {
	err = s.clients.Read(ctx, "Depth", func(c *db.Conn) error {
		var oldest *time.Time
		if err := c.QueryRow(ctx, s.q.Depth, int16(kind)).Scan(&d.Tasks, &oldest); err != nil {
			return err
		}
		if oldest != nil {
			d.Oldest = oldest.UTC()
		}
		return nil
	})
	return d, err
}
