-- name: BeatGateway
INSERT INTO gateways (name, version, schema_min, schema_max, started_at, last_beat) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON CONFLICT (name) DO UPDATE SET version = ?2, schema_min = ?3, schema_max = ?4, last_beat = ?5;

-- name: ForgetGateways
DELETE FROM gateways WHERE last_beat < ?;

-- name: ListGateways
SELECT name, version, schema_min, schema_max, started_at, last_beat FROM gateways ORDER BY name;

-- name: RemoveGateway
DELETE FROM gateways WHERE name = ?;
