-- clock_timestamp, not now: the statement may wait for the row.

-- name: AcquireLease
INSERT INTO leases (name, owner, term, expires_at) VALUES ($1, $2, 1, clock_timestamp() + $3::interval)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, term = leases.term + 1, expires_at = clock_timestamp() + $3::interval
WHERE leases.owner = excluded.owner OR leases.expires_at <= clock_timestamp()
RETURNING term;

-- name: RenewLease
UPDATE leases SET expires_at = clock_timestamp() + $4::interval
WHERE name = $1 AND owner = $2 AND term = $3 AND expires_at > clock_timestamp();

-- The row stays, so that terms are never reused.
-- name: ReleaseLease
UPDATE leases SET expires_at = 'epoch' WHERE name = $1 AND owner = $2 AND term = $3;
