-- Rows are locked in the order of the primary key wherever several are changed. What is added to or removed from a queue is
-- counted in queue_changes.

-- A repair that is queued already gets the chunks, the urgency and the reason of the new one, if the first two add something:
-- placement.Merge. $8 is store.MaxReasons.
-- name: Enqueue
WITH queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority, due_at)
    SELECT kind, part_id, idx, node_id, reason, chunks, priority, now() + delay
    FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::text[], $6::bigint[], $7::smallint[], $9::interval[])
        AS t (kind, part_id, idx, node_id, reason, chunks, priority, delay)
    ORDER BY kind, part_id, idx, node_id
    ON CONFLICT (kind, part_id, idx, node_id) DO UPDATE SET
        chunks = tasks.chunks | excluded.chunks,
        priority = least(tasks.priority, excluded.priority),
        was = tasks.priority,
        due_at = CASE WHEN tasks.term = 0 THEN least(tasks.due_at, now()) ELSE tasks.due_at END,
        reason = CASE WHEN position(excluded.reason IN tasks.reason) > 0 THEN tasks.reason
                      WHEN tasks.reason = '' THEN excluded.reason
                      WHEN octet_length(tasks.reason) + 2 + octet_length(excluded.reason) > $8::integer THEN tasks.reason
                      ELSE tasks.reason || '; ' || excluded.reason END
    WHERE tasks.chunks | excluded.chunks <> tasks.chunks OR excluded.priority < tasks.priority
    RETURNING kind, priority, was
)
INSERT INTO queue_changes (kind, priority, tasks)
SELECT kind, priority, sum(n) FROM (
    SELECT kind, priority, 1 AS n FROM queued UNION ALL SELECT kind, was, -1 FROM queued WHERE was >= 0
) AS moved GROUP BY kind, priority HAVING sum(n) <> 0;

-- Adds up what was counted since, so that Depth reads few rows.
-- name: AddUpQueues
WITH picked AS MATERIALIZED (
    SELECT id FROM queue_changes ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED
), added AS (
    DELETE FROM queue_changes USING picked WHERE queue_changes.id = picked.id
    RETURNING queue_changes.kind, queue_changes.priority, queue_changes.tasks
)
INSERT INTO queue_counts (kind, priority, tasks)
SELECT kind, priority, sum(tasks) FROM added GROUP BY kind, priority ORDER BY kind, priority
ON CONFLICT (kind, priority) DO UPDATE SET tasks = queue_counts.tasks + excluded.tasks;

-- name: Claim
WITH due AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks
    WHERE kind + 0 = $1 AND priority = 0 AND due_at <= now() ORDER BY due_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE tasks t SET attempts = t.attempts + 1, due_at = now() + $3::interval, term = $4::bigint
FROM due
WHERE t.kind = due.kind AND t.part_id = due.part_id AND t.idx = due.idx AND t.node_id = due.node_id
RETURNING t.part_id, t.idx, t.node_id, t.attempts, t.queued_at, t.reason, t.held, t.priority;

