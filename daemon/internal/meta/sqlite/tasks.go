package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func (s *Store) enqueue(t *tx, task store.Task) error {
	_, err := t.exec(s.q.Enqueue, int64(task.Kind), task.Chunk.Part[:], int64(task.Chunk.Index), task.Node[:], micros(s.now()), task.Reason)
	return err
}

func (s *Store) enqueueAll(t *tx, tasks []store.Task) error {
	for _, task := range tasks {
		if err := s.enqueue(t, task); err != nil {
			return err
		}
	}
	return nil
}

// Enqueue implements store.Queues.
func (s *Store) Enqueue(ctx context.Context, tasks []store.Task) error {
	tasks = append([]store.Task(nil), tasks...)
	return s.write(ctx, "Enqueue", func(t *tx) error { return s.enqueueAll(t, tasks) })
}

// Claim implements store.Queues.
func (s *Store) Claim(ctx context.Context, q store.ClaimQuery) (claimed []store.Task, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	q.Nodes = append([]store.NodeID(nil), q.Nodes...)
	all := q.Nodes == nil
	var mine []store.Task
	err = s.write(ctx, "Claim", func(t *tx) error {
		now := s.now()
		if mine, err = s.due(t, q, all, now); err != nil {
			return err
		}
		for i := range mine {
			mine[i].Attempts++
			if _, err := t.exec(s.q.Hide, append([]any{micros(now.Add(q.Hold))}, identity(mine[i])...)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return mine, nil
}

// due finds up to Limit tasks, the oldest first; of several nodes, node by node.
func (s *Store) due(t *tx, q store.ClaimQuery, all bool, now time.Time) (tasks []store.Task, err error) {
	if all {
		rows, err := t.query(s.q.Due, int64(q.Kind), micros(now), q.Limit)
		if err != nil {
			return nil, err
		}
		return scanTasks(rows)
	}
	for _, node := range q.Nodes {
		if len(tasks) == q.Limit {
			break
		}
		rows, err := t.query(s.q.DueOfNode, int64(q.Kind), node[:], micros(now), q.Limit-len(tasks))
		if err != nil {
			return nil, err
		}
		more, err := scanTasks(rows)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, more...)
	}
	return tasks, nil
}

func scanTasks(rows *sql.Rows) (tasks []store.Task, err error) {
	err = each(rows, func() error {
		var task store.Task
		var part, node []byte
		var queued int64
		err := rows.Scan(&task.Kind, &part, &task.Chunk.Index, &node, &task.Attempts, &queued, &task.Reason)
		if err != nil {
			return err
		}
		task.Chunk.Part, task.Node, task.QueuedAt = store.PartID(part), store.NodeID(node), fromMicros(queued)
		tasks = append(tasks, task)
		return nil
	})
	return tasks, err
}

// identity gives the columns of the primary key.
func identity(t store.Task) []any {
	return []any{int64(t.Kind), t.Chunk.Part[:], int64(t.Chunk.Index), t.Node[:]}
}

// Finish implements store.Queues.
func (s *Store) Finish(ctx context.Context, tasks []store.Task) error {
	tasks = append([]store.Task(nil), tasks...)
	return s.write(ctx, "Finish", func(t *tx) error {
		for _, task := range tasks {
			if _, err := t.exec(s.q.Finish, identity(task)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Postpone implements store.Queues.
func (s *Store) Postpone(ctx context.Context, tasks []store.Task, delay time.Duration) error {
	tasks = append([]store.Task(nil), tasks...)
	return s.write(ctx, "Postpone", func(t *tx) error {
		due := micros(s.now().Add(delay))
		for _, task := range tasks {
			if _, err := t.exec(s.q.Postpone, append([]any{due, task.Reason}, identity(task)...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Depth implements store.Queues.
func (s *Store) Depth(ctx context.Context, kind store.TaskKind) (d store.QueueDepth, err error) {
	err = s.read(ctx, "Depth", func(r *reader) error {
		var oldest int64
		err := r.row(s.q.Depth, int64(kind)).scan(&d.Tasks, &oldest)
		d.Oldest = fromMicros(oldest)
		return err
	})
	return d, err
}
