-- The statements of RenameFile, a pipeline: lock, Guard, claim, NoteAttempt, ReplaceLatest, move, read.

-- Locks the file $1 and the latest file of the key $3 of the bucket $2, in the order of the index, so
-- that two files that swap their keys do not deadlock.
-- name: LockNames
WITH holder AS MATERIALIZED (
    SELECT id FROM buckets WHERE name = $2 FOR KEY SHARE
), named AS MATERIALIZED (
    SELECT $1::uuid AS id
    UNION
    SELECT f.id FROM holder CROSS JOIN LATERAL (SELECT id FROM files WHERE bucket_id = holder.id AND key = $3 AND latest LIMIT 1) AS f
)
SELECT files.id FROM named JOIN files ON files.id = named.id
ORDER BY files.bucket_id, files.key, files.id FOR UPDATE OF files;

-- Removes the file $1 from its key, if it is the latest there, is not locked, and the new key is another one.
-- State 0 marks it for the following statements, and is never visible outside the transaction.
-- name: ClaimName
UPDATE files SET state = 0, latest = false
FROM buckets b
WHERE files.id = $1 AND files.latest AND NOT files.delete_marker AND b.name = $2
  AND (files.bucket_id <> b.id OR files.key <> $3) AND (files.locked_until IS NULL OR files.locked_until <= now());

-- Makes the claimed file latest under the key $3 of the bucket $2, and under its old key the
-- newest complete file that is left.
-- name: MoveName
WITH claimed AS MATERIALIZED (
    SELECT f.id, f.bucket_id, f.key, f.size, b.name, there.id AS new_bucket
    FROM files f JOIN buckets b ON b.id = f.bucket_id CROSS JOIN buckets there
    WHERE f.id = $1 AND f.state = 0 AND there.name = $2
), heir AS MATERIALIZED (
    SELECT f.id FROM files f JOIN claimed ON f.bucket_id = claimed.bucket_id AND f.key = claimed.key
    WHERE NOT f.latest AND f.state = 2
    ORDER BY f.seq DESC LIMIT 1 FOR UPDATE OF f
), changed AS MATERIALIZED (
    SELECT id, new_bucket AS bucket_id, $3::bytea AS key, false AS heir FROM claimed
    UNION ALL SELECT heir.id, claimed.bucket_id, claimed.key, true FROM heir, claimed
), moved AS (
    UPDATE files SET state = 2, latest = true, bucket_id = changed.bucket_id, key = changed.key,
        changed_by = CASE WHEN changed.heir THEN files.changed_by ELSE $4 END,
        seq = CASE WHEN changed.heir THEN files.seq ELSE nextval('file_seq') END
    FROM changed WHERE files.id = changed.id
    RETURNING files.id, files.seq
)
INSERT INTO changes_new (bucket_id, kind, bucket, key, file, seq, latest, bytes, files, caller, at)
SELECT bucket_id, 4, name, claimed.key, claimed.id, 0, coalesce((SELECT id FROM heir), '00000000-0000-0000-0000-000000000000'), -size, -1, $4, now()
FROM claimed JOIN moved ON moved.id = claimed.id
UNION ALL
SELECT new_bucket, 2, $2, $3, claimed.id, moved.seq, claimed.id, size, 1, $4, now() FROM claimed JOIN moved ON moved.id = claimed.id;

-- name: BareFile
SELECT b.name, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f JOIN buckets b ON b.id = f.bucket_id WHERE f.id = $1 AND f.state <> 4;
