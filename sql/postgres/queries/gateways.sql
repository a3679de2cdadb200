-- name: BeatGateway
INSERT INTO gateways (name, version, schema_min, schema_max, started_at, last_beat)
VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET version = excluded.version, schema_min = excluded.schema_min, schema_max = excluded.schema_max,
    last_beat = excluded.last_beat;

-- name: ForgetGateways
DELETE FROM gateways WHERE last_beat < clock_timestamp() - $1::interval;

-- name: ListGateways
SELECT name, version, schema_min, schema_max, started_at, clock_timestamp() - last_beat FROM gateways;

-- name: RemoveGateway
DELETE FROM gateways WHERE name = $1;
