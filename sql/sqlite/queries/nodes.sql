-- name: EnsureCluster
INSERT INTO cluster (only_row, id, epoch) VALUES (1, ?, 0) ON CONFLICT DO NOTHING;

-- Only before the first node: the epoch counts the changes of the membership.
-- name: AdoptCluster
UPDATE cluster SET id = ?1 WHERE id = ?1 OR epoch = 0;

-- name: Cluster
SELECT id, epoch FROM cluster;

-- name: NextEpoch
UPDATE cluster SET epoch = epoch + 1;

-- name: Members
SELECT id, name, address, zone, weight, desired_zone, desired_weight, state, joined_at, last_beat,
       capacity_total, capacity_used, capacity_free, capacity_chunks, disk_state, disk_reason, version, data_port
FROM nodes JOIN heartbeats ON node_id = id ORDER BY name, id;

-- name: Node
SELECT state, address, zone, weight, desired_zone, desired_weight FROM nodes WHERE id = ?;

-- name: NodeNamed
SELECT id FROM nodes WHERE name = ? AND state <> 3;

-- The row of a node that joins again unchanged stays as it is.
-- name: SaveNode
INSERT INTO nodes (id, name, address, zone, weight, state, joined_at)
VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)
ON CONFLICT (id) DO UPDATE SET name = ?2, address = ?3, zone = ?4, weight = ?5
WHERE name <> ?2 OR address <> ?3 OR zone <> ?4 OR weight <> ?5;

-- name: FirstBeat
INSERT INTO heartbeats (node_id, last_beat, capacity_total, capacity_used, capacity_free, capacity_chunks, version, disk_state, disk_reason, data_port)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (node_id) DO UPDATE SET last_beat = ?2, capacity_total = ?3, capacity_used = ?4, capacity_free = ?5, capacity_chunks = ?6,
    version = ?7, disk_state = ?8, disk_reason = ?9, data_port = ?10;

-- name: BeatNode
UPDATE heartbeats SET last_beat = ?, capacity_total = ?, capacity_used = ?, capacity_free = ?, capacity_chunks = ?,
    disk_state = ?, disk_reason = ?
WHERE node_id = ? AND EXISTS (SELECT 1 FROM nodes WHERE id = node_id AND state <> 3);

-- name: SetNodeState
UPDATE nodes SET state = ? WHERE id = ?;

-- name: SetNodeDesired
UPDATE nodes SET desired_zone = ?, desired_weight = ? WHERE id = ?;