-- Claims repairs: of those that are due the first $5 by priority, and of the others those that have been due the longest. Of each
-- priority up to $6 it reads no more than it can claim.
-- name: ClaimRepairs
WITH due AS MATERIALIZED (
    SELECT d.* FROM generate_series(0, $6::integer) AS level CROSS JOIN LATERAL (
        SELECT kind, part_id, idx, node_id, priority, due_at FROM tasks
        WHERE kind + 0 = $1 AND priority = level AND due_at <= now() ORDER BY due_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS d
), ranked AS MATERIALIZED (
    SELECT due.*, row_number() OVER (ORDER BY priority, due_at) AS place FROM due
), chosen AS MATERIALIZED (
    SELECT * FROM ranked ORDER BY CASE WHEN place <= $5::bigint THEN 0 ELSE 1 END, due_at LIMIT $2
)
UPDATE tasks t SET attempts = t.attempts + 1, due_at = now() + $3::interval, term = $4::bigint, held = t.held | t.chunks, chunks = 0
FROM chosen
WHERE t.kind = chosen.kind AND t.part_id = chosen.part_id AND t.idx = chosen.idx AND t.node_id = chosen.node_id
RETURNING t.part_id, t.idx, t.node_id, t.attempts, t.queued_at, t.reason, t.held, t.priority;

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
RETURNING t.part_id, t.idx, t.node_id, t.attempts, t.queued_at, t.reason, t.held, t.priority;

-- name: Finish
WITH done AS MATERIALIZED (
    SELECT t.kind, t.part_id, t.idx, t.node_id
    FROM tasks t JOIN unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[]) AS d (kind, part_id, idx, node_id, term)
         ON t.kind = d.kind AND t.part_id = d.part_id AND t.idx = d.idx AND t.node_id = d.node_id AND t.term = d.term
    WHERE t.chunks = 0
    ORDER BY 1, 2, 3, 4 FOR UPDATE OF t
), removed AS (
    DELETE FROM tasks t USING done
    WHERE t.kind = done.kind AND t.part_id = done.part_id AND t.idx = done.idx AND t.node_id = done.node_id
    RETURNING t.kind, t.priority
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT kind, priority, -count(*) FROM removed GROUP BY kind, priority;

-- Ends the claims of repairs to which chunks were added.
-- name: FinishSome
WITH done AS MATERIALIZED (
    SELECT t.kind, t.part_id, t.idx, t.node_id
    FROM tasks t JOIN unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[]) AS d (kind, part_id, idx, node_id, term)
         ON t.kind = d.kind AND t.part_id = d.part_id AND t.idx = d.idx AND t.node_id = d.node_id AND t.term = d.term
    WHERE t.chunks <> 0
    ORDER BY 1, 2, 3, 4 FOR UPDATE OF t
)
UPDATE tasks t SET due_at = now(), term = 0, held = 0 FROM done
WHERE t.kind = done.kind AND t.part_id = done.part_id AND t.idx = done.idx AND t.node_id = done.node_id;

-- name: Postpone
WITH later AS MATERIALIZED (
    SELECT t.kind, t.part_id, t.idx, t.node_id, d.reason
    FROM tasks t JOIN unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[], $6::text[]) AS d (kind, part_id, idx, node_id, term, reason)
         ON t.kind = d.kind AND t.part_id = d.part_id AND t.idx = d.idx AND t.node_id = d.node_id AND t.term = d.term
    ORDER BY 1, 2, 3, 4 FOR UPDATE OF t
)
UPDATE tasks t SET due_at = now() + $7::interval, reason = later.reason, term = 0, chunks = t.chunks | t.held, held = 0
FROM later
WHERE t.kind = later.kind AND t.part_id = later.part_id AND t.idx = later.idx AND t.node_id = later.node_id;

-- name: TakeOver
WITH held AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks WHERE term > 0 AND term < $1 ORDER BY 1, 2, 3, 4 FOR UPDATE
)
UPDATE tasks t SET due_at = now(), term = 0, chunks = t.chunks | t.held, held = 0 FROM held
WHERE t.kind = held.kind AND t.part_id = held.part_id AND t.idx = held.idx AND t.node_id = held.node_id;

-- name: Unclaim
WITH held AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks WHERE term > 0 AND term = $2 AND kind + 0 = $1 ORDER BY 1, 2, 3, 4 FOR UPDATE
)
UPDATE tasks t SET due_at = now(), term = 0, chunks = t.chunks | t.held, held = 0 FROM held
WHERE t.kind = held.kind AND t.part_id = held.part_id AND t.idx = held.idx AND t.node_id = held.node_id;

-- name: Hasten
WITH waiting AS MATERIALIZED (
    SELECT kind, part_id, idx, node_id FROM tasks WHERE kind + 0 = $1 AND due_at > now() AND term = 0 ORDER BY 1, 2, 3, 4 FOR UPDATE
)
UPDATE tasks t SET due_at = now() FROM waiting
WHERE t.kind = waiting.kind AND t.part_id = waiting.part_id AND t.idx = waiting.idx AND t.node_id = waiting.node_id;

-- name: Depth
SELECT coalesce(sum(tasks), 0)::bigint, coalesce(sum(CASE WHEN priority = 0 THEN tasks END), 0)::bigint
FROM (SELECT priority, tasks FROM queue_counts WHERE kind = $1 UNION ALL SELECT priority, tasks FROM queue_changes WHERE kind = $1) AS counts;
