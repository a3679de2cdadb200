-- clock_timestamp, not now: the statement may wait for the row.

-- name: LockLease
SELECT owner FROM leases WHERE name = $1 FOR UPDATE;

-- Appends an event where the owner is another than the last one. The row is locked already, so the last owner is known.
-- name: AcquireLease
WITH before AS (
    SELECT owner FROM leases WHERE name = @name
), granted AS (
    INSERT INTO leases (name, owner, term, expires_at) VALUES (@name, @owner, 1, clock_timestamp() + @ttl::interval)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, term = leases.term + 1, expires_at = clock_timestamp() + @ttl::interval
    WHERE leases.owner = excluded.owner OR leases.expires_at <= clock_timestamp()
    RETURNING owner, term
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM granted WHERE NOT EXISTS (SELECT FROM before WHERE before.owner = granted.owner) RETURNING event_head.seq
), noted AS (
    INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
    SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered
    RETURNING seq
)
SELECT term FROM granted;

-- name: RenewLease
UPDATE leases SET expires_at = clock_timestamp() + $4::interval
WHERE name = $1 AND owner = $2 AND term = $3 AND expires_at > clock_timestamp();

-- The row stays, so that terms are never reused.
-- name: ReleaseLease
UPDATE leases SET expires_at = 'epoch' WHERE name = $1 AND owner = $2 AND term = $3;
