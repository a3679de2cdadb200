-- Changes that add to a session lock its row FOR SHARE, several at once; the change that ends it
-- locks it FOR UPDATE, and only then begins its next statement, so that it sees what they added.
-- Not FOR KEY SHARE, which PostgreSQL sometimes grants beside FOR UPDATE: see ADR 52.
-- The row itself changes at most once, when an unknown size is set; the expiry and the caller of the last change,
-- which change often, are a row of session_expiries. Several calls that hold the session's row FOR SHARE and then
-- changed it would wait for each other in a circle.
-- Conditions on it compare a difference of times: the planner must not use the index by time for a look-up by id,
-- though that costs as little while the table is empty and statements are prepared.

-- One row if the bucket exists, with nulls if a file has the id or a limit ($10 of the owner, $11 of the bucket; 0: unlimited)
-- is reached. Sessions are counted in the index first; only if those are enough, the expired ones are left out.
-- name: CreateSession
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $2 FOR KEY SHARE
), reached AS MATERIALIZED (
    SELECT $10::integer > 0
           AND $10 <= (SELECT count(*) FROM (SELECT FROM sessions WHERE owner = $8 LIMIT $10) AS s)
           AND $10 <= (SELECT count(*) FROM (
               SELECT FROM sessions s JOIN session_expiries e ON e.session_id = s.id
               WHERE s.owner = $8 AND e.expires_at - now() > interval '0' LIMIT $10) AS s) AS of_owner,
           $11::integer > 0
           AND $11 <= (SELECT count(*) FROM (SELECT FROM sessions WHERE bucket_id = holder.id LIMIT $11) AS s)
           AND $11 <= (SELECT count(*) FROM (
               SELECT FROM sessions s JOIN session_expiries e ON e.session_id = s.id
               WHERE s.bucket_id = holder.id AND e.expires_at - now() > interval '0' LIMIT $11) AS s) AS of_bucket
    FROM holder
), stored AS (
    INSERT INTO sessions (id, bucket_id, key, size, content_type, meta, attributes, want_crc64, owner, created_at)
    SELECT $1, holder.id, $3, $4, $5, $6, $12, $7, $8, now()
    FROM holder, reached
    WHERE NOT reached.of_owner AND NOT reached.of_bucket AND NOT EXISTS (SELECT FROM files WHERE files.id = $1)
    RETURNING id, owner, created_at
), ends AS (
    INSERT INTO session_expiries (session_id, expires_at, changed_by) SELECT id, created_at + $9::interval, owner FROM stored
    RETURNING expires_at
)
SELECT stored.created_at, ends.expires_at, reached.of_owner, reached.of_bucket FROM reached LEFT JOIN stored ON true LEFT JOIN ends ON true;

-- name: Session
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, e.changed_by, s.created_at, e.expires_at,
       p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums, p.stored_at
FROM sessions s JOIN session_expiries e ON e.session_id = s.id JOIN buckets b ON b.id = s.bucket_id
LEFT JOIN parts p ON p.owner = s.id AND p.state = 2
WHERE s.id = $1 AND e.expires_at - now() > interval '0' ORDER BY p.number;

-- name: SetSessionSize
WITH sized AS (
    UPDATE sessions s SET size = $2 FROM session_expiries e
    WHERE s.id = $1 AND s.size = -1 AND e.session_id = s.id AND e.expires_at - now() > interval '0'
    RETURNING s.id
)
UPDATE session_expiries SET changed_by = $3 FROM sized WHERE session_id = sized.id;

-- name: SessionSize
SELECT s.size FROM sessions s JOIN session_expiries e ON e.session_id = s.id
WHERE s.id = $1 AND e.expires_at - now() > interval '0';

-- Sessions after $1 with $2 <= key < $3, at most $4, by id. The received bytes
-- are summed for the sessions of the page, so that saves of parts need not update a common sum.
-- The key is compared as an expression: the index by key would read and sort all sessions of its range.
-- name: ListSessions
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, sent.bytes
FROM (
    SELECT s.*, e.expires_at, e.changed_by FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id > $1 AND s.key || '' >= $2 AND s.key || '' < $3 AND e.expires_at - now() > interval '0'
    ORDER BY s.id LIMIT $4
) AS s
JOIN buckets b ON b.id = s.bucket_id
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM parts WHERE owner = s.id AND state = 2) AS sent
ORDER BY s.id;

