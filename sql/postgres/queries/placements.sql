-- name: Part
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq,
       f.marks, p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p JOIN files f ON f.id = p.owner LEFT JOIN buckets b ON b.id = f.bucket_id
WHERE p.id = $1 AND p.state = 2;

-- name: PartOfSession
SELECT b.name, s.id, s.key, p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p JOIN sessions s ON s.id = p.owner JOIN buckets b ON b.id = s.bucket_id
WHERE p.id = $1 AND p.state = 2;

-- name: PartsAfter
SELECT p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p LEFT JOIN files f ON f.id = p.owner
WHERE p.id > $1 AND p.state = 2 AND (f.state IS NULL OR f.state = 2) ORDER BY p.id LIMIT $2;

-- Raises the parity of the part $1 to $2; $3 are zero bytes for as many chunks as a part can have. Returns k and m as they were.
-- name: WidenPart
WITH part AS MATERIALIZED (
    SELECT id, k, m FROM parts WHERE id = $1 AND state = 2 FOR UPDATE
), widened AS (
    UPDATE parts SET m = $2::integer, nodes = parts.nodes || substring($3::bytea FROM 1 FOR 16 * ($2::integer - part.m)),
                     sums = parts.sums || substring($3::bytea FROM 1 FOR 4 * ($2::integer - part.m))
    FROM part WHERE parts.id = part.id AND part.m < $2::integer AND part.k + $2::integer <= $4::integer
    RETURNING parts.id
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 2, part.id, i, '00000000-0000-0000-0000-000000000000', 'widened'
    FROM part JOIN widened ON widened.id = part.id, generate_series(part.k + part.m, part.k + $2::integer - 1) AS i
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING
)
SELECT k, m FROM part;

-- Moves chunk ($1 part, $2 index) from ($3 node, $4 sum) to ($5 node, $6 sum), nodes and sums as stored.
-- The part's row is locked first. A reclaim of the chunk at the new place is
-- removed from the queue; if it was ever claimed nothing moves.
-- Returns: the part has such a chunk, the chunk was moved.
-- name: MoveChunk
WITH part AS MATERIALIZED (
    SELECT id, substring(nodes FROM 16 * $2::integer + 1 FOR 16) = $3::bytea
           AND substring(sums FROM 4 * $2::integer + 1 FOR 4) = $4::bytea AS matches
    FROM parts WHERE id = $1 AND state = 2 AND $2::integer < k + m FOR UPDATE
), reclaims AS MATERIALIZED (
    SELECT node_id FROM tasks WHERE kind = 1 AND part_id = $1 AND idx = $2::integer AND node_id = encode($5::bytea, 'hex')::uuid
), taken AS (
    DELETE FROM tasks USING part
    WHERE part.matches AND kind = 1 AND part_id = $1 AND idx = $2::integer AND node_id = encode($5::bytea, 'hex')::uuid AND attempts = 0
    RETURNING node_id
), moved AS (
    UPDATE parts SET nodes = substring(nodes FROM 1 FOR 16 * $2::integer) || $5::bytea || substring(nodes FROM 16 * $2::integer + 17),
                     sums = substring(sums FROM 1 FOR 4 * $2::integer) || $6::bytea || substring(sums FROM 4 * $2::integer + 5)
    FROM part
    WHERE parts.id = part.id AND part.matches AND (SELECT count(*) FROM reclaims) = (SELECT count(*) FROM taken)
    RETURNING parts.id
), finished AS (
    DELETE FROM tasks USING moved
    WHERE kind = 2 AND part_id = moved.id AND idx = $2::integer AND $5::bytea <> '\x00000000000000000000000000000000'
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, id, $2::integer, encode($3::bytea, 'hex')::uuid, 'moved' FROM moved
    WHERE $3::bytea <> '\x00000000000000000000000000000000' AND $3::bytea <> $5::bytea
    UNION ALL
    SELECT 2, id, $2::integer, '00000000-0000-0000-0000-000000000000'::uuid, 'lost' FROM moved
    WHERE $5::bytea = '\x00000000000000000000000000000000'
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM part), EXISTS (SELECT FROM moved);
