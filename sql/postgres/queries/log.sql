-- Kind 1 is a tail, 3 the end of a snapshot.
-- name: LoggedTo
SELECT last FROM log_segments l WHERE kind IN (1, 3)
  AND EXISTS (SELECT FROM log_segments b WHERE b.log_id = l.log_id AND (b.kind = 3 OR b.kind = 1 AND b.first = 0))
ORDER BY last DESC LIMIT 1;

-- name: LogSegments
SELECT l.log_id, l.number, l.term, l.kind, l.grp, l.first, l.last,
       p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM log_segments l JOIN parts p ON p.id = l.part_id ORDER BY l.number;

-- name: PartOfLog
SELECT p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p JOIN log_segments l ON l.part_id = p.id WHERE p.id = $1 AND p.state = 2;

-- Fails the transaction with 22P02 where there is a segment of a later term than $1, or one whose number is not below $2, or a part with
-- one of the ids $3. Of two changes at the same time with the same number the second violates the primary key.
-- name: GuardLog
SELECT CAST(CASE
    WHEN EXISTS (SELECT FROM log_segments WHERE term > $1::bigint) THEN 'refused'
    WHEN EXISTS (SELECT FROM log_segments WHERE number >= $2::bigint) THEN 'refused'
    WHEN EXISTS (SELECT FROM parts WHERE id = ANY ($3::uuid[])) THEN 'refused'
    ELSE '0' END AS integer);

-- Adds a segment with its part, and queues its chunks that are not stored (indexes).
-- name: AddSegment
WITH part AS (
    INSERT INTO parts (owner, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums, state)
    VALUES (@id, @id, @number, @size, @k, @m, @unit_size, @crc, @nodes, @sums, @checksums, 2)
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason, chunks, priority)
    SELECT 2, @id, 0, '00000000-0000-0000-0000-000000000000', 'not written', @missing::bigint, @priority::smallint WHERE @missing::bigint <> 0
    ON CONFLICT DO NOTHING RETURNING kind, priority
), counted AS (
    INSERT INTO queue_changes (kind, priority, tasks) SELECT kind, priority, 1 FROM queued
)
INSERT INTO log_segments (number, log_id, term, kind, grp, first, last, part_id)
VALUES (@segment, @log, @term, @kind, @grp, @first, @last, @id);

-- Removes the segments of these numbers with their parts, and queues their chunks for reclaim.
-- name: RemoveSegments
WITH removed AS (
    DELETE FROM log_segments WHERE number = ANY ($1::bigint[]) RETURNING part_id
), dropped AS (
    DELETE FROM parts USING removed WHERE parts.id = removed.part_id RETURNING parts.id, parts.nodes, parts.k, parts.m
), queued AS (
    INSERT INTO tasks (kind, part_id, idx, node_id, reason)
    SELECT 1, c.id, c.idx, c.node_id, 'replaced segment of the metadata log'
    FROM (
        SELECT dropped.id, i AS idx, encode(substring(dropped.nodes FROM 16 * i + 1 FOR 16), 'hex')::uuid AS node_id
        FROM dropped, generate_series(0, dropped.k + dropped.m - 1) AS i
    ) AS c
    WHERE c.node_id <> '00000000-0000-0000-0000-000000000000'
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING RETURNING kind
)
INSERT INTO queue_changes (kind, priority, tasks) SELECT 1, 0, count(*) FROM queued HAVING count(*) > 0;

-- name: FilesByID
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f LEFT JOIN buckets b ON b.id = f.bucket_id WHERE f.id = ANY ($1::uuid[]) ORDER BY f.id;

-- name: FilesAfter
SELECT coalesce(b.name, ''), f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
FROM files f LEFT JOIN buckets b ON b.id = f.bucket_id WHERE f.id > $1 AND f.state + 0 = 2 ORDER BY f.id LIMIT $2;

-- name: PartsOfFiles
SELECT owner, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums
FROM parts WHERE owner = ANY ($1::uuid[]) AND state = 2 ORDER BY owner, number LIMIT $2;

