-- The statements of BeginFile, CommitFile and FailFile. A commit is a pipeline of some of them in
-- one round trip and one transaction; each sees the effects of those before it.
-- Arrays hold one element per file (or part, or task) of a group of commits. Statements with many arguments name them
-- (@name); the others number them.

-- Claims an upload for its commit: state 0 marks it for the following
-- statements, and is never visible outside the transaction.
-- name: ClaimUpload
UPDATE files SET state = 0
WHERE id = $1 AND state = 1 AND key = $3
  AND bucket_id = (SELECT id FROM buckets WHERE name = $2 FOR KEY SHARE)
RETURNING id;

-- Fails the transaction, and with it the whole pipeline, unless the condition holds for the latest file of the key $2 of
-- the bucket $1, or of the key of the file $8: $3 there is an object, $4 there is no object, $5 it is this file (null: any), $6 it has
-- one of these entity tags (null: any), $7 it has none of these (null). The file is locked, so the condition still holds when the
-- following statements run. It holds where the bucket or the file $8 does not exist: the following statements find that.
-- The cast fails with 22P02 where the condition does not hold, and with 22003 where the file was replaced while this waited
-- for its lock: then the transaction is retried.
-- name: Guard
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $1 FOR KEY SHARE
), target AS MATERIALIZED (
    SELECT id AS bucket_id, $2::bytea AS key FROM holder
    UNION ALL
    SELECT bucket_id, key FROM files WHERE id = $8::uuid AND state <> 4
), seen AS MATERIALIZED (
    SELECT f.id, target.bucket_id, target.key
    FROM target CROSS JOIN LATERAL (SELECT id FROM files WHERE bucket_id = target.bucket_id AND key = target.key AND latest LIMIT 1) AS f
), latest AS MATERIALIZED (
    SELECT f.id, f.etag, f.delete_marker FROM seen JOIN files f ON f.id = seen.id
    WHERE f.latest AND f.bucket_id = seen.bucket_id AND f.key = seen.key FOR UPDATE OF f
), object AS MATERIALIZED (
    SELECT id, etag FROM latest WHERE NOT delete_marker
)
SELECT CAST(CASE
    WHEN (SELECT count(*) FROM seen) <> (SELECT count(*) FROM latest) THEN '99999999999'
    WHEN NOT EXISTS (SELECT FROM target) THEN '1'
    WHEN $3::boolean AND NOT EXISTS (SELECT FROM object) THEN 'refused'
    WHEN $4::boolean AND EXISTS (SELECT FROM object) THEN 'refused'
    WHEN $5::uuid IS NOT NULL AND NOT EXISTS (SELECT FROM object WHERE id = $5) THEN 'refused'
    WHEN $6::text[] IS NOT NULL AND NOT EXISTS (SELECT FROM object WHERE etag = ANY ($6)) THEN 'refused'
    WHEN $7::text[] IS NOT NULL AND EXISTS (SELECT FROM object WHERE etag = ANY ($7)) THEN 'refused'
    ELSE '1' END AS integer);

-- Locks the file $1, so that it keeps its key.
-- name: LockFile
SELECT id FROM files WHERE id = $1 AND state <> 4 FOR UPDATE;

