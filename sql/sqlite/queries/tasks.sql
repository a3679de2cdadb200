-- A repair that is queued already gets the chunks, the urgency and the reason (?6) of the new one, if the first two add something:
-- placement.Merge. ?9 is store.MaxReasons.
-- name: Enqueue
INSERT INTO tasks (kind, part_id, idx, node_id, attempts, queued_at, due_at, reason, term, chunks, held, priority)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5 + ?10, ?6, 0, ?7, 0, ?8)
ON CONFLICT (kind, part_id, idx, node_id) DO UPDATE SET
    chunks = tasks.chunks | excluded.chunks,
    priority = min(tasks.priority, excluded.priority),
    due_at = CASE WHEN tasks.term = 0 THEN min(tasks.due_at, excluded.due_at) ELSE tasks.due_at END,
    reason = CASE WHEN instr(tasks.reason, excluded.reason) > 0 THEN tasks.reason
                  WHEN tasks.reason = '' THEN excluded.reason
                  WHEN octet_length(tasks.reason) + 2 + octet_length(excluded.reason) > ?9 THEN tasks.reason
                  ELSE tasks.reason || '; ' || excluded.reason END
WHERE tasks.chunks | excluded.chunks <> tasks.chunks OR excluded.priority < tasks.priority;

-- Reclaims (?1, a JSON array of texts: part and node in hexadecimal, and the index) with the reason ?3, due after ?4. One that is queued
-- already is not changed.
-- name: EnqueueReclaims
INSERT INTO tasks (kind, part_id, idx, node_id, attempts, queued_at, due_at, reason, term, chunks, held, priority)
SELECT 1, unhex(substr(value, 1, 32)), CAST(substr(value, 65) AS INTEGER), unhex(substr(value, 33, 32)), 0, ?2, ?2 + ?4, ?3, 0, 0, 0, 0
FROM json_each(?1) WHERE true
ON CONFLICT DO NOTHING;

-- The first node after the given one that has tasks.
-- name: NextNode
SELECT node_id FROM tasks WHERE kind = ? AND node_id > ? ORDER BY node_id LIMIT 1;

-- name: DueTasks
SELECT kind, part_id, idx, node_id, attempts, queued_at, due_at, reason, chunks | held, priority FROM tasks
WHERE kind = ? AND node_id = ? AND priority = ? AND due_at <= ? ORDER BY due_at LIMIT ?;

-- name: ClaimTask
UPDATE tasks SET attempts = attempts + 1, due_at = ?, term = ?, held = held | chunks, chunks = 0
WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?;

-- ClaimTask for such a list of reclaims.
-- name: ClaimReclaims
UPDATE tasks SET attempts = attempts + 1, due_at = ?2, term = ?3
WHERE (kind, part_id, idx, node_id) IN (
    SELECT 1, unhex(substr(value, 1, 32)), CAST(substr(value, 65) AS INTEGER), unhex(substr(value, 33, 32)) FROM json_each(?1)
);

-- name: TakeOver
UPDATE tasks INDEXED BY tasks_claimed SET term = 0, due_at = ?, chunks = chunks | held, held = 0 WHERE term > 0 AND term < ?;

-- name: Unclaim
UPDATE tasks INDEXED BY tasks_claimed SET term = 0, due_at = ?1, chunks = chunks | held, held = 0 WHERE term > 0 AND term = ?2 AND +kind = ?3;

-- name: Hasten
UPDATE tasks SET due_at = ?1 WHERE kind = ?2 AND due_at > ?1 AND term = 0;

-- name: Finish
DELETE FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND term = ? AND chunks = 0;

-- Finish for such a list of reclaims.
-- name: FinishReclaims
DELETE FROM tasks
WHERE (kind, part_id, idx, node_id) IN (
    SELECT 1, unhex(substr(value, 1, 32)), CAST(substr(value, 65) AS INTEGER), unhex(substr(value, 33, 32)) FROM json_each(?1)
) AND term = ?2;

-- Ends the claim of a repair to which chunks were added.
-- name: FinishSome
UPDATE tasks SET due_at = ?, term = 0, held = 0 WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND term = ?;

-- name: Postpone
UPDATE tasks SET due_at = ?, reason = ?, term = 0, chunks = chunks | held, held = 0
WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND term = ?;

-- name: Depth
SELECT coalesce(sum(tasks), 0), coalesce(sum(CASE WHEN priority = 0 THEN tasks END), 0) FROM queue_counts WHERE kind = ?;

-- Counts reclaims, which no trigger counts.
-- name: CountReclaims
INSERT INTO queue_counts (kind, priority, tasks) VALUES (1, 0, ?) ON CONFLICT (kind, priority) DO UPDATE SET tasks = tasks + excluded.tasks;
