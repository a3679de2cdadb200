-- name: Part
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes,
       f.marks, p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p JOIN files f ON f.id = p.owner LEFT JOIN buckets b ON b.id = f.bucket_id
WHERE p.id = $1 AND p.state = 2;

-- name: PartOfSession
SELECT b.name, s.id, s.key, p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p JOIN sessions s ON s.id = p.owner JOIN buckets b ON b.id = s.bucket_id
WHERE p.id = $1 AND p.state = 2;

-- name: PartsByID
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts WHERE id = ANY ($1::uuid[]) AND state = 2 ORDER BY id;

-- name: PartsAfter
SELECT p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p LEFT JOIN files f ON f.id = p.owner
WHERE p.id > $1 AND p.state = 2 AND (f.state IS NULL OR f.state = 2) ORDER BY p.id LIMIT $2;

-- Raises the parity of the part $1 to $2; $3 are zero bytes for as many chunks as a part can have. Returns k and m as they were.
-- The priority of the repair is placement.Repair: the nodes that can fail, those with the most chunks first, until fewer than k are left.
-- name: WidenPart
WITH part AS MATERIALIZED (
    SELECT id, k, m, nodes FROM parts WHERE id = $1 AND state = 2 FOR UPDATE
), widened AS (
    UPDATE parts SET m = $2::integer, nodes = parts.nodes || substring($3::bytea FROM 1 FOR 16 * ($2::integer - part.m)),
                     sums = parts.sums || substring($3::bytea FROM 1 FOR 4 * ($2::integer - part.m))
    FROM part WHERE parts.id = part.id AND part.m < $2::integer AND part.k + $2::integer <= $4::integer
    RETURNING parts.id
), loads AS (
    SELECT count(*) AS chunks FROM part, generate_series(0, part.k + part.m - 1) AS i
    WHERE substring(part.nodes FROM 16 * i + 1 FOR 16) <> '\x00000000000000000000000000000000'
    GROUP BY substring(part.nodes FROM 16 * i + 1 FOR 16)
), failures AS (
    SELECT sum(chunks) OVER () - sum(chunks) OVER (ORDER BY chunks DESC ROWS UNBOUNDED PRECEDING) AS kept FROM loads
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority)
    SELECT 2, part.id, 0, '00000000-0000-0000-0000-000000000000', 'widened', added.chunks,
           least((SELECT count(*) FROM failures, part WHERE kept >= part.k), $5::integer)
    FROM part JOIN widened ON widened.id = part.id,
         (SELECT bit_or(1::bigint << i) AS chunks FROM part, generate_series(part.k + part.m, part.k + $2::integer - 1) AS i) AS added
    ON CONFLICT (kind, part_id, idx, node_id) DO UPDATE SET
        chunks = tasks.chunks | excluded.chunks,
        priority = least(tasks.priority, excluded.priority),
        was = tasks.priority,
        due_at = CASE WHEN tasks.term = 0 THEN least(tasks.due_at, now()) ELSE tasks.due_at END,
        reason = CASE WHEN position(excluded.reason IN tasks.reason) > 0 THEN tasks.reason
                      WHEN tasks.reason = '' THEN excluded.reason
                      WHEN octet_length(tasks.reason) + 2 + octet_length(excluded.reason) > $6::integer THEN tasks.reason
                      ELSE tasks.reason || '; ' || excluded.reason END
    WHERE tasks.chunks | excluded.chunks <> tasks.chunks OR excluded.priority < tasks.priority
    RETURNING kind, priority, was
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks)
    SELECT kind, priority, sum(n) FROM (
        SELECT kind, priority, 1 AS n FROM queued UNION ALL SELECT kind, was, -1 FROM queued WHERE was >= 0
    ) AS moved GROUP BY kind, priority HAVING sum(n) <> 0
)
SELECT k, m FROM part;

