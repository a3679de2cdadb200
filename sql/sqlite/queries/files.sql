-- name: InsertFile
INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker,
                   created_at, completed_at, crc64, sha256, etag, meta, failure, changed_by, seq, attributes, locked_until)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?);

-- name: InsertPart
INSERT INTO parts (owner, number, id, state, size, k, m, unit_size, crc64, nodes, sums, checksums, stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: FileState
SELECT state, bucket_id, key, latest, size, created_at FROM files WHERE id = ?;

-- name: Shown
SELECT id, size, etag, delete_marker FROM files WHERE bucket_id = ? AND key = ? AND latest = 1;

-- The newest complete file of a key, needed when the latest one was deleted. The index is
-- named, because the planner would otherwise choose the one by time and read all of it.
-- name: Heir
SELECT id FROM files INDEXED BY files_behind WHERE bucket_id = ? AND key = ? AND latest = 0 AND state <> 4 AND state = 2 ORDER BY seq DESC LIMIT 1;

-- name: Show
UPDATE files SET latest = 1 WHERE id = ?;

-- A file that is kept behind the latest of its key.
-- name: Hide
UPDATE files SET latest = 0 WHERE id = ?;

-- name: RenameFile
UPDATE files SET bucket_id = ?, key = ?, changed_by = ?, seq = ? WHERE id = ?;

-- name: RemoveFile
DELETE FROM files WHERE id = ?;

-- name: RemoveParts
DELETE FROM parts WHERE owner = ? RETURNING id, nodes;

-- It changes no row while the file is locked.
-- name: MarkDeleted
UPDATE files SET state = 4, latest = 0, deleted_at = ?1, changed_by = ?2 WHERE id = ?3 AND locked_until <= ?1;

-- name: AttributesOf
SELECT bucket_id, key, attributes FROM files WHERE id = ? AND state = 2;

-- name: SetAttributes
UPDATE files SET attributes = ?, locked_until = ? WHERE id = ?;

-- A file that owns parts to be swept, or is a fence against a write.
-- name: InsertMarker
INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker,
                   created_at, completed_at, crc64, sha256, etag, meta, failure, changed_by, deleted_at)
VALUES (?, ?, ?, ?, '', ?, 0, 0, ?, 0, 0, NULL, '', NULL, ?, ?, ?);

-- Deleted files that have something to sweep: parts, or themselves. One that was never complete is a fence until ?2.
-- name: DueDeleted
SELECT id FROM files INDEXED BY files_deleted
WHERE state = 4 AND deleted_at <= ?1
  AND (completed_at <> 0 OR deleted_at <= ?2 OR EXISTS (SELECT 1 FROM parts WHERE owner = files.id))
ORDER BY deleted_at LIMIT ?3;

-- Removes up to ?2 parts of files (?1, a JSON array of ids in hexadecimal), in the order of the array and of their numbers.
-- name: SweepParts
DELETE FROM parts WHERE (owner, number, id) IN (
    SELECT p.owner, p.number, p.id FROM json_each(?1) AS f CROSS JOIN parts AS p ON p.owner = unhex(f.value) LIMIT ?2
) RETURNING id, nodes;

-- Removes up to ?3 of such files that have no parts and are no fences.
-- name: RemoveSwept
DELETE FROM files WHERE id IN (
    SELECT f.id FROM json_each(?1) AS j CROSS JOIN files AS f ON f.id = unhex(j.value)
    WHERE (f.completed_at <> 0 OR f.deleted_at <= ?2) AND NOT EXISTS (SELECT 1 FROM parts WHERE owner = f.id) LIMIT ?3
);

-- name: ForgetDropped
DELETE FROM parts WHERE id IN (SELECT id FROM parts WHERE state = 3 AND stored_at <= ? LIMIT 1000);

-- Those noted up to then; their ids only find them.
-- name: ForgetAttempts
DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE id < ? AND noted_at <= ? ORDER BY id LIMIT 1000);

-- name: Attempt
SELECT happened FROM attempts WHERE id = ?;

