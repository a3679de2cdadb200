-- name: LogSegments
SELECT l.log_id, l.number, l.term, l.kind, l.grp, l.first, l.last, l.written_at,
       p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums
FROM log_segments l JOIN parts p ON p.id = l.part_id ORDER BY l.number;

-- name: NewestSegment
SELECT coalesce(max(term), 0), coalesce(max(number), 0) FROM log_segments;

-- name: InsertSegment
INSERT INTO log_segments (number, log_id, term, kind, grp, first, last, written_at, part_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: RemoveSegment
DELETE FROM log_segments WHERE number = ? RETURNING part_id;

-- name: RemovePart
DELETE FROM parts WHERE id = ? RETURNING id, nodes;

-- name: FilesAfter
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at, f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq
FROM files f LEFT JOIN buckets b ON b.id = f.bucket_id WHERE f.id > ? AND f.state = 2 ORDER BY f.id LIMIT ?;

-- name: RestoreBucket
INSERT INTO buckets (name, created_at, survive) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET created_at = ?2, survive = ?3;

-- name: NeedBucket
INSERT INTO buckets (name, created_at, survive) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING;

-- name: BucketHasFiles
SELECT EXISTS (SELECT 1 FROM files f JOIN buckets b ON b.id = f.bucket_id WHERE b.name = ?);

-- name: EraseBucket
DELETE FROM buckets WHERE name = ?;

-- name: HideOthers
UPDATE files SET latest = 0 WHERE bucket_id = ? AND key = ? AND latest = 1 AND id <> ?;

-- name: MoveRestored
UPDATE files SET bucket_id = ?, key = ?, latest = ?, changed_by = ?, seq = ? WHERE id = ?;
