-- Kind 1 is a tail, 3 the end of a snapshot.
-- name: LoggedTo
SELECT last FROM log_segments l WHERE kind IN (1, 3)
  AND EXISTS (SELECT 1 FROM log_segments b WHERE b.log_id = l.log_id AND (b.kind = 3 OR b.kind = 1 AND b.first = 0))
ORDER BY last DESC LIMIT 1;

-- name: LogSegments
SELECT l.log_id, l.number, l.term, l.kind, l.grp, l.first, l.last,
       p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM log_segments l JOIN parts p ON p.id = l.part_id ORDER BY l.number;

-- name: NewestSegment
SELECT coalesce(max(term), 0), coalesce(max(number), 0) FROM log_segments;

-- name: InsertSegment
INSERT INTO log_segments (number, log_id, term, kind, grp, first, last, part_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: RemoveSegment
DELETE FROM log_segments WHERE number = ? RETURNING part_id;

-- name: RemovePart
DELETE FROM parts WHERE id = ? RETURNING id, nodes;

-- The files of a JSON array of ids in hexadecimal.
-- name: FilesByID
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at, f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f LEFT JOIN buckets b ON b.id = f.bucket_id WHERE f.id IN (SELECT unhex(value) FROM json_each(?)) ORDER BY f.id;

-- The parts of such files.
-- name: PartsOfFiles
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums, owner
FROM parts WHERE owner IN (SELECT unhex(value) FROM json_each(?)) AND state <> 3 ORDER BY owner, number LIMIT ?;

-- name: FilesAfter
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at, f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f LEFT JOIN buckets b ON b.id = f.bucket_id WHERE f.id > ? AND f.state = 2 ORDER BY f.id LIMIT ?;

-- name: RestoreBucket
INSERT INTO buckets (name, created_at, survive) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET created_at = ?2, survive = ?3;

-- name: NeedBucket
INSERT INTO buckets (name, created_at, survive) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING;

-- name: NeedBucketOf
INSERT INTO buckets (name, created_at, survive) SELECT ?1, created_at, ?3 FROM files WHERE id = ?2 ON CONFLICT (name) DO NOTHING;

-- name: EraseDocuments
DELETE FROM bucket_documents WHERE bucket_id = (SELECT id FROM buckets WHERE name = ?);

-- name: EraseBucket
DELETE FROM buckets WHERE name = ? AND NOT EXISTS (SELECT 1 FROM files f WHERE f.bucket_id = buckets.id);

-- Makes the latest file of the key not latest, if the file ?3 is another one of the key.
-- name: HideOthers
UPDATE files SET latest = 0 WHERE bucket_id = (SELECT id FROM buckets WHERE name = ?1) AND key = ?2 AND latest = 1 AND id <> ?3
  AND EXISTS (SELECT 1 FROM files f WHERE f.id = ?3 AND f.bucket_id = files.bucket_id AND f.key = ?2);

-- name: HideKey
UPDATE files SET latest = 0 WHERE bucket_id = (SELECT id FROM buckets WHERE name = ?) AND key = ? AND latest = 1;

-- name: ShowRestored
UPDATE files SET latest = 1 WHERE bucket_id = (SELECT id FROM buckets WHERE name = ?1) AND key = ?2 AND id = ?3;

-- name: MoveRestored
UPDATE files SET bucket_id = (SELECT id FROM buckets WHERE name = ?), key = ?, latest = 0, changed_by = ?, seq = ? WHERE id = ?;

-- name: EraseParts
DELETE FROM parts WHERE owner = ?;

-- Counts the complete file ?1 in the usage of its bucket, or with ?2 = -1 no longer.
-- name: CountFile
UPDATE buckets SET bytes = bytes + ?2 * f.size, files = files + ?2 FROM files f WHERE f.id = ?1 AND f.state = 2 AND buckets.id = f.bucket_id;
