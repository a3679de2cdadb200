-- name: CreateBucket
WITH created AS (
    INSERT INTO buckets (name, survive) VALUES (@name, @survive) RETURNING id, name
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT id, 5, name, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, @caller::text, now() FROM created
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM created RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;

-- name: Bucket
SELECT name, created_at, survive FROM buckets WHERE name = $1;

-- name: ListBuckets
SELECT name, created_at, survive FROM buckets;

-- name: UpdateBucket
WITH changed AS (
    UPDATE buckets SET survive = @survive WHERE name = @name RETURNING id, name
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT id, 5, name, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, @caller::text, now() FROM changed
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM changed RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;

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
    WHERE b.name = '/' || @name::text AND NOT EXISTS (SELECT FROM files f WHERE f.bucket_id + 0 = b.id AND f.state IN (1, 2))
      AND NOT EXISTS (SELECT FROM sessions s WHERE s.bucket_id = b.id)
), failed AS (
    UPDATE files SET state = 4, deleted_at = now() FROM bucket WHERE files.bucket_id + 0 = bucket.id AND files.state = 3
), usage AS (
    DELETE FROM bucket_usage USING bucket WHERE bucket_usage.bucket_id = bucket.id
), documents AS (
    DELETE FROM bucket_documents USING bucket WHERE bucket_documents.bucket_id = bucket.id
), dropped AS (
    DELETE FROM buckets USING bucket WHERE buckets.id = bucket.id RETURNING buckets.id
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT id, 5, @name::text, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, @caller::text, now() FROM dropped
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM dropped RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;

-- name: KeepBucket
UPDATE buckets SET name = $1 WHERE name = '/' || $1::text;

-- Other changes of the bucket's documents wait, and its deletion; commits do not.
-- name: LockBucket
SELECT 1 FROM buckets WHERE name = $1 FOR NO KEY UPDATE;

-- The revision is as attr.NextRevision has it.
-- name: SetDocument
WITH allowed AS MATERIALIZED (
    SELECT b.id, b.name, coalesce(d.revision, 0) + 1 AS next FROM buckets b LEFT JOIN bucket_documents d ON d.bucket_id = b.id AND d.kind = @kind
    WHERE b.name = @bucket AND (@if::bigint IS NULL OR @if::bigint = coalesce(d.revision, 0))
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT id, 5, name, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, @caller::text, now() FROM allowed
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM allowed RETURNING event_head.seq
), told AS (
    INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
    SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered
)
INSERT INTO bucket_documents (bucket_id, kind, revision, body)
SELECT id, @kind, greatest(next, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), @body FROM allowed
ON CONFLICT (bucket_id, kind) DO UPDATE SET revision = excluded.revision, body = excluded.body
RETURNING kind, revision, body;

-- name: RemoveDocument
WITH removed AS (
    DELETE FROM bucket_documents d USING buckets b
    WHERE b.name = @bucket AND d.bucket_id = b.id AND d.kind = @kind AND (@if::bigint IS NULL OR @if::bigint = d.revision)
    RETURNING b.id, b.name, d.kind, d.revision, d.body
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT id, 5, name, '', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, @caller::text, now() FROM removed
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM removed RETURNING event_head.seq
), told AS (
    INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
    SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered
)
SELECT kind, revision, body FROM removed;

-- A bucket without documents has one row, without a kind.
-- name: Documents
SELECT coalesce(d.kind, ''), coalesce(d.revision, 0), d.body
FROM buckets b LEFT JOIN bucket_documents d ON d.bucket_id = b.id WHERE b.name = $1;
