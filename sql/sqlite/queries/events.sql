-- name: NextEvent
UPDATE event_head SET seq = seq + 1 RETURNING seq;

-- name: InsertEvent
INSERT INTO events (seq, at, kind, severity, subject, message, attrs, caller) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- The number of the last event, and that of the last one that was removed.
-- name: EventHead
SELECT h.seq, coalesce((SELECT min(seq) - 1 FROM events), h.seq) FROM event_head h;

-- name: EventsAfter
SELECT seq, at, kind, severity, subject, message, attrs, caller FROM events WHERE seq > ? ORDER BY seq LIMIT ?;

-- Events before a time, and those up to a number, the oldest first. Times may step back, so the first event that is young enough ends it.
-- name: TrimEvents
DELETE FROM events WHERE seq < ?1 + ?4 AND (seq <= ?2 OR seq < coalesce((SELECT min(seq) FROM events WHERE at >= ?3), ?1 + ?4));
