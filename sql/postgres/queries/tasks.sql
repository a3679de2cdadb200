-- Rows are locked in the order of the primary key wherever several are changed.

-- name: Enqueue
INSERT INTO tasks (kind, part_id, idx, node_id, reason)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::text[])
ORDER BY 1, 2, 3, 4
ON CONFLICT DO NOTHING;

-- name: Claim
WITH due AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks
    WHERE kind + 0 = $1 AND due_at <= now() ORDER BY due_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE tasks t SET attempts = t.attempts + 1, due_at = now() + $3::interval, term = $4::bigint
FROM due
WHERE t.kind = due.kind AND t.part_id = due.part_id AND t.idx = due.idx AND t.node_id = due.node_id
RETURNING t.part_id, t.idx, t.node_id, t.attempts, t.queued_at, t.reason;

-- name: ClaimOfNodes
WITH due AS MATERIALIZED (
    SELECT d.* FROM (SELECT DISTINCT unnest($5::uuid[]) AS id) AS n CROSS JOIN LATERAL (
        SELECT kind, part_id, idx, node_id, due_at FROM tasks
        WHERE kind + 0 = $1 AND node_id = n.id AND due_at <= now() ORDER BY due_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS d
    ORDER BY d.due_at LIMIT $2
)
UPDATE tasks t SET attempts = t.attempts + 1, due_at = now() + $3::interval, term = $4::bigint
FROM due
WHERE t.kind = due.kind AND t.part_id = due.part_id AND t.idx = due.idx AND t.node_id = due.node_id
RETURNING t.part_id, t.idx, t.node_id, t.attempts, t.queued_at, t.reason;

-- name: Finish
WITH done AS MATERIALIZED (
    SELECT t.kind, t.part_id, t.idx, t.node_id
    FROM tasks t JOIN unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[]) AS d (kind, part_id, idx, node_id, term)
         ON t.kind = d.kind AND t.part_id = d.part_id AND t.idx = d.idx AND t.node_id = d.node_id AND t.term = d.term
    ORDER BY 1, 2, 3, 4 FOR UPDATE OF t
)
DELETE FROM tasks t USING done
WHERE t.kind = done.kind AND t.part_id = done.part_id AND t.idx = done.idx AND t.node_id = done.node_id;

-- name: Postpone
WITH later AS MATERIALIZED (
    SELECT t.kind, t.part_id, t.idx, t.node_id, d.reason
    FROM tasks t JOIN unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[], $6::text[]) AS d (kind, part_id, idx, node_id, term, reason)
         ON t.kind = d.kind AND t.part_id = d.part_id AND t.idx = d.idx AND t.node_id = d.node_id AND t.term = d.term
    ORDER BY 1, 2, 3, 4 FOR UPDATE OF t
)
UPDATE tasks t SET due_at = now() + $7::interval, reason = later.reason, term = 0
FROM later
WHERE t.kind = later.kind AND t.part_id = later.part_id AND t.idx = later.idx AND t.node_id = later.node_id;

-- name: TakeOver
WITH held AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks WHERE term > 0 AND term < $1 ORDER BY 1, 2, 3, 4 FOR UPDATE
)
UPDATE tasks t SET due_at = now(), term = 0 FROM held
WHERE t.kind = held.kind AND t.part_id = held.part_id AND t.idx = held.idx AND t.node_id = held.node_id;

-- name: Unclaim
WITH held AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks WHERE term > 0 AND term = $2 AND kind + 0 = $1 ORDER BY 1, 2, 3, 4 FOR UPDATE
)
UPDATE tasks t SET due_at = now(), term = 0 FROM held
WHERE t.kind = held.kind AND t.part_id = held.part_id AND t.idx = held.idx AND t.node_id = held.node_id;

-- name: Hasten
WITH waiting AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks WHERE kind + 0 = $1 AND due_at > now() AND term = 0 ORDER BY 1, 2, 3, 4 FOR UPDATE
)
UPDATE tasks t SET due_at = now() FROM waiting
WHERE t.kind = waiting.kind AND t.part_id = waiting.part_id AND t.idx = waiting.idx AND t.node_id = waiting.node_id;

-- name: Depth
SELECT count(*), min(queued_at) FROM tasks WHERE kind + 0 = $1;
