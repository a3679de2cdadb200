-- name: CreateBucket
INSERT INTO buckets (name, created_at, survive) VALUES (?, ?, ?);

-- name: Bucket
SELECT id, created_at, survive FROM buckets WHERE name = ?;

-- name: ListBuckets
SELECT name, created_at, survive FROM buckets ORDER BY name;

-- name: UpdateBucket
UPDATE buckets SET survive = ? WHERE id = ?;

-- Whether the bucket holds a file that is not failed, or a session.
-- name: BucketInUse
SELECT EXISTS (SELECT 1 FROM files WHERE bucket_id = ?1 AND latest = 1)
    OR EXISTS (SELECT 1 FROM files WHERE bucket_id = ?1 AND latest = 0 AND state <> 4 AND state <> 3)
    OR EXISTS (SELECT 1 FROM sessions WHERE bucket_id = ?1);

-- name: DeleteFailed
UPDATE files SET state = 4, deleted_at = ? WHERE bucket_id = ? AND latest = 0 AND state <> 4 AND state = 3;

-- name: DropBucket
DELETE FROM buckets WHERE id = ?;

-- name: Documents
SELECT kind, revision, body FROM bucket_documents WHERE bucket_id = ? ORDER BY kind;

-- name: DocumentRevision
SELECT coalesce((SELECT revision FROM bucket_documents WHERE bucket_id = ? AND kind = ?), 0);

-- name: SetDocument
INSERT OR REPLACE INTO bucket_documents (bucket_id, kind, revision, body) VALUES (?, ?, ?, ?);

-- name: RemoveDocument
DELETE FROM bucket_documents WHERE bucket_id = ? AND kind = ?;

-- name: DropDocuments
DELETE FROM bucket_documents WHERE bucket_id = ?;
