-- The job, its event and the wake-up. No row: there is such a job already.
-- name: CreateJob
WITH created AS (
    INSERT INTO jobs (id, kind, target, args, state, created_by, created_at, updated_at)
    VALUES (@id, @kind, @target, @args, 1, @created_by, now(), now())
    ON CONFLICT DO NOTHING
    RETURNING created_at
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM created RETURNING event_head.seq
), noted AS (
    INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
    SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered
    RETURNING seq
), woken AS (
    INSERT INTO wakeups (loop, woken) SELECT @loop::text, 1 FROM noted WHERE @wakes::boolean
    ON CONFLICT (loop) DO UPDATE SET woken = wakeups.woken + 1
)
SELECT created_at FROM created;

-- The job that keeps another from being created.
-- name: SameJob
SELECT id FROM jobs WHERE id = $1 UNION ALL SELECT id FROM jobs WHERE kind = $2 AND target = $3 AND state <= 3 LIMIT 1;

-- name: Job
SELECT id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
       resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at, revision, clock_timestamp()
FROM jobs WHERE id = $1;

-- Replaces the revision of a job by the next, with the event and the wake-up. 0: it is not that revision any more.
-- name: UpdateJob
WITH changed AS (
    UPDATE jobs SET state = @state, wish = @wish, done_items = @done_items, done_bytes = @done_bytes, total_items = @total_items, total_bytes = @total_bytes,
                    rate_items = @rate_items, rate_bytes = @rate_bytes, resume_from = @resume_from, owner = @owner, term = @term, reason = @reason,
                    started_at = @started_at, updated_at = @updated_at, ended_at = @ended_at, revision = revision + 1
    WHERE id = @id AND revision = @revision
    RETURNING id
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM changed WHERE @tells::boolean RETURNING event_head.seq
), noted AS (
    INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
    SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered
    RETURNING seq
), woken AS (
    INSERT INTO wakeups (loop, woken) SELECT @loop::text, 1 FROM noted WHERE @wakes::boolean
    ON CONFLICT (loop) DO UPDATE SET woken = wakeups.woken + 1
)
SELECT count(*) FROM changed;

-- name: ListJobs
SELECT id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
       resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at, revision, clock_timestamp()
FROM jobs WHERE id > $1 AND state = ANY ($2::smallint[]) ORDER BY id ASC LIMIT $3;

-- name: ListJobsDown
SELECT id, kind, target, args, state, wish, done_items, done_bytes, total_items, total_bytes, rate_items, rate_bytes,
       resume_from, owner, term, reason, created_by, created_at, started_at, updated_at, ended_at, revision, clock_timestamp()
FROM jobs WHERE id < $1 AND state = ANY ($2::smallint[]) ORDER BY id DESC LIMIT $3;

-- Ended jobs that ended longer ago than an age, or are not among the newest. Without an age or a number it is null.
-- name: TrimJobs
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE state > 3
       AND (ended_at < clock_timestamp() - $1::interval
            OR ($2::bigint IS NOT NULL AND id IN (SELECT id FROM jobs WHERE state > 3 ORDER BY ended_at DESC, id DESC OFFSET $2::bigint)))
    ORDER BY ended_at ASC, id ASC LIMIT $3
);
