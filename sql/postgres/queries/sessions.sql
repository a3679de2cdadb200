-- Who adds to a session holds its row FOR SHARE, beside others who do; who ends it
-- holds it FOR UPDATE, and begins its next statement only then, so that it sees what they added.
-- Not FOR KEY SHARE, which PostgreSQL sometimes grants beside FOR UPDATE: see ADR 52.
-- The row itself changes at most once, when a size that nobody knew is said; what changes often, the time of its
-- expiry, is a row of session_expiries.
-- There a time is asked for as a difference: an index by time must not be taken for a look-up by id,
-- though it looks as good to a planner that prepares its statements while the table is empty.

-- One row if the bucket is there, with nulls if a file has the id.
-- name: CreateSession
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $2 FOR KEY SHARE
), stored AS (
    INSERT INTO sessions (id, bucket_id, key, size, content_type, meta, want_crc64, tag, created_at)
    SELECT $1, holder.id, $3, $4, $5, $6, $7, $8, now()
    FROM holder WHERE NOT EXISTS (SELECT FROM files WHERE files.id = $1)
    RETURNING id, created_at
), ends AS (
    INSERT INTO session_expiries (session_id, expires_at) SELECT id, created_at + $9::interval FROM stored
    RETURNING expires_at
)
SELECT stored.created_at, ends.expires_at FROM holder LEFT JOIN stored ON true LEFT JOIN ends ON true;

-- name: Session
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.want_crc64, s.tag, s.created_at, e.expires_at,
       p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.stored_at
FROM sessions s JOIN session_expiries e ON e.session_id = s.id JOIN buckets b ON b.id = s.bucket_id
LEFT JOIN session_parts p ON p.session_id = s.id
WHERE s.id = $1 AND e.expires_at - now() > interval '0' ORDER BY p.number;

-- name: SetSessionSize
UPDATE sessions s SET size = $2 FROM session_expiries e
WHERE s.id = $1 AND s.size = -1 AND e.session_id = s.id AND e.expires_at - now() > interval '0';

-- name: SessionSize
SELECT s.size FROM sessions s JOIN session_expiries e ON e.session_id = s.id
WHERE s.id = $1 AND e.expires_at - now() > interval '0';

-- Sessions after $1 with $2 <= key < $3, at most $4, by id. What has been received
-- is summed up for those of the page: nobody who saves a part waits for a sum to be kept.
-- name: ListSessions
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.want_crc64, s.tag, s.created_at, s.expires_at, sent.bytes
FROM (
    SELECT s.*, e.expires_at FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id > $1 AND s.key >= $2 AND s.key < $3 AND e.expires_at - now() > interval '0'
    ORDER BY s.id LIMIT $4
) AS s
JOIN buckets b ON b.id = s.bucket_id
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM session_parts WHERE session_id = s.id) AS sent
ORDER BY s.id;

-- The same of the bucket $5.
-- name: ListSessionsOfBucket
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.want_crc64, s.tag, s.created_at, s.expires_at, sent.bytes
FROM buckets b CROSS JOIN LATERAL (
    SELECT s.*, e.expires_at FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.bucket_id = b.id AND s.id > $1 AND s.key >= $2 AND s.key < $3 AND e.expires_at - now() > interval '0'
    ORDER BY s.id LIMIT $4
) AS s
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM session_parts WHERE session_id = s.id) AS sent
WHERE b.name = $5
ORDER BY s.id;

-- The same of those that have expired, of the bucket $5 (null: all). They are few among all,
-- because upkeep ends them: they are found by time, and sorted.
-- name: ListExpiredSessions
WITH expired AS MATERIALIZED (
    SELECT session_id, expires_at FROM session_expiries WHERE expires_at <= now()
)
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.want_crc64, s.tag, s.created_at, s.expires_at, sent.bytes
FROM (
    SELECT s.*, e.expires_at FROM expired e JOIN sessions s ON s.id = e.session_id
    WHERE e.session_id > $1 AND s.key >= $2 AND s.key < $3
      AND ($5::text IS NULL OR s.bucket_id + 0 = (SELECT id FROM buckets WHERE name = $5))
    ORDER BY s.id LIMIT $4
) AS s
JOIN buckets b ON b.id = s.bucket_id
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM session_parts WHERE session_id = s.id) AS sent
ORDER BY s.id;

