-- name: EnsureCluster
INSERT INTO cluster (id, epoch) VALUES ($1, 0) ON CONFLICT DO NOTHING;

-- Only before the first node: the epoch counts the changes of the membership.
-- name: AdoptCluster
UPDATE cluster SET id = $1 WHERE id = $1 OR epoch = 0;

-- Every change of membership locks this row first, so that they are serialized.
-- name: LockCluster
SELECT epoch FROM cluster FOR UPDATE;

-- The event is one of two: that of a new node, or that of a changed one. The row of a node that joins again
-- unchanged stays as it is.
-- name: JoinNode
WITH known AS (
    SELECT id, state FROM nodes WHERE id = @id
), same AS (
    SELECT id FROM nodes WHERE id = @id AND address = @address AND COALESCE(desired_zone, @zone) = COALESCE(desired_zone, zone)
                           AND COALESCE(desired_weight, @weight) = COALESCE(desired_weight, weight)
), joined AS (
    INSERT INTO nodes (id, name, address, zone, weight, state, joined_at)
    VALUES (@id, @name, @address, @zone, @weight, 1, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, address = excluded.address, zone = excluded.zone, weight = excluded.weight
    WHERE nodes.state <> 3 AND (nodes.name <> excluded.name OR nodes.address <> excluded.address
                                OR nodes.zone <> excluded.zone OR nodes.weight <> excluded.weight)
    RETURNING id
), beaten AS (
    INSERT INTO heartbeats (node_id, last_beat, capacity_total, capacity_used, capacity_free, capacity_chunks,
                            version, data_port, disk_state, disk_reason)
    SELECT @id::uuid, clock_timestamp(), @total::bigint, @used::bigint, @free::bigint, @chunks::bigint,
           @version::text, @data_port::smallint, @disk_state::smallint, @disk_reason::text
    WHERE NOT EXISTS (SELECT FROM known WHERE state = 3)
    ON CONFLICT (node_id) DO UPDATE SET
        last_beat = excluded.last_beat, capacity_total = excluded.capacity_total, capacity_used = excluded.capacity_used,
        capacity_free = excluded.capacity_free, capacity_chunks = excluded.capacity_chunks, version = excluded.version,
        data_port = excluded.data_port, disk_state = excluded.disk_state, disk_reason = excluded.disk_reason
), grown AS (
    UPDATE cluster SET epoch = epoch + 1 WHERE EXISTS (SELECT FROM joined) AND NOT EXISTS (SELECT FROM same) RETURNING epoch
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM grown RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), CASE WHEN EXISTS (SELECT FROM known) THEN @changed::text ELSE @event::text END, @severity::smallint, @subject::text,
       CASE WHEN EXISTS (SELECT FROM known) THEN @changed_message::text ELSE @message::text END, @attrs::jsonb, @caller::text
FROM numbered;

-- name: Members
SELECT c.id, c.epoch, clock_timestamp(), n.id, n.name, n.address, n.zone, n.weight, n.desired_zone, n.desired_weight, n.state,
       n.joined_at, h.last_beat,
       h.capacity_total, h.capacity_used, h.capacity_free, h.capacity_chunks,
       h.disk_state, h.disk_reason, h.version, h.data_port
FROM cluster c LEFT JOIN (nodes n JOIN heartbeats h ON h.node_id = n.id) ON true;

-- Returns the nodes that are known. Rows are locked in one order, so that gateways do not deadlock; those of nodes are
-- not, so that no heartbeat waits for a change of the membership.
-- name: BeatNodes
WITH known AS MATERIALIZED (
    SELECT h.node_id AS id FROM heartbeats h JOIN nodes n ON n.id = h.node_id
    WHERE h.node_id = ANY ($1::uuid[]) AND n.state <> 3 ORDER BY h.node_id FOR UPDATE OF h
), beaten AS (
    UPDATE heartbeats SET last_beat = now(), capacity_total = b.total, capacity_used = b.used,
                          capacity_free = b.free, capacity_chunks = b.chunks, disk_state = b.state, disk_reason = b.reason
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[])
             AS b (id, total, used, free, chunks, state, reason), known
    WHERE heartbeats.node_id = known.id AND b.id = known.id
)
SELECT id FROM known;

-- name: NodeState
SELECT state FROM nodes WHERE id = $1;

-- name: SetNodeState
WITH changed AS (
    UPDATE nodes SET state = @state WHERE id = @id AND state <> 3 AND state <> @state RETURNING id
), grown AS (
    UPDATE cluster SET epoch = epoch + 1 WHERE EXISTS (SELECT FROM changed) RETURNING epoch
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM grown RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;

-- The epoch grows only where the effective zone or weight differs.
-- name: SetNodeDesired
WITH before AS (
    SELECT COALESCE(desired_zone, zone) AS zone, COALESCE(desired_weight, weight) AS weight FROM nodes WHERE id = @id
), changed AS (
    UPDATE nodes SET desired_zone = @zone::text, desired_weight = @weight::integer
    WHERE id = @id AND state <> 3 AND (desired_zone IS DISTINCT FROM @zone::text OR desired_weight IS DISTINCT FROM @weight::integer)
    RETURNING COALESCE(desired_zone, zone) AS zone, COALESCE(desired_weight, weight) AS weight
), grown AS (
    UPDATE cluster SET epoch = epoch + 1
    WHERE EXISTS (SELECT FROM changed c JOIN before b ON c.zone <> b.zone OR c.weight <> b.weight)
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM changed RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;