-- Before MoveChunk, in its transaction: locks the part's row, and removes a reclaim of the chunk ($1 part, $2 index) on its new
-- node $3 from the queue. One that was ever claimed stays.
-- name: TakeReclaim
WITH part AS MATERIALIZED (
    SELECT id FROM parts WHERE id = $1 AND state = 2 FOR UPDATE
), taken AS (
    DELETE FROM tasks USING part
    WHERE kind = 1 AND part_id = $1 AND idx = $2::integer AND node_id = encode($3::bytea, 'hex')::uuid AND attempts = 0
    RETURNING kind
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, -count(*) FROM taken HAVING count(*) > 0;

-- Moves chunk ($1 part, $2 index) from ($3 node, $4 sum) to ($5 node, $6 sum), nodes and sums as stored.
-- Fails the transaction with 22P02 if the chunk is not there, or a reclaim of it at the new place is queued.
-- name: MoveChunk
WITH moved AS (
    UPDATE parts SET nodes = substring(nodes FROM 1 FOR 16 * $2::integer) || $5::bytea || substring(nodes FROM 16 * $2::integer + 17),
                     sums = substring(sums FROM 1 FOR 4 * $2::integer) || $6::bytea || substring(sums FROM 4 * $2::integer + 5)
    WHERE id = $1 AND state = 2 AND $2::integer < k + m
      AND substring(nodes FROM 16 * $2::integer + 1 FOR 16) = $3::bytea AND substring(sums FROM 4 * $2::integer + 1 FOR 4) = $4::bytea
      AND NOT EXISTS (SELECT FROM tasks WHERE kind = 1 AND part_id = $1 AND idx = $2::integer AND node_id = encode($5::bytea, 'hex')::uuid)
    RETURNING id
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, id, $2::integer, encode($3::bytea, 'hex')::uuid, 'moved' FROM moved
    WHERE $3::bytea <> '\x00000000000000000000000000000000' AND $3::bytea <> $5::bytea
    ON CONFLICT DO NOTHING RETURNING kind
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0
)
SELECT CAST(CASE WHEN EXISTS (SELECT FROM moved) THEN '1' ELSE 'refused' END AS integer);

-- Removes the chunk, the bit $2, from the repair of the part $1.
-- name: DropRepair
UPDATE tasks SET chunks = chunks & ~$2::bigint, held = held & ~$2::bigint
WHERE kind = 2 AND part_id = $1 AND idx = 0 AND node_id = '00000000-0000-0000-0000-000000000000';

-- Removes the repair of the part $1 if it has no chunk.
-- name: FinishRepair
WITH removed AS (
    DELETE FROM tasks
    WHERE kind = 2 AND part_id = $1 AND idx = 0 AND node_id = '00000000-0000-0000-0000-000000000000' AND chunks | held = 0
    RETURNING priority
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 2, priority, -1 FROM removed;

-- Queues the repair of a chunk, the bit $2, that the part $1 has lost. For the priority and the merge see WidenPart.
-- name: QueueLost
WITH part AS MATERIALIZED (
    SELECT id, k, m, nodes FROM parts WHERE id = $1
), loads AS (
    SELECT count(*) AS chunks FROM part, generate_series(0, part.k + part.m - 1) AS i
    WHERE substring(part.nodes FROM 16 * i + 1 FOR 16) <> '\x00000000000000000000000000000000'
    GROUP BY substring(part.nodes FROM 16 * i + 1 FOR 16)
), failures AS (
    SELECT sum(chunks) OVER () - sum(chunks) OVER (ORDER BY chunks DESC ROWS UNBOUNDED PRECEDING) AS kept FROM loads
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority)
    SELECT 2, part.id, 0, '00000000-0000-0000-0000-000000000000', 'lost', $2::bigint,
           least((SELECT count(*) FROM failures, part WHERE kept >= part.k), $3::integer)
    FROM part
    ON CONFLICT (kind, part_id, idx, node_id) DO UPDATE SET
        chunks = tasks.chunks | excluded.chunks,
        priority = least(tasks.priority, excluded.priority),
        was = tasks.priority,
        due_at = CASE WHEN tasks.term = 0 THEN least(tasks.due_at, now()) ELSE tasks.due_at END,
        reason = CASE WHEN position(excluded.reason IN tasks.reason) > 0 THEN tasks.reason
                      WHEN tasks.reason = '' THEN excluded.reason
                      WHEN octet_length(tasks.reason) + 2 + octet_length(excluded.reason) > $4::integer THEN tasks.reason
                      ELSE tasks.reason || '; ' || excluded.reason END
    WHERE tasks.chunks | excluded.chunks <> tasks.chunks OR excluded.priority < tasks.priority
    RETURNING kind, priority, was
)
INSERT INTO queue_changes (kind, priority, tasks)
SELECT kind, priority, sum(n) FROM (
    SELECT kind, priority, 1 AS n FROM queued UNION ALL SELECT kind, was, -1 FROM queued WHERE was >= 0
) AS moved GROUP BY kind, priority HAVING sum(n) <> 0;