-- The same of the bucket $5.
-- name: ListSessionsOfBucket
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, sent.bytes
FROM buckets b CROSS JOIN LATERAL (
    SELECT s.*, e.expires_at, e.changed_by FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.bucket_id = b.id AND s.id > $1 AND s.key || '' >= $2 AND s.key || '' < $3 AND e.expires_at - now() > interval '0'
    ORDER BY s.id LIMIT $4
) AS s
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM parts WHERE owner = s.id AND state = 2) AS sent
WHERE b.name = $5
ORDER BY s.id;

-- Those of the bucket $5 by key, after the key $1 and the id $2, below the key $3.
-- name: ListSessionsByKey
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, sent.bytes
FROM buckets b CROSS JOIN LATERAL (
    SELECT s.*, e.expires_at, e.changed_by FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.bucket_id = b.id AND (s.key, s.id) > ($1, $2) AND s.key < $3 AND e.expires_at - now() > interval '0'
    ORDER BY s.key, s.id LIMIT $4
) AS s
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM parts WHERE owner = s.id AND state = 2) AS sent
WHERE b.name = $5
ORDER BY s.key, s.id;

-- The same for expired sessions, of the bucket $5 (null: all). They are few,
-- because background work ends them: they are found by time, and sorted.
-- name: ListExpiredSessions
WITH expired AS MATERIALIZED (
    SELECT session_id, expires_at, changed_by FROM session_expiries WHERE expires_at <= now()
)
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, sent.bytes
FROM (
    SELECT s.*, e.expires_at, e.changed_by FROM expired e CROSS JOIN LATERAL (SELECT * FROM sessions WHERE id = e.session_id LIMIT 1) AS s
    WHERE e.session_id > $1 AND s.key || '' >= $2 AND s.key || '' < $3
      AND ($5::text IS NULL OR s.bucket_id + 0 = (SELECT id FROM buckets WHERE name = $5))
    ORDER BY s.id LIMIT $4
) AS s
JOIN buckets b ON b.id = s.bucket_id
CROSS JOIN LATERAL (SELECT coalesce(sum(size), 0)::bigint AS bytes FROM parts WHERE owner = s.id AND state = 2) AS sent
ORDER BY s.id;

-- Returns: the session exists, the part was recorded, the state of the row that had its id before.
-- name: BeginPart
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = @session AND e.expires_at - now() > interval '0' FOR SHARE OF s
), begun AS (
    INSERT INTO parts (owner, id, number, state, size, k, m, unit_size, crc64, nodes, sums, checksums)
    SELECT session.id, @id, @number, 1, @size, @k, @m, @unit_size, @crc, @nodes, @sums, @checksums FROM session
    WHERE NOT EXISTS (SELECT FROM parts WHERE id = @id)
    RETURNING id
)
SELECT EXISTS (SELECT FROM session), EXISTS (SELECT FROM begun), coalesce((SELECT state FROM parts WHERE id = @id), 0);

