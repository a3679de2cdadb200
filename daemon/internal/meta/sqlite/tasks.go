package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func (s *Store) enqueue(t *db.Tx, task store.Task) error {
	task = task.Queued()
	added, err := t.Exec(s.db.Q.Enqueue, int64(task.Kind), task.Chunk.Part[:], int64(task.Chunk.Index), task.Node[:], db.Micros(s.db.Now()), task.Reason,
		int64(task.Chunks), task.Priority, store.MaxReasons, task.Delay.Microseconds())
	if task.Kind == store.Reclaim {
		t.CountReclaims(added) // a reclaim that is queued is not changed
	}
	return err
}

// removeTask runs a statement that removes a task of the kind, if there is one.
func (s *Store) removeTask(t *db.Tx, kind store.TaskKind, text string, args ...any) error {
	removed, err := t.Exec(text, args...)
	if kind == store.Reclaim {
		t.CountReclaims(-removed)
	}
	return err
}

// enqueueAll queues tasks: reclaims that differ in their chunks and nodes only, with one statement.
func (s *Store) enqueueAll(t *db.Tx, tasks []store.Task) error {
	for len(tasks) > 0 {
		n := alike(tasks)
		if tasks[0].Kind != store.Reclaim || n == 1 {
			if err := s.enqueue(t, tasks[0]); err != nil {
				return err
			}
			tasks = tasks[1:]
			continue
		}
		added, err := t.Exec(s.db.Q.EnqueueReclaims, db.Tasks(tasks[:n]), db.Micros(s.db.Now()), tasks[0].Reason, tasks[0].Delay.Microseconds())
		t.CountReclaims(added)
		if err != nil {
			return err
		}
		tasks = tasks[n:]
	}
	return nil
}

// alike is how many of the first tasks have the kind, the term, the reason and the delay of the first.
func alike(tasks []store.Task) int {
	first := tasks[0]
	n := slices.IndexFunc(tasks, func(t store.Task) bool {
		return t.Kind != first.Kind || t.Term != first.Term || t.Reason != first.Reason || t.Delay != first.Delay
	})
	if n < 0 {
		return len(tasks)
	}
	return n
}

// Enqueue implements store.Queues.
func (s *Store) Enqueue(ctx context.Context, tasks []store.Task) error {
	return s.db.Write(ctx, "Enqueue", func(t *db.Tx) error { return s.enqueueAll(t, tasks) })
}

