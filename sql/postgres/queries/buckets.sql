-- name: CreateBucket
WITH created AS (
    INSERT INTO buckets (name, survive) VALUES ($1, $2) RETURNING id, name
)
INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
SELECT id, 5, name, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, '', now() FROM created;

-- name: Bucket
SELECT name, created_at, survive FROM buckets WHERE name = $1;

-- name: ListBuckets
SELECT name, created_at, survive FROM buckets;

-- name: UpdateBucket
WITH changed AS (
    UPDATE buckets SET survive = $2 WHERE name = $1 RETURNING id, name
)
INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
SELECT id, 5, name, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, '', now() FROM changed;

-- Commits and the creation of sessions lock the bucket's row FOR KEY SHARE. A change of the row's key conflicts with that:
-- once this statement has the row no file or session can be added, and the next statement sees all that were. FOR UPDATE
-- would not be enough: see ADR 52. No bucket name has a slash, and this one is never visible outside the transaction.
-- name: ClaimBucket
UPDATE buckets SET name = '/' || name WHERE name = $1;

-- Removes the claimed bucket if it is empty. Failed files have no parts and are never latest; their rows stay for a
-- while, so that no late commit takes their place.
-- name: DropBucket
WITH bucket AS (
    SELECT b.id FROM buckets b
    WHERE b.name = '/' || $1::text AND NOT EXISTS (SELECT FROM files f WHERE f.bucket_id = b.id AND f.state IN (1, 2))
      AND NOT EXISTS (SELECT FROM sessions s WHERE s.bucket_id = b.id)
), failed AS (
    UPDATE files SET state = 4, deleted_at = now() FROM bucket WHERE files.bucket_id = bucket.id AND files.state = 3
), usage AS (
    DELETE FROM bucket_usage USING bucket WHERE bucket_usage.bucket_id = bucket.id
), dropped AS (
    DELETE FROM buckets USING bucket WHERE buckets.id = bucket.id RETURNING buckets.id
)
INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
SELECT id, 5, $1, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, '', now() FROM dropped;

-- name: KeepBucket
UPDATE buckets SET name = $1 WHERE name = '/' || $1::text;