-- Makes the latest files of ($1 buckets, $2 keys) Deleted by ($5 callers), or where $4 keeps them versions behind the
-- latest. For an upload ($3 its id, else null) only once
-- it is claimed. Their parts stay until they are swept, so the cost does not depend on their number.
-- A condition that holds without an object may have become false since Guard: an object is left alone where $6 wants none or
-- where it has one of the entity tags $7 (null: none). The change then collides at files_latest, and is retried.
-- Rows are locked in the order of the index, so that groups with common keys do not deadlock.
-- Here and below, the id of a record of a change is drawn after the change has its key: after the lock of the row that was latest, or
-- after the insertion into files_latest. So for each key the ids order as the commits do.
-- name: ReplaceLatest
WITH holders AS MATERIALIZED (
    SELECT id, name FROM buckets WHERE name = ANY ($1::text[]) ORDER BY name FOR KEY SHARE
), wanted AS MATERIALIZED (
    SELECT holders.id AS bucket_id, holders.name, want.key, want.keep, want.caller
    FROM unnest($1::text[], $2::bytea[], $4::boolean[], $5::text[]) AS want (bucket, key, keep, caller)
    JOIN holders ON holders.name = want.bucket
    WHERE $3::uuid IS NULL OR EXISTS (SELECT FROM files u WHERE u.id = $3 AND u.state = 0)
    ORDER BY 1, 3
), shown AS MATERIALIZED (
    SELECT f.id, wanted.name, wanted.keep, wanted.caller
    FROM wanted CROSS JOIN LATERAL (
        SELECT id FROM files
        WHERE bucket_id = wanted.bucket_id AND key = wanted.key AND latest
          AND (delete_marker OR NOT $6::boolean AND ($7::text[] IS NULL OR etag <> ALL ($7)))
        FOR UPDATE
    ) AS f
), gone AS (
    UPDATE files SET latest = false, state = CASE WHEN shown.keep THEN files.state ELSE 4 END,
        deleted_at = CASE WHEN NOT shown.keep THEN now() END, changed_by = CASE WHEN shown.keep THEN changed_by ELSE shown.caller END
    FROM shown WHERE files.id = shown.id
    RETURNING files.id, files.bucket_id, shown.name, files.key, files.size, shown.keep, shown.caller
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT bucket_id, 3, name, key, id, '00000000-0000-0000-0000-000000000000', -size, -1, caller, now() FROM gone WHERE NOT keep
)
SELECT id, name, key FROM gone;

-- Drops the parts that a claimed upload planned, and queues the planned chunks
-- that are not among ($2 parts, $3 indexes, $4 nodes), where the commit has them.
-- name: DropPlanned
WITH dropped AS (
    DELETE FROM parts USING files
    WHERE parts.owner = $1 AND files.id = $1 AND files.state = 0
    RETURNING parts.id, parts.nodes, parts.k + parts.m AS chunks
), planned AS (
    SELECT d.id, i, encode(substring(d.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid AS node
    FROM dropped d, generate_series(0, d.chunks - 1) AS i
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, id, i, node, 'planned, not used' FROM planned
    WHERE node <> '00000000-0000-0000-0000-000000000000'
      AND (id, i, node) NOT IN (SELECT * FROM unnest($2::uuid[], $3::smallint[], $4::uuid[]))
    ORDER BY 2, 3, 4
    ON CONFLICT DO NOTHING RETURNING kind
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0;

-- Inserts new files in the state. A file is completed at clock_timestamp, not now, and draws its seq: ReplaceLatest has locked
-- the file before it, so both follow the order of the commits of the key. Where no file was latest, one that was stored and deleted
-- after the seq was drawn and before the file has its key may have a higher one; no version that exists has. Files whose
-- bucket does not exist are left out, with their parts and repairs.
-- name: StoreFiles
WITH holders AS MATERIALIZED (
    SELECT id, name FROM buckets WHERE name = ANY (@buckets::text[]) ORDER BY name FOR KEY SHARE
), stored AS (
    INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker,
                       created_at, completed_at, crc64, sha256, etag, meta, attributes, locked_until, changed_by, seq)
    SELECT f.id, holders.id, f.key, f.size, f.content_type, @state::smallint, @state::smallint = 2, f.delete_marker,
           coalesce(f.created_at, now()), CASE WHEN @state::smallint = 2 THEN clock_timestamp() END, f.crc64, f.sha256, f.etag, f.meta, f.attributes,
           CASE WHEN @state::smallint = 2 THEN f.locked_until END, f.changed_by,
           CASE WHEN @state::smallint = 2 THEN nextval('file_seq') ELSE 0 END
    FROM unnest(@ids::uuid[], @buckets::text[], @keys::bytea[], @sizes::bigint[], @types::text[], @markers::boolean[],
                @created::timestamptz[], @crcs::bigint[], @shas::bytea[], @etags::text[], @metas::jsonb[], @attributes::bytea[], @locks::timestamptz[], @callers::text[])
         AS f (id, bucket, key, size, content_type, delete_marker, created_at, crc64, sha256, etag, meta, attributes, locked_until, changed_by)
    JOIN holders ON holders.name = f.bucket
    ORDER BY holders.id, f.key -- as in ReplaceLatest, for groups with common keys that are new
    RETURNING id, bucket_id, key, size, created_at, completed_at, changed_by, seq
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, seq, latest, bytes, files, caller, at)
    SELECT stored.bucket_id, 1, holders.name, stored.key, stored.id, stored.seq, stored.id, stored.size, 1, stored.changed_by, stored.completed_at
    FROM stored JOIN holders ON holders.id = stored.bucket_id WHERE @state::smallint = 2
), with_parts AS (
    INSERT INTO parts (owner, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums, state)
    SELECT p.*, 2
    FROM unnest(@part_files::uuid[], @part_ids::uuid[], @numbers::integer[], @part_sizes::bigint[], @k::smallint[], @m::smallint[],
                @unit_sizes::integer[], @part_crcs::bigint[], @nodes::bytea[], @sums::bytea[], @checksums::bytea[])
         AS p (file_id, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums)
    JOIN stored ON stored.id = p.file_id
)
SELECT id, created_at, completed_at, seq FROM stored;

-- Queues the repairs of parts that this transaction has stored (chunks as in tasks). A part whose file was left out has none.
-- name: QueueRepairs
WITH queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority)
    SELECT 2, r.part_id, 0, '00000000-0000-0000-0000-000000000000', 'not written', r.chunks, r.priority
    FROM unnest($1::uuid[], $2::bigint[], $3::smallint[]) AS r (part_id, chunks, priority)
    JOIN parts ON parts.id = r.part_id AND parts.state = 2
    ORDER BY 2
    ON CONFLICT DO NOTHING RETURNING kind, priority
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT kind, priority, count(*) FROM queued GROUP BY kind, priority;