-- Removes the stored part of number $3 from the session $1, unless the part $2 that replaces it is stored or dropped already.
-- name: DropReplaced
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = $1 AND e.expires_at - now() > interval '0' FOR SHARE OF s
), dropped AS (
    DELETE FROM parts p USING session
    WHERE p.owner = session.id AND p.number = $3 AND p.state = 2
      AND NOT EXISTS (SELECT FROM parts WHERE id = $2 AND state <> 1)
    RETURNING p.id, p.nodes, p.k + p.m AS chunks
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, d.id, i, encode(substring(d.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid, 'sent again'
    FROM dropped d, generate_series(0, d.chunks - 1) AS i
    WHERE substring(d.nodes FROM 16 * i + 1 FOR 16) <> '\x00000000000000000000000000000000'
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING RETURNING kind
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0;

-- Queues for reclaim the chunks that the begun part $2 planned on a node where it does not have them; $3 are the actual nodes.
-- A separate statement, because in StorePart the row could be read after its change.
-- name: DropUnused
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = $1 AND e.expires_at - now() > interval '0' FOR SHARE OF s
), begun AS MATERIALIZED (
    SELECT p.id, p.nodes, p.k + p.m AS chunks FROM parts p CROSS JOIN session WHERE p.id = $2 AND p.state = 1 FOR UPDATE OF p
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, id, i, encode(substring(nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid, 'planned, not used'
    FROM begun, generate_series(0, chunks - 1) AS i
    WHERE substring(nodes FROM 16 * i + 1 FOR 16) NOT IN ('\x00000000000000000000000000000000', substring($3::bytea FROM 16 * i + 1 FOR 16))
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING RETURNING kind
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0;

-- Adds the part to the session. Chunks that are not stored are queued for repair.
-- Where a row has the id already, it must be a begun part.
-- Returns: the session exists, the part was stored.
-- name: StorePart
WITH session AS MATERIALIZED (
    SELECT s.id FROM sessions s JOIN session_expiries e ON e.session_id = s.id
    WHERE s.id = @session AND e.expires_at - now() > interval '0' FOR SHARE OF s
), stored AS (
    INSERT INTO parts (owner, id, number, state, size, k, m, unit_size, crc64, nodes, sums, checksums)
    SELECT session.id, @id, @number, 2, @size, @k, @m, @unit_size, @crc, @nodes, @sums, @checksums FROM session
    ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, number = excluded.number, state = 2, size = excluded.size, k = excluded.k, m = excluded.m,
        unit_size = excluded.unit_size, crc64 = excluded.crc64, nodes = excluded.nodes, sums = excluded.sums, checksums = excluded.checksums, stored_at = now()
    WHERE parts.state = 1
    RETURNING id
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority)
    SELECT 2, stored.id, 0, '00000000-0000-0000-0000-000000000000', 'not written', @missing::bigint, @priority::smallint FROM stored WHERE @missing::bigint <> 0
    ON CONFLICT DO NOTHING RETURNING kind, priority
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks) SELECT kind, priority, 1 FROM queued
)
SELECT EXISTS (SELECT FROM session), EXISTS (SELECT FROM stored);

-- name: PartState
SELECT owner, state FROM parts WHERE id = $1;

-- Sets the expiry of the session $1, to which this transaction added the part $2, to $3 from now, and its last caller to $4.
-- For one caller the row is changed at most once a second, so that concurrent saves of parts of one session rarely wait for
-- each other here; where the callers alternate, each save changes it.
-- name: SlideSession
UPDATE session_expiries SET expires_at = now() + $3::interval, changed_by = $4
WHERE session_id = $1
  AND (changed_by <> $4 OR expires_at - now() > $3::interval OR expires_at - now() < $3::interval - interval '1 s')
  AND EXISTS (SELECT FROM parts p WHERE p.id = $2 AND p.owner = $1 AND p.state = 2 AND p.stored_at = now());

-- A concurrent save of the part locks this row too: the next statement sees its outcome.
-- name: LockPart
SELECT id FROM parts WHERE id = $1 FOR UPDATE;

-- Makes sure that the part $1 has a row: a new one keeps any later save of that id from happening. It waits for a save in progress.
-- name: FencePart
INSERT INTO parts (id, owner, number, state, size, k, m, unit_size, crc64, nodes, sums, checksums)
VALUES ($1, $1, 0, 3, 0, 0, 0, 0, 0, '', '', NULL) ON CONFLICT (id) DO NOTHING;

-- Abandons the part $1, unless a session or a file has it: its planned chunks and the
-- chunks ($2 indexes, $3 nodes) are queued for reclaim. Returns: it is stored.
-- name: DropPart
WITH kept AS MATERIALIZED (
    SELECT id FROM parts WHERE id = $1 AND state IN (2, 4)
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, $1, idx, node_id, 'part failed'
    FROM (
        SELECT i AS idx, encode(substring(nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid AS node_id
        FROM parts, generate_series(0, k + m - 1) AS i WHERE id = $1 AND state = 1
        UNION
        SELECT a.idx, a.node_id FROM unnest($2::smallint[], $3::uuid[]) AS a (idx, node_id)
    ) AS chunks
    WHERE node_id <> '00000000-0000-0000-0000-000000000000' AND NOT EXISTS (SELECT FROM kept)
    ORDER BY 3, 4
    ON CONFLICT DO NOTHING RETURNING kind
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0
)
SELECT EXISTS (SELECT FROM kept);

-- name: MarkDropped
UPDATE parts SET owner = id, number = 0, state = 3, k = 0, m = 0, nodes = '', sums = '', stored_at = now() WHERE id = $1 AND state = 1;

-- Waits for changes that add to the sessions.
-- name: LockSessions
SELECT id FROM sessions WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- Inserts the file in state 0, if the bucket and all of the locked sessions exist and have
-- all the parts: the following statements depend on it, and it is never visible outside the transaction.
-- Returns: the bucket exists, sessions and parts found, and the time of creation if the file was inserted.
-- name: ClaimSessions
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = @bucket FOR KEY SHARE
), found AS MATERIALIZED (
    SELECT (SELECT count(*) FROM sessions s JOIN session_expiries e ON e.session_id = s.id
            WHERE s.id = ANY (@sessions::uuid[]) AND e.expires_at - now() > interval '0') AS sessions,
           (SELECT count(DISTINCT p.id) FROM unnest(@parts::uuid[]) AS want (id) JOIN parts p ON p.id = want.id
            WHERE p.state = 2 AND array_position(@sessions::uuid[], p.owner) IS NOT NULL) AS parts
), stored AS (
    INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker,
                       created_at, crc64, sha256, etag, meta, attributes, locked_until, changed_by)
    SELECT @id, holder.id, @key, @size, @type, 0, false, @marker, coalesce(@created, now()), @crc, @sha, @etag, @meta, @attributes, @lock, @caller
    FROM holder, found WHERE found.sessions = cardinality(@sessions::uuid[]) AND found.parts = cardinality(@parts::uuid[])
    RETURNING created_at
)
SELECT EXISTS (SELECT FROM holder), found.sessions, found.parts, stored.created_at
FROM found LEFT JOIN stored ON true;

-- Moves all parts of the sessions $4 to the owner $5, except those that need no change: of the claimed file $1,
-- wanted ($2 parts, $3 numbers) under the number that they have. A session that becomes a file with all its parts changes no row.
-- A stored part has state 4 until it is taken, so that parts of several sessions may have the same number.
-- name: HandOver
WITH kept AS MATERIALIZED (
    SELECT p.id FROM unnest($2::uuid[], $3::integer[]) AS want (id, number) JOIN parts p ON p.id = want.id
    WHERE p.number = want.number AND p.owner IS NOT DISTINCT FROM $1::uuid AND p.state = 2
)
UPDATE parts SET owner = $5, state = CASE WHEN parts.state = 2 THEN 4 ELSE parts.state END FROM files
WHERE files.id = $1 AND files.state = 0 AND parts.owner = ANY ($4::uuid[]) AND parts.id NOT IN (SELECT id FROM kept);

-- Gives the claimed file $1 the parts ($2, with the numbers $3) that were moved to $4. They are looked up by their ids, one
-- by one: the comparison of the owner is written so that no index matches it.
-- name: TakeParts
UPDATE parts SET owner = $1, number = want.number, state = 2
FROM files, unnest($2::uuid[], $3::integer[]) AS want (id, number)
WHERE files.id = $1 AND files.state = 0 AND parts.id = want.id AND parts.owner IS NOT DISTINCT FROM $4::uuid;

-- name: PartsOf
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts WHERE owner = $1 AND state = 2 ORDER BY number;

-- Removes the locked sessions $1 once the file $2 is claimed. Parts that were moved to $3 and not taken stay
-- there as the parts of a Deleted file, to be swept without a grace.
-- name: EndSessions
WITH ended AS (
    DELETE FROM sessions
    WHERE id = ANY ($1::uuid[]) AND EXISTS (SELECT FROM files f WHERE f.id = $2 AND f.state = 0)
    RETURNING id
), expiries AS (
    DELETE FROM session_expiries USING ended WHERE session_id = ended.id
)
INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker, created_at, crc64, etag, failure, deleted_at)
SELECT $3, 0, '', 0, '', 4, false, false, now(), 0, '', 'not in the file', 'epoch'
WHERE EXISTS (SELECT FROM ended) AND EXISTS (SELECT FROM parts WHERE owner = $3);

-- Removes the locked session $1 for the caller $2. Its parts stay as those of a Deleted file of its id, to be swept without
-- a grace, so the cost does not depend on their number.
-- name: EndSession
WITH ended AS (
    DELETE FROM sessions WHERE id = $1 RETURNING id
), expiries AS (
    DELETE FROM session_expiries USING ended WHERE session_id = ended.id
)
INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker, created_at, crc64, etag, failure, changed_by, deleted_at)
SELECT id, 0, '', 0, '', 4, false, false, now(), 0, '', 'session ended', $2, 'epoch' FROM ended;

-- Makes the claimed file of the bucket $2 complete and latest. See StoreFiles for its time.
-- name: ShowFile
WITH shown AS (
    UPDATE files SET state = 2, latest = true, completed_at = clock_timestamp(), seq = nextval('file_seq') WHERE id = $1 AND state = 0
    RETURNING id, bucket_id, key, size, changed_by, completed_at, seq
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, seq, latest, bytes, files, caller, at)
    SELECT bucket_id, 1, $2, key, id, seq, id, size, 1, changed_by, completed_at FROM shown
)
SELECT completed_at, seq FROM shown;
