-- The newest revision, whether changes without a number were committed, and up to $2 changes after the revision $1. The first row is
-- there whatever else is. One statement sees changes_new and changes as they were at one time.
-- name: ChangesAfter
SELECT h.revision, EXISTS (SELECT FROM changes_new), c.revision, c.kind, c.bucket, c.key, c.file, c.seq, c.latest, c.bytes, c.files, c.caller, c.at
FROM change_head h LEFT JOIN LATERAL (
    SELECT * FROM changes WHERE changes.revision > $1 ORDER BY changes.revision LIMIT $2
) AS c ON true
ORDER BY c.revision;

-- Numbers wait for each other here: the next statement sees what the one before has numbered.
-- name: LockChangeHead
SELECT revision FROM change_head FOR UPDATE;

-- Numbers up to $1 committed changes by their ids, and adds them to the usage of their buckets. Returns how many. A bucket that is being
-- deleted is waited for, so that no usage is left of it.
-- name: NumberChanges
WITH taken AS (
    DELETE FROM changes_new WHERE id IN (SELECT id FROM changes_new ORDER BY id LIMIT $1)
    RETURNING id, bucket_id, kind, bucket, key, file, seq, latest, bytes, files, caller, at
), numbered AS (
    INSERT INTO changes (revision, kind, bucket, key, file, seq, latest, bytes, files, caller, at)
    SELECT change_head.revision + row_number() OVER (ORDER BY taken.id), kind, bucket, key, file, seq, latest, bytes, files, caller, at
    FROM taken CROSS JOIN change_head
), holders AS MATERIALIZED (
    SELECT id FROM buckets WHERE id IN (SELECT bucket_id FROM taken) ORDER BY id FOR KEY SHARE
), counted AS (
    INSERT INTO bucket_usage (bucket_id, bytes, files)
    SELECT holders.id, sum(taken.bytes)::bigint, sum(taken.files)::bigint FROM holders JOIN taken ON taken.bucket_id = holders.id GROUP BY holders.id
    ON CONFLICT (bucket_id) DO UPDATE SET bytes = bucket_usage.bytes + excluded.bytes, files = bucket_usage.files + excluded.files
), advanced AS (
    UPDATE change_head SET revision = revision + (SELECT count(*) FROM taken) WHERE EXISTS (SELECT FROM taken)
)
SELECT count(*) FROM taken;

-- name: Usage
SELECT coalesce(u.bytes, 0) + added.bytes, coalesce(u.files, 0) + added.files
FROM buckets b LEFT JOIN bucket_usage u ON u.bucket_id = b.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.bytes), 0)::bigint AS bytes, coalesce(sum(c.files), 0)::bigint AS files FROM changes_new c WHERE c.bucket_id = b.id
) AS added
WHERE b.name = $1;

-- name: Usages
SELECT b.name, coalesce(u.bytes, 0) + coalesce(added.bytes, 0), coalesce(u.files, 0) + coalesce(added.files, 0)
FROM buckets b LEFT JOIN bucket_usage u ON u.bucket_id = b.id
LEFT JOIN (
    SELECT bucket_id, sum(bytes)::bigint AS bytes, sum(files)::bigint AS files FROM changes_new GROUP BY bucket_id
) AS added ON added.bucket_id = b.id;

-- Of the $1 oldest changes removes those up to the last that was made $2 ago or earlier (null: none was), or has a revision of at least
-- $3 less than the newest (0: none has).
-- name: TrimChanges
DELETE FROM changes WHERE revision <= (
    SELECT max(c.revision) FROM (SELECT revision, at FROM changes ORDER BY revision LIMIT $1) AS c CROSS JOIN change_head h
    WHERE c.at <= now() - $2::interval OR $3::bigint > 0 AND c.revision <= h.revision - $3
);
