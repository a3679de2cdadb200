-- name: AcquireLease
INSERT INTO leases (name, owner, term, expires_at) VALUES (?1, ?2, 1, ?4)
ON CONFLICT (name) DO UPDATE SET owner = ?2, term = term + 1, expires_at = ?4
WHERE leases.owner = ?2 OR leases.expires_at <= ?3
RETURNING term;

-- name: LeaseOwner
SELECT owner FROM leases WHERE name = ?;

-- name: RenewLease
UPDATE leases SET expires_at = ?5 WHERE name = ?1 AND owner = ?2 AND term = ?3 AND expires_at > ?4;

-- name: ReleaseLease
UPDATE leases SET expires_at = 0 WHERE name = ? AND owner = ? AND term = ?;