-- Completes the claimed upload with the values of the commit.
-- name: CompleteUpload
WITH stored AS (
    UPDATE files SET state = 2, latest = true, completed_at = clock_timestamp(), seq = nextval('file_seq'), size = @size, content_type = @type, delete_marker = @marker,
                     created_at = coalesce(@created, created_at), crc64 = @crc, sha256 = @sha, etag = @etag, meta = @meta, attributes = @attributes, locked_until = @lock, changed_by = @caller
    WHERE id = @id AND state = 0
    RETURNING id, bucket_id, key, size, created_at, completed_at, seq
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, seq, latest, bytes, files, caller, at)
    SELECT bucket_id, 1, @bucket, key, id, seq, id, size, 1, @caller, completed_at FROM stored
), with_parts AS (
    INSERT INTO parts (owner, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums, state)
    SELECT stored.id, p.*, 2
    FROM unnest(@part_ids::uuid[], @numbers::integer[], @part_sizes::bigint[], @k::smallint[], @m::smallint[],
                @unit_sizes::integer[], @part_crcs::bigint[], @nodes::bytea[], @sums::bytea[], @checksums::bytea[])
         AS p (id, number, size, k, m, unit_size, crc64, nodes, sums, checksums), stored
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority)
    SELECT 2, r.part_id, 0, '00000000-0000-0000-0000-000000000000', 'not written', r.chunks, r.priority
    FROM unnest(@missing_parts::uuid[], @missing::bigint[], @priorities::smallint[]) AS r (part_id, chunks, priority), stored
    ORDER BY 2
    ON CONFLICT DO NOTHING RETURNING kind, priority
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks) SELECT kind, priority, count(*) FROM queued GROUP BY kind, priority
)
SELECT id, created_at, completed_at, seq FROM stored;

-- Stores where the parts of a file of many begin; $3 is the state that the file has at this place of the transaction.
-- name: SetMarks
UPDATE files SET marks = $2 WHERE id = $1 AND state = $3;

-- Why a claim found nothing: whether the bucket exists, and the state of the file.
-- name: UploadState
SELECT EXISTS (SELECT FROM buckets WHERE name = $2), (SELECT state FROM files WHERE id = $1);

-- Makes sure that the file $1 has a row: a new one keeps any later commit of that id from happening. It waits for
-- a commit in progress. Without its bucket $2 the row is Deleted. $3 key, $4 size, $5 created_at, $6 reason.
-- name: FenceFile
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $2 FOR KEY SHARE
)
INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker, created_at, crc64, etag, failure, deleted_at)
SELECT $1, coalesce(holder.id, 0), $3::bytea, $4::bigint, '', CASE WHEN holder.id IS NULL THEN 4 ELSE 3 END, false, false,
       coalesce($5::timestamptz, now()), 0, '', $6::text, CASE WHEN holder.id IS NULL THEN now() END