-- Counts the complete file $1 in the usage of its bucket, or with $2 = -1 no longer.
-- name: CountFile
INSERT INTO bucket_usage (bucket_id, bytes, files)
SELECT bucket_id, $2::bigint * size, $2::bigint FROM files WHERE id = $1 AND state = 2
ON CONFLICT (bucket_id) DO UPDATE SET bytes = bucket_usage.bytes + excluded.bytes, files = bucket_usage.files + excluded.files;

-- name: EraseUsage
DELETE FROM bucket_usage USING buckets b
WHERE b.name = $1 AND bucket_usage.bucket_id = b.id AND NOT EXISTS (SELECT FROM files f WHERE f.bucket_id + 0 = b.id);

-- name: EraseParts
DELETE FROM parts WHERE owner = $1;

-- name: EraseFile
DELETE FROM files WHERE id = $1;

-- name: NeedBucket
INSERT INTO buckets (name, created_at, survive) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING;

-- name: NeedBucketOfFile
INSERT INTO buckets (name, created_at, survive) SELECT $1::text, created_at, $3::smallint FROM files WHERE id = $2 ON CONFLICT (name) DO NOTHING;

-- Makes the latest file of the key not latest, unless it is the file $3.
-- name: HideOthers
UPDATE files SET latest = false WHERE bucket_id = (SELECT id FROM buckets WHERE name = $1) AND key = $2 AND latest AND id <> $3;

-- name: HideOthersOfMoved
UPDATE files SET latest = false
WHERE bucket_id = (SELECT id FROM buckets WHERE name = $1) AND key = $2 AND latest AND id <> $3 AND EXISTS (SELECT FROM files f WHERE f.id = $3);

-- name: HideOthersOfShown
UPDATE files SET latest = false
WHERE bucket_id = (SELECT id FROM buckets WHERE name = $1) AND key = $2 AND latest AND id <> $3
  AND EXISTS (SELECT FROM files f WHERE f.id = $3 AND f.bucket_id = files.bucket_id AND f.key = $2);

-- name: ShowRestored
UPDATE files SET latest = true FROM buckets b WHERE b.name = $1 AND files.bucket_id = b.id AND files.key = $2 AND files.id = $3;

-- name: RestoreFile
INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker, created_at, completed_at, crc64, sha256, etag, meta, attributes, locked_until, changed_by, seq)
SELECT @id, b.id, @key, @size, @type, 2, @latest, @marker, @created, @completed, @crc, @sha, @etag, @meta, @attributes, @lock, @caller, @seq FROM buckets b WHERE b.name = @bucket;

-- name: RestoreAttributes
UPDATE files SET attributes = $2, locked_until = $3 WHERE id = $1;

-- name: RestoreParts
INSERT INTO parts (owner, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums, state)
SELECT p.*, 2
FROM unnest(@part_files::uuid[], @part_ids::uuid[], @numbers::integer[], @part_sizes::bigint[], @k::smallint[], @m::smallint[],
            @unit_sizes::integer[], @part_crcs::bigint[], @nodes::bytea[], @sums::bytea[], @checksums::bytea[])
     AS p (file_id, id, number, size, k, m, unit_size, crc64, nodes, sums, checksums);

-- name: MoveRestored
UPDATE files SET bucket_id = b.id, key = $2, latest = $4, changed_by = $5, seq = $6 FROM buckets b WHERE b.name = $1 AND files.id = $3;

-- name: RestoreBucket
INSERT INTO buckets (name, created_at, survive) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET created_at = $2, survive = $3;

-- name: RestoreDocument
INSERT INTO bucket_documents (bucket_id, kind, revision, body) SELECT id, $2, $3, $4 FROM buckets WHERE name = $1;

-- name: EraseDocuments
DELETE FROM bucket_documents USING buckets b WHERE b.name = $1 AND bucket_documents.bucket_id = b.id;

-- name: EraseBucket
DELETE FROM buckets WHERE name = $1 AND NOT EXISTS (SELECT FROM files f WHERE f.bucket_id + 0 = buckets.id);

-- Files that are completed from now on come after all that were restored, of which $1 is the highest.
-- name: SkipSeq
SELECT setval('file_seq', $1) FROM file_seq WHERE last_value < $1;
