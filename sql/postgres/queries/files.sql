-- A file with its first parts: as many as store.PartsPage, as in Parts, in no promised order: a step that sorts
-- costs more than the rest of the reading of one part. The name of the bucket is a look-up of its own,
-- because a join would copy every column once more. The deleted files of a deleted bucket have no bucket name.

-- name: File
SELECT coalesce((SELECT name FROM buckets b WHERE b.id = f.bucket_id), ''),
       f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes,
       f.marks, p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM files f LEFT JOIN LATERAL (SELECT * FROM parts WHERE owner = f.id AND state = 2 ORDER BY number LIMIT 64) AS p ON true
WHERE f.id = $1;

-- name: LatestFile
SELECT $1::text, f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
       f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes,
       f.marks, p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM files f LEFT JOIN LATERAL (SELECT * FROM parts WHERE owner = f.id AND state = 2 ORDER BY number LIMIT 64) AS p ON true
WHERE f.bucket_id = (SELECT id FROM buckets WHERE name = $1) AND f.key = $2 AND f.latest AND NOT f.delete_marker;

-- A page of the parts of a file, from a number on.
-- name: Parts
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts
WHERE owner = $1 AND state = 2 AND number >= $2 ORDER BY number LIMIT 64;

-- Only what differs among the latest files of a bucket: each column of each row costs both sides.
-- The last row, all nulls, stands for the bucket: a result without rows means that it does not exist.
-- name: ListObjects
(SELECT f.id, f.key, f.size, f.content_type, f.created_at, f.completed_at, f.crc64, f.sha256, f.etag, f.meta, f.changed_by, f.seq, f.attributes
 FROM files f
 WHERE f.bucket_id = (SELECT id FROM buckets WHERE name = $1) AND f.latest AND NOT f.delete_marker AND f.key >= $2 AND f.key < $3
 ORDER BY f.key LIMIT $4)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM buckets WHERE name = $1;

-- Steps from entry to entry: each step is one descent of the index, from next on.
-- $5 is the delimiter, $6 the least string after all that begin with it, $7 the prefix's length.
-- Row 0 stands for the bucket. A common prefix has no file. The order is not guaranteed.
-- name: ListObjectsByDelimiter
WITH RECURSIVE page (n, bucket_id, common, key, next) AS (
    SELECT 0, id, false, NULL::bytea, $2::bytea FROM buckets WHERE name = $1
    UNION ALL
    SELECT page.n + 1, page.bucket_id, cut.at > 0,
           CASE WHEN cut.at > 0 THEN substring(f.key FROM 1 FOR $7 + cut.at - 1 + length($5::bytea)) ELSE f.key END,
           CASE WHEN cut.at > 0 THEN substring(f.key FROM 1 FOR $7 + cut.at - 1) || $6::bytea ELSE f.key || '\x00' END
    FROM page
    CROSS JOIN LATERAL (
        SELECT files.key FROM files
        WHERE files.bucket_id = page.bucket_id AND latest AND NOT delete_marker AND files.key >= page.next AND files.key < $3
        ORDER BY files.key LIMIT 1
    ) AS f
    CROSS JOIN LATERAL (SELECT position($5::bytea IN substring(f.key FROM $7::integer + 1)) AS at) AS cut
    WHERE page.n < $4::integer
)
SELECT f.id, page.key, f.size, f.content_type, f.created_at, f.completed_at, f.crc64, f.sha256, f.etag, f.meta, f.changed_by, f.seq, f.attributes
FROM page LEFT JOIN files f
  ON f.bucket_id = page.bucket_id AND f.key = CASE WHEN NOT page.common THEN page.key END AND f.latest;

-- Replaces the attributes $2 of the complete file $1 by $3, of which the lock ends at $4. Returns why not: 1 it has other attributes, 2 the
-- lock that it has binds until $5, 0 they are replaced. $6 the caller.
-- name: SetAttributes
WITH target AS MATERIALIZED (
    SELECT id, bucket_id, key,
           CASE WHEN attributes IS DISTINCT FROM $2::bytea THEN 1 WHEN $5::timestamptz > now() THEN 2 ELSE 0 END AS refused
    FROM files WHERE id = $1 AND state = 2 FOR UPDATE
), changed AS (
    UPDATE files SET attributes = $3::bytea, locked_until = $4::timestamptz FROM target
    WHERE files.id = target.id AND target.refused = 0 RETURNING files.id
), recorded AS (
    INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
    SELECT target.bucket_id, 6, (SELECT name FROM buckets WHERE id = target.bucket_id), target.key, target.id,
           '00000000-0000-0000-0000-000000000000', 0, 0, $6::text, now()
    FROM target JOIN changed ON changed.id = target.id
)
SELECT refused FROM target;
