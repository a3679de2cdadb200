-- name: Enqueue
INSERT INTO tasks (kind, part_id, idx, node_id, attempts, queued_at, due_at, reason)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, ?6) ON CONFLICT DO NOTHING;

-- name: Due
SELECT kind, part_id, idx, node_id, attempts, queued_at, reason FROM tasks
WHERE kind = ? AND due_at <= ? ORDER BY due_at LIMIT ?;

-- name: DueOfNode
SELECT kind, part_id, idx, node_id, attempts, queued_at, reason FROM tasks
WHERE kind = ? AND node_id = ? AND due_at <= ? ORDER BY due_at LIMIT ?;

-- name: Hide
UPDATE tasks SET attempts = attempts + 1, due_at = ? WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: Finish
DELETE FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: Postpone
UPDATE tasks SET due_at = ?, reason = ? WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: Depth
SELECT (SELECT count(*) FROM tasks WHERE kind = ?1),
       coalesce((SELECT queued_at FROM tasks WHERE kind = ?1 ORDER BY queued_at LIMIT 1), 0);
