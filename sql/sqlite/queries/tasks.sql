-- name: Enqueue
INSERT INTO tasks (kind, part_id, idx, node_id, attempts, queued_at, due_at, reason)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, ?6) ON CONFLICT DO NOTHING;

-- The first node after the given one that has tasks.
-- name: NextNode
SELECT node_id FROM tasks WHERE kind = ? AND node_id > ? ORDER BY node_id LIMIT 1;

-- name: DueOfNode
SELECT kind, part_id, idx, node_id, attempts, queued_at, due_at, reason FROM tasks
WHERE kind = ? AND node_id = ? AND due_at <= ? ORDER BY due_at LIMIT ?;

-- name: Hide
UPDATE tasks SET attempts = attempts + 1, due_at = ? WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: Finish
DELETE FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: Postpone
UPDATE tasks SET due_at = ?, reason = ? WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- name: Depth
SELECT count(*), coalesce(min(queued_at), 0) FROM tasks WHERE kind = ?;
