-- name: EnsureCluster
INSERT INTO cluster (id, epoch) VALUES ($1, 0) ON CONFLICT DO NOTHING;

-- Every change of membership locks this row first, so that they are serialized.
-- name: LockCluster
SELECT epoch FROM cluster FOR UPDATE;

-- name: JoinNode
WITH known AS (
    SELECT id FROM nodes WHERE id = $1 AND address = $3 AND zone = $4 AND weight = $5
), joined AS (
    INSERT INTO nodes (id, name, address, zone, weight, capacity_total, capacity_used, capacity_free, capacity_chunks,
                       disk_state, disk_reason, version, state, joined_at, last_beat)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, clock_timestamp(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, address = excluded.address, zone = excluded.zone, weight = excluded.weight,
        capacity_total = excluded.capacity_total, capacity_used = excluded.capacity_used,
        capacity_free = excluded.capacity_free, capacity_chunks = excluded.capacity_chunks,
        disk_state = excluded.disk_state, disk_reason = excluded.disk_reason,
        version = excluded.version, last_beat = excluded.last_beat
    WHERE nodes.state <> 3
    RETURNING id
)
UPDATE cluster SET epoch = epoch + 1 WHERE EXISTS (SELECT FROM joined) AND NOT EXISTS (SELECT FROM known);

-- name: Members
SELECT c.id, c.epoch, clock_timestamp(), n.id, n.name, n.address, n.zone, n.weight, n.state, n.joined_at, n.last_beat,
       n.capacity_total, n.capacity_used, n.capacity_free, n.capacity_chunks,
       n.disk_state, n.disk_reason, n.version
FROM cluster c LEFT JOIN nodes n ON true;

-- Returns the nodes that are known. Rows are locked in one order, so that gateways do not deadlock.
-- name: BeatNodes
WITH known AS MATERIALIZED (
    SELECT id FROM nodes WHERE id = ANY ($1::uuid[]) AND state <> 3 ORDER BY id FOR UPDATE
), beaten AS (
    UPDATE nodes SET last_beat = now(), capacity_total = b.total, capacity_used = b.used,
                     capacity_free = b.free, capacity_chunks = b.chunks, disk_state = b.state, disk_reason = b.reason
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[])
             AS b (id, total, used, free, chunks, state, reason), known
    WHERE nodes.id = known.id AND b.id = known.id
)
SELECT id FROM known;

-- name: NodeState
SELECT state FROM nodes WHERE id = $1;

-- name: SetNodeState
WITH changed AS (
    UPDATE nodes SET state = $2 WHERE id = $1 AND state <> 3 AND state <> $2 RETURNING id
)
UPDATE cluster SET epoch = epoch + 1 WHERE EXISTS (SELECT FROM changed);
