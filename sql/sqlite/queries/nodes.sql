-- name: EnsureCluster
INSERT INTO cluster (only_row, id, epoch) VALUES (1, ?, 0) ON CONFLICT DO NOTHING;

-- name: Cluster
SELECT id, epoch FROM cluster;

-- name: NextEpoch
UPDATE cluster SET epoch = epoch + 1;

-- name: Members
SELECT id, name, address, zone, weight, state, joined_at, last_beat,
       capacity_total, capacity_used, capacity_free, capacity_chunks, disk_state, disk_reason, version
FROM nodes ORDER BY name, id;

-- name: Node
SELECT state, address, zone, weight FROM nodes WHERE id = ?;

-- name: NodeNamed
SELECT id FROM nodes WHERE name = ? AND state <> 3;

-- name: SaveNode
INSERT INTO nodes (id, name, address, zone, weight, state, joined_at, last_beat,
                   capacity_total, capacity_used, capacity_free, capacity_chunks, version, disk_state, disk_reason)
VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (id) DO UPDATE SET name = ?2, address = ?3, zone = ?4, weight = ?5, last_beat = ?6,
    capacity_total = ?7, capacity_used = ?8, capacity_free = ?9, capacity_chunks = ?10, version = ?11,
    disk_state = ?12, disk_reason = ?13;

-- name: BeatNode
UPDATE nodes SET last_beat = ?, capacity_total = ?, capacity_used = ?, capacity_free = ?, capacity_chunks = ?,
    disk_state = ?, disk_reason = ?
WHERE id = ? AND state <> 3;

-- name: SetNodeState
UPDATE nodes SET state = ? WHERE id = ?;