// Claim implements store.Queues.
func (s *Store) Claim(ctx context.Context, q store.ClaimQuery) (claimed []store.Task, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, "Claim", func(t *db.Tx) error {
		now := s.db.Now()
		if claimed, err = s.due(t, q, now); err != nil {
			return err
		}
		for i := range claimed {
			claimed[i].Attempts++
			claimed[i].Term = q.Term
		}
		due := db.Micros(now.Add(q.Hold))
		if q.Kind == store.Reclaim && len(claimed) > 0 {
			_, err := t.Exec(s.db.Q.ClaimReclaims, db.Tasks(claimed), due, int64(q.Term))
			return err
		}
		for i := range claimed {
			if _, err := t.Exec(s.db.Q.ClaimTask, append([]any{due, int64(q.Term)}, identity(claimed[i])...)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// due finds the tasks that the claim gets, the most endangered first. Each query that it makes is a range of the index.
func (s *Store) due(t *db.Tx, q store.ClaimQuery, now time.Time) ([]store.Task, error) {
	var found []dueTask
	find := func(node store.NodeID, priority int) error {
		rows, err := t.Query(s.db.Q.DueTasks, int64(q.Kind), node[:], priority, db.Micros(now), q.Limit)
		if err == nil {
			found, err = scanTasks(rows, found)
		}
		return err
	}
	if q.Kind == store.Repair {
		for priority := range store.MaxPriority + 1 {
			if err := find(store.NodeID{}, priority); err != nil {
				return nil, err
			}
		}
		return chooseTasks(found, q), nil
	}
	nodes := slices.SortedFunc(slices.Values(q.Nodes), compareNodes)
	if q.Nodes == nil {
		var err error
		if nodes, err = s.queuedNodes(t, q.Kind); err != nil {
			return nil, err
		}
	}
	for _, node := range slices.Compact(nodes) {
		if err := find(node, 0); err != nil {
			return nil, err
		}
	}
	return chooseTasks(found, q), nil
}

// chooseTasks returns the tasks that the claim gets of those found.
func chooseTasks(found []dueTask, q store.ClaimQuery) []store.Task {
	older := func(a, b dueTask) int { return cmp.Compare(a.due, b.due) }
	urgent := func(a, b dueTask) int { return cmp.Or(cmp.Compare(a.Priority, b.Priority), older(a, b)) }
	slices.SortStableFunc(found, urgent)
	slices.SortStableFunc(found[min(q.Urgent(), len(found)):], older)
	found = found[:min(q.Limit, len(found))]
	slices.SortStableFunc(found, urgent)
	tasks := make([]store.Task, len(found))
	for i := range tasks {
		tasks[i] = found[i].Task
	}
	return tasks
}

// queuedNodes are the nodes that have tasks of the kind; each is one step in the index.
func (s *Store) queuedNodes(t *db.Tx, kind store.TaskKind) (nodes []store.NodeID, err error) {
	after := []byte{} // below every id
	for {
		var node []byte
		err := t.Row(s.db.Q.NextNode, int64(kind), after).Scan(&node)
		if errors.Is(err, sql.ErrNoRows) {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		nodes, after = append(nodes, store.NodeID(node)), node
	}
}

func compareNodes(a, b store.NodeID) int { return bytes.Compare(a[:], b[:]) }

// dueTask is a task with the time since when it may be claimed.
type dueTask struct {
	store.Task
	due int64
}

// scanTasks appends the rows to tasks.
func scanTasks(rows *sql.Rows, tasks []dueTask) ([]dueTask, error) {
	err := db.Each(rows, func() error {
		var task dueTask
		var part, node []byte
		var queued, chunks int64
		err := rows.Scan(&task.Kind, &part, &task.Chunk.Index, &node, &task.Attempts, &queued, &task.due, &task.Reason, &chunks, &task.Priority)
		if err != nil {
			return err
		}
		task.Chunk.Part, task.Node, task.QueuedAt = store.PartID(part), store.NodeID(node), db.FromMicros(queued)
		task.Chunks = store.ChunkSet(chunks)
		tasks = append(tasks, task)
		return nil
	})
	return tasks, err
}

// identity gives the columns of the primary key.
func identity(t store.Task) []any {
	t = t.Queued()
	return []any{int64(t.Kind), t.Chunk.Part[:], int64(t.Chunk.Index), t.Node[:]}
}

// TakeOver implements store.Queues.
func (s *Store) TakeOver(ctx context.Context, term uint64) error {
	return s.db.Write(ctx, "TakeOver", func(t *db.Tx) error {
		_, err := t.Exec(s.db.Q.TakeOver, db.Micros(s.db.Now()), int64(term))
		return err
	})
}

// Unclaim implements store.Queues.
func (s *Store) Unclaim(ctx context.Context, kind store.TaskKind, term uint64) error {
	return s.db.Write(ctx, "Unclaim", func(t *db.Tx) error {
		_, err := t.Exec(s.db.Q.Unclaim, db.Micros(s.db.Now()), int64(term), int64(kind))
		return err
	})
}

// Hasten implements store.Queues.
func (s *Store) Hasten(ctx context.Context, kind store.TaskKind) error {
	return s.db.Write(ctx, "Hasten", func(t *db.Tx) error {
		_, err := t.Exec(s.db.Q.Hasten, db.Micros(s.db.Now()), int64(kind))
		return err
	})
}

// Finish implements store.Queues.
func (s *Store) Finish(ctx context.Context, tasks []store.Task) error {
	return s.db.Write(ctx, "Finish", func(t *db.Tx) error {
		for left := tasks; len(left) > 0; {
			task := left[0]
			if task.Kind == store.Reclaim {
				n := alike(left)
				if err := s.removeTask(t, task.Kind, s.db.Q.FinishReclaims, db.Tasks(left[:n]), int64(task.Term)); err != nil {
					return err
				}
				left = left[n:]
				continue
			}
			left = left[1:]
			claim := append(identity(task), int64(task.Term))
			if err := s.removeTask(t, task.Kind, s.db.Q.Finish, claim...); err != nil {
				return err
			}
			if _, err := t.Exec(s.db.Q.FinishSome, append([]any{db.Micros(s.db.Now())}, claim...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Postpone implements store.Queues.
func (s *Store) Postpone(ctx context.Context, tasks []store.Task, delay time.Duration) error {
	return s.db.Write(ctx, "Postpone", func(t *db.Tx) error {
		due := db.Micros(s.db.Now().Add(delay))
		for _, task := range tasks {
			if _, err := t.Exec(s.db.Q.Postpone, append(append([]any{due, task.Reason}, identity(task)...), int64(task.Term))...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Depth implements store.Queues.
func (s *Store) Depth(ctx context.Context, kind store.TaskKind) (d store.QueueDepth, err error) {
	err = s.db.Read(ctx, "Depth", func(r *db.Reader) error {
		return r.Row(s.db.Q.Depth, int64(kind)).Scan(&d.Tasks, &d.Endangered)
	})
	return d, err
}
