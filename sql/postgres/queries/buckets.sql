-- name: CreateBucket
INSERT INTO buckets (name, survive) VALUES ($1, $2);

-- name: Bucket
SELECT name, created_at, survive FROM buckets WHERE name = $1;

-- name: ListBuckets
SELECT name, created_at, survive FROM buckets;

-- name: UpdateBucket
UPDATE buckets SET survive = $2 WHERE name = $1;

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
)
DELETE FROM buckets USING bucket WHERE buckets.id = bucket.id;

-- name: KeepBucket
UPDATE buckets SET name = $1 WHERE name = '/' || $1::text;
