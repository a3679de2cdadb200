-- name: InsertJob
INSERT INTO jobs (id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
                  resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21);

-- name: UpdateJob
UPDATE jobs SET state = ?5, wish = ?6, done_items = ?7, done_bytes = ?8, total_items = ?9, total_bytes = ?10, rate_items = ?11, rate_bytes = ?12,
                resume_from = ?13, owner = ?14, term = ?15, reason = ?16, started_at = ?19, updated_at = ?20, ended_at = ?21
WHERE id = ?1;

-- The job that keeps another from being created.
-- name: SameJob
SELECT id FROM jobs WHERE id = ?1 OR (kind = ?2 AND target = ?3 AND state <= 3);

-- name: Job
SELECT id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
       resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at
FROM jobs WHERE id = ?;

-- The states are bits: 2 to the power of the state.
-- name: ListJobs
SELECT id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
       resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at
FROM jobs WHERE id > ? AND (1 << state) & ? <> 0 ORDER BY id LIMIT ?;

-- name: ListJobsDown
SELECT id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
       resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at
FROM jobs WHERE id < ? AND (1 << state) & ? <> 0 ORDER BY id DESC LIMIT ?;

-- Ended jobs that ended before a time, or are not among the newest.
-- name: TrimJobs
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE state > 3 AND (ended_at < ?1 OR id IN (SELECT id FROM jobs WHERE state > 3 ORDER BY ended_at DESC, id DESC LIMIT -1 OFFSET ?2))
    ORDER BY ended_at, id LIMIT ?3
);
