-- name: InsertSession
INSERT INTO sessions (id, bucket_id, key, size, content_type, meta, attributes, want_crc64, owner, changed_by, created_at, expires_at, received)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0);

-- Whether ?2 or more sessions of the owner are open. CASE: those are counted in the index alone, and only where they are
-- enough without the ones that have expired.
-- name: OwnerFull
SELECT CASE WHEN ?2 <= (SELECT count(*) FROM (SELECT 1 FROM sessions WHERE owner = ?1 LIMIT ?2))
    THEN ?2 <= (SELECT count(*) FROM (SELECT 1 FROM sessions INDEXED BY sessions_of_owner WHERE owner = ?1 AND expires_at > ?3 LIMIT ?2))
    ELSE false END;

-- The same of a bucket.
-- name: BucketFull
SELECT CASE WHEN ?2 <= (SELECT count(*) FROM (SELECT 1 FROM sessions WHERE bucket_id = ?1 LIMIT ?2))
    THEN ?2 <= (SELECT count(*) FROM (SELECT 1 FROM sessions INDEXED BY sessions_of_bucket WHERE bucket_id = ?1 AND expires_at > ?3 LIMIT ?2))
    ELSE false END;

-- Whether a session, expired or not, or a file has the id.
-- name: IDInUse
SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1) OR EXISTS (SELECT 1 FROM files WHERE id = ?1);

-- name: FileExists
SELECT EXISTS (SELECT 1 FROM files WHERE id = ?);

-- name: Session
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, s.received
FROM sessions s JOIN buckets b ON b.id = s.bucket_id WHERE s.id = ? AND s.expires_at > ?;

-- name: SessionAlive
SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ? AND expires_at > ?);

-- name: SessionSize
SELECT size FROM sessions WHERE id = ? AND expires_at > ?;

-- name: SetSessionSize
UPDATE sessions SET size = ?, changed_by = ? WHERE id = ?;

-- name: SessionParts
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums, stored_at FROM parts WHERE owner = ? AND state = 2 ORDER BY number;

-- CROSS: in this order, or SQLite may begin with the buckets and sort.
-- name: ListSessions
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, s.received
FROM sessions s CROSS JOIN buckets b ON b.id = s.bucket_id
WHERE s.id > ?3 AND s.expires_at > ?1 AND s.key >= ?4 AND s.key < ?5 ORDER BY s.id LIMIT ?6;

-- name: ListSessionsOfBucket
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, s.received
FROM sessions s INDEXED BY sessions_of_bucket CROSS JOIN buckets b ON b.id = s.bucket_id
WHERE s.bucket_id = ?2 AND s.id > ?3 AND s.expires_at > ?1 AND s.key >= ?4 AND s.key < ?5 ORDER BY s.id LIMIT ?6;

-- name: ListSessionsByKey
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, s.received
FROM sessions s INDEXED BY sessions_by_key CROSS JOIN buckets b ON b.id = s.bucket_id
WHERE s.bucket_id = ?2 AND (s.key, s.id) > (?3, ?4) AND s.key < ?5 AND s.expires_at > ?1 ORDER BY s.key, s.id LIMIT ?6;

-- Expired sessions are few, because background work ends them: they are found by time, and sorted.
-- name: ListExpiredSessions
SELECT b.name, s.id, s.key, s.size, s.content_type, s.meta, s.attributes, s.want_crc64, s.owner, s.changed_by, s.created_at, s.expires_at, s.received
FROM sessions s INDEXED BY sessions_by_expiry CROSS JOIN buckets b ON b.id = s.bucket_id
WHERE s.expires_at <= ?1 AND (?2 IS NULL OR s.bucket_id = ?2) AND s.id > ?3 AND s.key >= ?4 AND s.key < ?5 ORDER BY s.id LIMIT ?6;

-- name: RemoveSession
DELETE FROM sessions WHERE id = ?;

-- name: SlideSession
UPDATE sessions SET expires_at = ?, received = received + ?, changed_by = ? WHERE id = ?;

-- name: NumberTaken
SELECT EXISTS (SELECT 1 FROM parts WHERE owner = ? AND number = ? AND state = 2);

-- name: PartState
SELECT owner, state FROM parts WHERE id = ?;

-- Removes the stored part of a number, before another replaces it.
-- name: RemoveNumber
DELETE FROM parts WHERE owner = ? AND number = ? AND state = 2
RETURNING id, number, size, k, m, unit_size, crc64, nodes, sums, checksums;

-- name: RemoveBegun
DELETE FROM parts WHERE id = ? AND state = 1 RETURNING id, nodes;

-- name: TakePart
UPDATE parts SET owner = ?, number = ? WHERE id = ?;

-- name: HandOver
UPDATE parts SET owner = ? WHERE owner = ?;