FROM (SELECT 1) AS one LEFT JOIN holder ON true
ON CONFLICT (id) DO NOTHING;

-- Abandons an upload. The parts that were planned and the chunks ($3 parts, $4
-- indexes, $5 nodes) are queued for reclaim, unless the file is complete.
-- name: FailFile
WITH target AS MATERIALIZED (
    SELECT id, state FROM files WHERE id = $1 AND state IN (1, 3, 4) FOR UPDATE
), failed AS (
    UPDATE files SET state = 3, failure = $2 FROM target WHERE files.id = target.id AND target.state = 1
), dropped AS (
    DELETE FROM parts USING target WHERE parts.owner = target.id AND target.state = 1
    RETURNING parts.id, parts.nodes, parts.k + parts.m AS chunks
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, part_id, idx, node_id, 'upload failed'
    FROM (
        SELECT d.id AS part_id, i AS idx, encode(substring(d.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid AS node_id
        FROM dropped d, generate_series(0, d.chunks - 1) AS i
        UNION
        SELECT a.part_id, a.idx, a.node_id
        FROM unnest($3::uuid[], $4::smallint[], $5::uuid[]) AS a (part_id, idx, node_id), target
    ) AS chunks
    WHERE node_id <> '00000000-0000-0000-0000-000000000000'
    ORDER BY 2, 3, 4
    ON CONFLICT DO NOTHING RETURNING kind
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0;

-- name: FileState
SELECT state FROM files WHERE id = $1;

-- Makes the object of the key $2 in the bucket $1 Deleted by the caller $4, with the attempt $3 (null: without).
-- Returns: the bucket exists, and the numbers of files that were seen and deleted, which differ where the file was replaced while
-- this waited for its lock, or where $5 wants no object or it has one of the entity tags $6 (null: none), as in ReplaceLatest.
-- name: DeleteObject
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $1 FOR KEY SHARE
), seen AS MATERIALIZED (
    SELECT f.id, holder.id AS bucket_id
    FROM holder CROSS JOIN LATERAL (SELECT id, delete_marker FROM files WHERE bucket_id = holder.id AND key = $2 AND latest LIMIT 1) AS f
    WHERE NOT f.delete_marker
), target AS MATERIALIZED (
    SELECT f.id FROM seen JOIN files f ON f.id = seen.id
    WHERE f.latest AND f.bucket_id = seen.bucket_id AND f.key = $2 AND NOT $5::boolean AND ($6::text[] IS NULL OR f.etag <> ALL ($6)) FOR UPDATE OF f
), noted AS (
    INSERT INTO attempts (id, happened) SELECT $3::uuid, true FROM target WHERE $3::uuid IS NOT NULL
), gone AS (
    UPDATE files SET state = 4, latest = false, deleted_at = now(), changed_by = $4 FROM target WHERE files.id = target.id
    RETURNING files.id, files.bucket_id, files.size
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT bucket_id, 4, $1, $2, id, '00000000-0000-0000-0000-000000000000', -size, -1, $4, now() FROM gone
)
SELECT EXISTS (SELECT FROM holder), (SELECT count(*) FROM seen), (SELECT count(*) FROM gone);

-- Makes a file Deleted by the caller $3, with the attempt $2 (null: without). Where it was latest, the newest version behind it
-- becomes latest. A statement before has locked the file, so that no other change makes files of its key latest.
-- Both rows are changed in the order of "changed", the file first: at no time are two files latest.
-- name: DeleteFile
WITH target AS MATERIALIZED (
    SELECT id, bucket_id, key, size, state, latest FROM files WHERE id = $1 AND state <> 4
), noted AS (
    INSERT INTO attempts (id, happened) SELECT $2::uuid, true FROM target WHERE $2::uuid IS NOT NULL
), heir AS MATERIALIZED (
    SELECT f.id FROM target JOIN files f ON target.latest AND f.bucket_id = target.bucket_id AND f.key = target.key
    WHERE NOT f.latest AND f.state = 2
    ORDER BY f.seq DESC LIMIT 1 FOR UPDATE OF f
), changed AS MATERIALIZED (
    SELECT id, false AS heir FROM target UNION ALL SELECT id, true FROM heir
), gone AS (
    UPDATE files SET state = CASE WHEN changed.heir THEN files.state ELSE 4 END, latest = changed.heir,
        deleted_at = CASE WHEN NOT changed.heir THEN now() END, changed_by = CASE WHEN changed.heir THEN files.changed_by ELSE $3 END
    FROM changed WHERE files.id = changed.id
    RETURNING files.id
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT target.bucket_id, 4, buckets.name, target.key, target.id, coalesce((SELECT id FROM heir), '00000000-0000-0000-0000-000000000000'), -target.size, -1, $3, now()
    FROM target JOIN gone ON gone.id = target.id JOIN buckets ON buckets.id = target.bucket_id WHERE target.state = 2
)
SELECT id FROM target;

-- Locks what a group of deletions deletes: the files $1, and the latest files of ($2 buckets, $3 keys). The order is that of
-- ReplaceLatest and LockNames, so that groups with common keys do not deadlock.
-- name: LockDoomed
WITH holders AS MATERIALIZED (
    SELECT id, name FROM buckets WHERE name = ANY ($2::text[]) ORDER BY name FOR KEY SHARE
), named AS MATERIALIZED (
    SELECT unnest($1::uuid[]) AS id
    UNION
    SELECT f.id FROM unnest($2::text[], $3::bytea[]) AS want (bucket, key)
    JOIN holders ON holders.name = want.bucket
    CROSS JOIN LATERAL (SELECT id FROM files WHERE bucket_id = holders.id AND key = want.key AND latest LIMIT 1) AS f
)
SELECT files.id FROM named JOIN files ON files.id = named.id
WHERE files.state <> 4
ORDER BY files.bucket_id, files.key, files.id FOR UPDATE OF files;

-- DeleteFile for a group: ($1 ids, $2 attempts, the zero id for none, $3 callers), each id once. A file with a version behind it that would
-- become latest is left alone. Returns the places of the files that exist in the group, from 1, and whether each was deleted.
-- name: DeleteFiles
WITH target AS MATERIALIZED (
    SELECT want.n, want.attempt, want.caller, f.id, f.bucket_id, f.key, f.size, f.state, f.latest
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS want (id, attempt, caller, n)
    JOIN files f ON f.id = want.id
    WHERE f.state <> 4
), doomed AS MATERIALIZED (
    SELECT target.* FROM target LEFT JOIN LATERAL (
        SELECT id FROM files
        WHERE target.latest AND bucket_id = target.bucket_id AND key = target.key AND NOT latest AND state = 2
        ORDER BY seq DESC LIMIT 1
    ) AS heir ON true
    WHERE heir.id IS NULL
), noted AS (
    INSERT INTO attempts (id, happened) SELECT attempt, true FROM doomed WHERE attempt <> '00000000-0000-0000-0000-000000000000' ORDER BY 1
), gone AS (
    UPDATE files SET state = 4, latest = false, deleted_at = now(), changed_by = doomed.caller FROM doomed WHERE files.id = doomed.id
    RETURNING files.id
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT doomed.bucket_id, 4, buckets.name, doomed.key, doomed.id, '00000000-0000-0000-0000-000000000000', -doomed.size, -1, doomed.caller, now()
    FROM doomed JOIN gone ON gone.id = doomed.id JOIN buckets ON buckets.id = doomed.bucket_id WHERE doomed.state = 2
)
SELECT target.n, gone.id IS NOT NULL FROM target LEFT JOIN gone ON gone.id = target.id;

-- DeleteObject for a group: ($1 buckets, $2 keys, $3 attempts, the zero id for none, $4 callers), each key once, without conditions.
-- Returns for each, by its place from 1: the bucket exists, a file was seen, and it was deleted. A file that became latest since LockDoomed,
-- and that another transaction has locked, is not waited for: that would be out of order.
-- name: DeleteObjects
WITH holders AS MATERIALIZED (
    SELECT id, name FROM buckets WHERE name = ANY ($1::text[]) ORDER BY name FOR KEY SHARE
), wanted AS MATERIALIZED (
    SELECT want.n, want.bucket, want.key, want.attempt, want.caller, holders.id AS bucket_id
    FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::text[]) WITH ORDINALITY AS want (bucket, key, attempt, caller, n)
    LEFT JOIN holders ON holders.name = want.bucket
), seen AS MATERIALIZED (
    SELECT wanted.n, f.id
    FROM wanted CROSS JOIN LATERAL (SELECT id, delete_marker FROM files WHERE bucket_id = wanted.bucket_id AND key = wanted.key AND latest LIMIT 1) AS f
    WHERE NOT f.delete_marker
), target AS MATERIALIZED (
    SELECT wanted.n, wanted.bucket, wanted.attempt, wanted.caller, f.id
    FROM seen JOIN wanted ON wanted.n = seen.n JOIN files f ON f.id = seen.id
    WHERE f.latest AND f.bucket_id = wanted.bucket_id AND f.key = wanted.key FOR UPDATE OF f SKIP LOCKED
), noted AS (
    INSERT INTO attempts (id, happened) SELECT attempt, true FROM target WHERE attempt <> '00000000-0000-0000-0000-000000000000' ORDER BY 1
), gone AS (
    UPDATE files SET state = 4, latest = false, deleted_at = now(), changed_by = target.caller FROM target WHERE files.id = target.id
    RETURNING files.id, files.bucket_id, files.key, files.size, target.n, target.bucket, target.caller
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT bucket_id, 4, bucket, key, id, '00000000-0000-0000-0000-000000000000', -size, -1, caller, now() FROM gone
)
SELECT wanted.n, wanted.bucket_id IS NOT NULL, seen.id IS NOT NULL, gone.id IS NOT NULL
FROM wanted LEFT JOIN seen ON seen.n = wanted.n LEFT JOIN gone ON gone.n = wanted.n;

-- Removes up to $3 parts of files that have been Deleted for $1 (an interval) or longer, and queues their chunks for reclaim. A file
-- without parts is removed; one that was never complete is a fence, and is kept for the interval $2.
-- name: SweepDeleted
WITH due AS MATERIALIZED (
    SELECT f.id, f.completed_at IS NOT NULL OR f.deleted_at <= now() - $2::interval AS removable FROM files f
    WHERE f.state = 4 AND f.deleted_at <= now() - $1::interval
      AND (f.completed_at IS NOT NULL OR f.deleted_at <= now() - $2::interval OR EXISTS (SELECT FROM parts WHERE parts.owner = f.id))
    ORDER BY f.deleted_at LIMIT $3
    FOR UPDATE OF f SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT p.id FROM due CROSS JOIN LATERAL (SELECT id FROM parts WHERE owner = due.id ORDER BY number LIMIT $3) AS p LIMIT $3
), dropped AS (
    DELETE FROM parts USING picked WHERE parts.id = picked.id
    RETURNING parts.id, parts.nodes, parts.k + parts.m AS chunks
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, d.id, i, encode(substring(d.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid, 'deleted'
    FROM dropped d, generate_series(0, d.chunks - 1) AS i
    WHERE substring(d.nodes FROM 16 * i + 1 FOR 16) <> '\x00000000000000000000000000000000'
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING RETURNING kind
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0
), empty AS MATERIALIZED (
    SELECT due.id FROM due WHERE due.removable AND NOT EXISTS (SELECT FROM parts WHERE parts.owner = due.id)
    LIMIT greatest($3 - (SELECT count(*) FROM picked), 0)
), removed AS (
    DELETE FROM files USING empty WHERE files.id = empty.id RETURNING files.id
)
SELECT (SELECT count(*) FROM dropped) + (SELECT count(*) FROM removed);

-- name: ForgetDropped
DELETE FROM parts WHERE id IN (SELECT id FROM parts WHERE state = 3 AND stored_at <= now() - $1::interval LIMIT 1000);

-- Attempts that were noted $2 ago. Their ids, which begin with a gateway's time, only find them: $1 is above the ids of that age.
-- name: ForgetAttempts
DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE id < $1 AND now() - noted_at > $2::interval ORDER BY id LIMIT 1000);

-- Records that the change of the file $2, which this transaction has claimed, happens with the attempt $1.
-- name: NoteAttempt
INSERT INTO attempts (id, happened) SELECT $1::uuid, true
WHERE $1::uuid IS NOT NULL AND EXISTS (SELECT FROM files WHERE id = $2 AND state = 0);

-- It waits for the change where that is in progress.
-- name: AbandonAttempt
INSERT INTO attempts (id, happened) VALUES ($1, false) ON CONFLICT (id) DO NOTHING;

-- name: Attempt
SELECT happened FROM attempts WHERE id = $1;
