-- name: Enqueue
INSERT INTO tasks (kind, part_id, idx, node_id, attempts, queued_at, due_at, reason, term)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, ?6, 0) ON CONFLICT DO NOTHING;

-- The first node after the given one that has tasks.
-- name: NextNode
SELECT node_id FROM tasks WHERE kind = ? AND node_id > ? ORDER BY node_id LIMIT 1;

-- name: DueOfNode
SELECT kind, part_id, idx, node_id, attempts, queued_at, due_at, reason FROM tasks
WHERE kind = ? AND node_id = ? AND due_at <= ? ORDER BY due_at LIMIT ?;

-- name: ClaimTask
UPDATE tasks SET attempts = attempts + 1, due_at = ?, term = ? WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: TakeOver
UPDATE tasks INDEXED BY tasks_claimed SET term = 0, due_at = ? WHERE term > 0 AND term < ?;

-- name: Unclaim
UPDATE tasks INDEXED BY tasks_claimed SET term = 0, due_at = ?1 WHERE term > 0 AND term = ?2 AND +kind = ?3;

-- name: Hasten
UPDATE tasks SET due_at = ?1 WHERE kind = ?2 AND due_at > ?1 AND term = 0;

-- name: Finish
DELETE FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND term = ?;

-- name: Postpone
UPDATE tasks SET due_at = ?, reason = ?, term = 0 WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND term = ?;

-- name: Depth
SELECT count(*), coalesce(min(queued_at), 0) FROM tasks WHERE kind = ?;
