-- name: EnsureCluster
INSERT INTO cluster (id, epoch) VALUES ($1, 0) ON CONFLICT DO NOTHING;

-- Every change of membership locks this row first, so that they are serialized.
-- name: LockCluster
SELECT epoch FROM cluster FOR UPDATE;

-- The event is one of two: that of a new node, or that of a changed one.
-- name: JoinNode
WITH known AS (
    SELECT id FROM nodes WHERE id = @id
), same AS (
    SELECT id FROM nodes WHERE id = @id AND address = @address AND zone = @zone AND weight = @weight
), joined AS (
    INSERT INTO nodes (id, name, address, zone, weight, capacity_total, capacity_used, capacity_free, capacity_chunks,
                       disk_state, disk_reason, version, state, joined_at, last_beat)
    VALUES (@id, @name, @address, @zone, @weight, @total, @used, @free, @chunks, @disk_state, @disk_reason, @version, 1, clock_timestamp(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, address = excluded.address, zone = excluded.zone, weight = excluded.weight,
        capacity_total = excluded.capacity_total, capacity_used = excluded.capacity_used,
        capacity_free = excluded.capacity_free, capacity_chunks = excluded.capacity_chunks,
        disk_state = excluded.disk_state, disk_reason = excluded.disk_reason,
        version = excluded.version, last_beat = excluded.last_beat
    WHERE nodes.state <> 3
    RETURNING id
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
    UPDATE nodes SET state = @state WHERE id = @id AND state <> 3 AND state <> @state RETURNING id
), grown AS (
    UPDATE cluster SET epoch = epoch + 1 WHERE EXISTS (SELECT FROM changed) RETURNING epoch
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM grown RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;
