-- name: Record
INSERT INTO changes (kind, bucket, key, file, seq, latest, bytes, files, caller, at)
VALUES (?1, (SELECT name FROM buckets WHERE id = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- Adds what the changes of a transaction altered to the usage of a bucket, with the last seq that they drew.
-- name: AddUsage
UPDATE buckets SET bytes = bytes + ?, files = files + ?, seq = max(seq, ?) WHERE id = ?;

-- name: LastSeq
SELECT seq FROM buckets WHERE id = ?;

-- Files that are completed from now on come after those that were restored.
-- name: SkipSeq
UPDATE buckets SET seq = ?1 WHERE name = ?2 AND seq < ?1;

-- name: Usage
SELECT bytes, files FROM buckets WHERE name = ?;

-- name: Usages
SELECT name, bytes, files FROM buckets;

-- The newest revision, also when its row was trimmed.
-- name: ChangeHead
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0);

-- name: ChangesAfter
SELECT revision, kind, bucket, key, file, seq, latest, bytes, files, caller, at FROM changes WHERE revision > ? ORDER BY revision LIMIT ?;

-- Of the ?1 oldest changes the last that is older than ?2 or has a revision up to ?3.
-- name: DueChanges
SELECT max(revision) FROM (SELECT revision, at FROM changes ORDER BY revision LIMIT ?1) WHERE at < ?2 OR revision <= ?3;

-- name: TrimChanges
DELETE FROM changes WHERE revision <= ?;