-- Returns: the session is there, the part was written down.
-- name: BeginPart
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = $1 AND e.expires_at - now() > interval '0' FOR SHARE OF s
), begun AS (
    INSERT INTO session_attempts (part_id, session_id, k, m, nodes, begun_at)
    SELECT $2, session.id, $3, $4, $5, now() FROM session
    WHERE NOT EXISTS (SELECT FROM session_parts WHERE id = $2) AND NOT EXISTS (SELECT FROM parts WHERE id = $2)
    RETURNING part_id
)
SELECT EXISTS (SELECT FROM session), EXISTS (SELECT FROM begun);

-- Removes the part of number $3 from the session $1, unless the part $2 that is to take its place is somewhere already.
-- name: DropReplaced
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = $1 AND e.expires_at - now() > interval '0' FOR SHARE OF s
), dropped AS (
    DELETE FROM session_parts p USING session
    WHERE p.session_id = session.id AND p.number = $3
      AND NOT EXISTS (SELECT FROM session_parts WHERE id = $2) AND NOT EXISTS (SELECT FROM parts WHERE id = $2)
    RETURNING p.id, p.nodes
)
INSERT INTO tasks (kind, part_id, idx, node_id, reason)
SELECT 1, d.id, i, encode(substring(d.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid, 'sent again'
FROM dropped d, generate_series(0, length(d.nodes) / 16 - 1) AS i
WHERE substring(d.nodes FROM 16 * i + 1 FOR 16) <> '\x00000000000000000000000000000000'
ORDER BY 2, 3
ON CONFLICT DO NOTHING;

-- Makes the part $2 one of the session $1, and queues the chunks that were planned where it does not have them.
-- Returns: the session is there, the part was stored, it was the session's before.
-- name: StorePart
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = $1 AND e.expires_at - now() > interval '0' FOR SHARE OF s
), stored AS (
    INSERT INTO session_parts (session_id, id, number, size, k, m, unit_size, crc64, nodes, sums, stored_at)
    SELECT session.id, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() FROM session
    WHERE NOT EXISTS (SELECT FROM session_parts WHERE id = $2) AND NOT EXISTS (SELECT FROM parts WHERE id = $2)
    RETURNING id
), begun AS (
    DELETE FROM session_attempts USING stored WHERE part_id = stored.id
    RETURNING part_id, nodes
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, part_id, i, encode(substring(nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid, 'planned, not used'
    FROM begun, generate_series(0, length(nodes) / 16 - 1) AS i
    WHERE substring(nodes FROM 16 * i + 1 FOR 16) NOT IN ('\x00000000000000000000000000000000', substring($9::bytea FROM 16 * i + 1 FOR 16))
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM session), EXISTS (SELECT FROM stored),
       EXISTS (SELECT FROM session_parts WHERE id = $2 AND session_id = $1);

-- Lets the session $1, of which this transaction made the part $2, expire in $3. The row is changed
-- at most once a second: those who save parts of one session hardly ever wait here for each other.
-- name: SlideSession
UPDATE session_expiries SET expires_at = now() + $3::interval
WHERE session_id = $1 AND (expires_at - now() > $3::interval OR expires_at - now() < $3::interval - interval '1 s')
  AND EXISTS (SELECT FROM session_parts p WHERE p.id = $2 AND p.session_id = $1 AND p.stored_at = now());

-- Whoever saves the part just now has this row too: the next statement sees what became of it.
-- name: LockAttempt
SELECT part_id FROM session_attempts WHERE part_id = $1 FOR UPDATE;

-- Gives up the part $1, unless a session or a file has it: its planned chunks and the
-- chunks ($2 indexes, $3 nodes) are queued for reclaim. Returns: somebody has it.
-- name: DropPart
WITH kept AS MATERIALIZED (
    SELECT id FROM session_parts WHERE id = $1
    UNION ALL
    SELECT id FROM parts WHERE id = $1
), begun AS (
    DELETE FROM session_attempts WHERE part_id = $1 AND NOT EXISTS (SELECT FROM kept)
    RETURNING part_id, nodes
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, $1, idx, node_id, 'part failed'
    FROM (
        SELECT i AS idx, encode(substring(nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid AS node_id
        FROM begun, generate_series(0, length(nodes) / 16 - 1) AS i
        UNION
        SELECT a.idx, a.node_id FROM unnest($2::smallint[], $3::uuid[]) AS a (idx, node_id)
    ) AS chunks
    WHERE node_id <> '00000000-0000-0000-0000-000000000000' AND NOT EXISTS (SELECT FROM kept)
    ORDER BY 3, 4
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM kept);

-- Waits for those who add to the sessions.
-- name: LockSessions
SELECT id FROM sessions WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- Writes the file $1 down in state 0, if the bucket and all of the locked sessions ($12) are there and they have
-- all the parts ($13): this is what the statements after it ask for, and is never seen outside the transaction.
-- Returns: the bucket is there, sessions and parts found, and the times if the file was written.
-- name: ClaimSessions
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $2 FOR KEY SHARE
), found AS MATERIALIZED (
    SELECT (SELECT count(*) FROM sessions s JOIN session_expiries e ON e.session_id = s.id
            WHERE s.id = ANY ($12::uuid[]) AND e.expires_at - now() > interval '0') AS sessions,
           (SELECT count(DISTINCT p.id) FROM unnest($13::uuid[]) AS want (id) JOIN session_parts p ON p.id = want.id
            WHERE array_position($12::uuid[], p.session_id) IS NOT NULL) AS parts
), stored AS (
    INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker,
                       created_at, completed_at, crc64, sha256, etag, meta)
    SELECT $1, holder.id, $3, $4, $5, 0, false, $6, coalesce($7, now()), now(), $8, $9, $10, $11
    FROM holder, found WHERE found.sessions = cardinality($12::uuid[]) AND found.parts = cardinality($13::uuid[])
    RETURNING created_at, completed_at
)
SELECT EXISTS (SELECT FROM holder), found.sessions, found.parts, stored.created_at, stored.completed_at
FROM found LEFT JOIN stored ON true;

-- Moves the parts $2 of the sessions $4 to the claimed file $1, with the numbers $3.
-- name: TakeParts
WITH taken AS (
    DELETE FROM session_parts p USING files, unnest($2::uuid[], $3::integer[]) AS want (id, number)
    WHERE files.id = $1 AND files.state = 0 AND p.id = want.id AND array_position($4::uuid[], p.session_id) IS NOT NULL
    RETURNING p.id, want.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums
), stored AS (
    INSERT INTO parts (file_id, id, number, size, k, m, unit_size, crc64, nodes, sums)
    SELECT $1, taken.* FROM taken
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 2, id, i, '00000000-0000-0000-0000-000000000000', 'not written'
    FROM taken, generate_series(0, k + m - 1) AS i
    WHERE substring(nodes FROM 16 * i + 1 FOR 16) = '\x00000000000000000000000000000000'
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING
)
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums FROM taken ORDER BY number;

-- Removes the locked sessions $1 with all that they still have, and queues its chunks for
-- reclaim with the reason $3. Where they become a file ($2 its id, else null) only once it is claimed.
-- name: EndSessions
WITH ended AS (
    DELETE FROM sessions
    WHERE id = ANY ($1::uuid[]) AND ($2::uuid IS NULL OR EXISTS (SELECT FROM files f WHERE f.id = $2 AND f.state = 0))
    RETURNING id
), expiries AS (
    DELETE FROM session_expiries USING ended WHERE session_id = ended.id
), dropped AS (
    DELETE FROM session_parts USING ended WHERE session_id = ended.id
    RETURNING session_parts.id, session_parts.nodes
), begun AS (
    DELETE FROM session_attempts USING ended WHERE session_id = ended.id
    RETURNING part_id, nodes
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, d.id, i, encode(substring(d.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid, $3
    FROM (SELECT * FROM dropped UNION ALL SELECT * FROM begun) AS d (id, nodes), generate_series(0, length(d.nodes) / 16 - 1) AS i
    WHERE substring(d.nodes FROM 16 * i + 1 FOR 16) <> '\x00000000000000000000000000000000'
    ORDER BY 2, 3, 4
    ON CONFLICT DO NOTHING
)
SELECT id FROM ended;

-- Shows the claimed file.
-- name: ShowFile
UPDATE files SET state = 2, latest = true WHERE id = $1 AND state = 0;