-- name: InsertAttempt
INSERT INTO attempts (id, happened, noted_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: MarkFailed
UPDATE files SET state = 3, failure = ? WHERE id = ?;

-- A file with its first two parts, one a row: most files have one. The deleted files of a deleted bucket have no bucket name.
-- name: File
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes, f.marks,
       p.id, coalesce(p.number, 0), coalesce(p.size, 0), coalesce(p.k, 0), coalesce(p.m, 0), coalesce(p.unit_size, 0), coalesce(p.crc64, 0), p.nodes, p.sums, p.checksums
FROM files f LEFT JOIN buckets b ON b.id = f.bucket_id LEFT JOIN parts p ON p.owner = f.id AND p.state <> 3 WHERE f.id = ? ORDER BY p.number LIMIT 2;

-- name: LatestFile
SELECT b.name, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes, f.marks,
       p.id, coalesce(p.number, 0), coalesce(p.size, 0), coalesce(p.k, 0), coalesce(p.m, 0), coalesce(p.unit_size, 0), coalesce(p.crc64, 0), p.nodes, p.sums, p.checksums
FROM buckets b JOIN files f ON f.bucket_id = b.id AND f.key = ?2 AND f.latest = 1 LEFT JOIN parts p ON p.owner = f.id AND p.state <> 3
WHERE b.name = ?1 AND NOT f.delete_marker ORDER BY p.number LIMIT 2;

-- name: Parts
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts WHERE owner = ? AND state <> 3 ORDER BY number;

-- A page of them, from a number on: as many as store.PartsPage.
-- name: PartsPage
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts WHERE owner = ? AND state <> 3 AND number >= ? ORDER BY number LIMIT 64;

-- name: SetMarks
UPDATE files SET marks = ? WHERE id = ?;

-- What differs among the latest files of a bucket, from one key to another: each column of each row costs. The result is read only as far
-- as needed: with a changing LIMIT SQLite would prepare the statement again each time.
-- name: ListObjects
SELECT id, key, size, content_type, created_at, completed_at, crc64, sha256, etag, meta, changed_by, seq, attributes
FROM files WHERE bucket_id = ? AND latest = 1 AND NOT delete_marker AND key >= ? AND key < ? ORDER BY key;

-- Oldest first, after (?5, ?6); for newest first, ASC is replaced by DESC and > (? by < (?.
-- name: ListFiles
SELECT b.name, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f JOIN buckets b ON b.id = f.bucket_id
WHERE f.state = ?1 AND f.state <> 4 AND NOT f.delete_marker AND (f.created_at, f.id) > (?5, ?6)
ORDER BY f.created_at ASC, f.id ASC LIMIT ?7 OFFSET ?8;

-- name: ListFilesOfBucket
SELECT b.name, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f JOIN buckets b ON b.id = f.bucket_id
WHERE f.bucket_id = ?2 AND f.state = ?1 AND f.state <> 4 AND NOT f.delete_marker AND (f.created_at, f.id) > (?5, ?6)
ORDER BY f.created_at ASC, f.id ASC LIMIT ?7 OFFSET ?8;

-- How many files, up to ?4, have a key from ?2 to ?3, in the bucket ?1 (null: all).
-- name: CountByKey
SELECT count(*) FROM (
    SELECT 1 FROM buckets b CROSS JOIN files f ON f.bucket_id = b.id AND f.key >= ?2 AND f.key < ?3 AND f.latest = 1 WHERE ?1 IS NULL OR b.id = ?1
    UNION ALL
    SELECT 1 FROM buckets b CROSS JOIN files f ON f.bucket_id = b.id AND f.key >= ?2 AND f.key < ?3 AND f.latest = 0 AND f.state <> 4 WHERE ?1 IS NULL OR b.id = ?1
    LIMIT ?4
);

-- Files with a key from ?3 to ?4 are found by it, bucket by bucket, and sorted; CountByKey bounds their number.
-- The plus keeps SQLite from using an index by state.
-- name: ListFilesByKey
SELECT * FROM (
    SELECT b.name, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM buckets b CROSS JOIN files f ON f.bucket_id = b.id AND f.key >= ?3 AND f.key < ?4 AND f.latest = 1
    WHERE (?2 IS NULL OR b.id = ?2) AND +f.state = ?1 AND NOT f.delete_marker AND (+f.created_at, f.id) > (?5, ?6)
    UNION ALL
    SELECT b.name, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM buckets b CROSS JOIN files f ON f.bucket_id = b.id AND f.key >= ?3 AND f.key < ?4 AND f.latest = 0 AND f.state <> 4
    WHERE (?2 IS NULL OR b.id = ?2) AND +f.state = ?1 AND NOT f.delete_marker AND (+f.created_at, f.id) > (?5, ?6)
) ORDER BY created_at ASC, id ASC LIMIT ?7 OFFSET ?8;
