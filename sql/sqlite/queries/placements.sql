-- name: Part
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts WHERE id = ? AND state = 2;

-- The parts of a JSON array of ids in hexadecimal.
-- name: PartsByID
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums, checksums FROM parts
WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND state = 2 ORDER BY id;

-- name: OwnerOfPart
SELECT owner FROM parts WHERE id = ? AND state = 2;

-- name: SessionNames
SELECT b.name, s.key FROM sessions s JOIN buckets b ON b.id = s.bucket_id WHERE s.id = ?;

-- name: PartsAfter
SELECT p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums, p.checksums
FROM parts p LEFT JOIN files f ON f.id = p.owner
WHERE p.id > ? AND p.state = 2 AND (f.state IS NULL OR f.state = 2) ORDER BY p.id LIMIT ?;

-- name: Widen
UPDATE parts SET m = ?, nodes = ?, sums = ? WHERE id = ?;

-- name: PlaceChunks
UPDATE parts SET nodes = ?, sums = ? WHERE id = ?;

-- Removes a task that was never claimed.
-- name: CallOff
DELETE FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND attempts = 0;

-- name: IsQueued
SELECT EXISTS (SELECT 1 FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?);

-- Removes the chunk ?2, a bit, from the repair of its part.
-- name: DropRepair
UPDATE tasks SET chunks = chunks & ~?2, held = held & ~?2 WHERE kind = 2 AND part_id = ?1;

-- name: FinishRepair
DELETE FROM tasks WHERE kind = 2 AND part_id = ? AND chunks | held = 0;
