-- Files of state $2 in the bucket $1 (null: all) by time of creation, after the file created at $5 with the id $6, $3 skipped, at most $4.
-- Each bucket contributes its first files, by index; the buckets are merged.
-- name: ListFilesByTime
SELECT b.name, f.*
FROM buckets b CROSS JOIN LATERAL (
    SELECT f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM files f
    WHERE f.bucket_id + 0 = b.id AND f.state = $2 AND NOT f.delete_marker AND (f.created_at, f.id) > ($5::timestamptz, $6::uuid)
    ORDER BY f.created_at, f.id LIMIT $3::bigint + $4::bigint
) AS f
WHERE $1::text IS NULL OR b.name = $1
ORDER BY f.created_at, f.id OFFSET $3::bigint LIMIT $4::bigint;

-- name: ListFilesByTimeDown
SELECT b.name, f.*
FROM buckets b CROSS JOIN LATERAL (
    SELECT f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM files f
    WHERE f.bucket_id + 0 = b.id AND f.state = $2 AND NOT f.delete_marker AND (f.created_at, f.id) < ($5::timestamptz, $6::uuid)
    ORDER BY f.created_at DESC, f.id DESC LIMIT $3::bigint + $4::bigint
) AS f
WHERE $1::text IS NULL OR b.name = $1
ORDER BY f.created_at DESC, f.id DESC OFFSET $3::bigint LIMIT $4::bigint;

-- How many files, up to $4, have a key with $2 <= key < $3 in the bucket $1 (null: all).
-- name: CountByKey
SELECT count(*) FROM (
    SELECT FROM buckets b CROSS JOIN LATERAL (
        SELECT FROM files f WHERE f.bucket_id = b.id AND f.latest AND f.key >= $2 AND f.key < $3
        UNION ALL
        SELECT FROM files f WHERE f.bucket_id = b.id AND NOT f.latest AND f.key >= $2 AND f.key < $3
    ) AS f
    WHERE $1::text IS NULL OR b.name = $1 LIMIT $4::bigint
) AS matching;

-- The same for files with $7 <= key < $8: finds them by key, and sorts; CountByKey bounds their number.
-- name: ListFilesByKey
SELECT b.name, f.*
FROM buckets b CROSS JOIN LATERAL (
    SELECT f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM files f WHERE f.bucket_id = b.id AND f.latest AND f.key >= $7 AND f.key < $8 AND f.state = $2 AND NOT f.delete_marker
    UNION ALL
    SELECT f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM files f WHERE f.bucket_id = b.id AND NOT f.latest AND f.key >= $7 AND f.key < $8 AND f.state = $2 AND NOT f.delete_marker
) AS f
WHERE ($1::text IS NULL OR b.name = $1) AND (f.created_at, f.id) > ($5::timestamptz, $6::uuid)
ORDER BY f.created_at, f.id OFFSET $3::bigint LIMIT $4::bigint;

-- name: ListFilesByKeyDown
SELECT b.name, f.*
FROM buckets b CROSS JOIN LATERAL (
    SELECT f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM files f WHERE f.bucket_id = b.id AND f.latest AND f.key >= $7 AND f.key < $8 AND f.state = $2 AND NOT f.delete_marker
    UNION ALL
    SELECT f.id, f.key, f.size, f.content_type, f.state, f.latest, f.delete_marker, f.created_at, f.completed_at,
           f.crc64, f.sha256, f.etag, f.meta, f.failure, f.changed_by, f.seq, f.attributes
    FROM files f WHERE f.bucket_id = b.id AND NOT f.latest AND f.key >= $7 AND f.key < $8 AND f.state = $2 AND NOT f.delete_marker
) AS f
WHERE ($1::text IS NULL OR b.name = $1) AND (f.created_at, f.id) < ($5::timestamptz, $6::uuid)
ORDER BY f.created_at DESC, f.id DESC OFFSET $3::bigint LIMIT $4::bigint;
