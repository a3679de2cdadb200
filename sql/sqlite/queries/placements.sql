-- name: Part
SELECT id, number, size, k, m, unit_size, crc64, nodes, sums FROM parts WHERE id = ?;

-- name: FileOfPart
SELECT file_id FROM parts WHERE id = ?;

-- name: PartsAfter
SELECT p.id, p.number, p.size, p.k, p.m, p.unit_size, p.crc64, p.nodes, p.sums
FROM parts p CROSS JOIN files f ON f.id = p.file_id -- CROSS: in this order, or SQLite walks over all files
WHERE p.id > ? AND f.state = 2 ORDER BY p.id LIMIT ?;

-- name: PlaceChunks
UPDATE parts SET nodes = ?, sums = ? WHERE id = ?;

-- A task that nobody has claimed yet is taken off the queue.
-- name: CallOff
DELETE FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ? AND attempts = 0;

-- name: IsQueued
SELECT EXISTS (SELECT 1 FROM tasks WHERE kind = ? AND part_id = ? AND idx = ? AND node_id = ?);

-- name: FinishRepairs
DELETE FROM tasks WHERE kind = 2 AND part_id = ? AND idx = ?;
