-- name: AppendEvent
WITH numbered AS (
    UPDATE event_head SET seq = seq + 1 RETURNING seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered RETURNING seq;

-- The number of the last event, that of the last one that was removed, and the events after a number; or one row without an event.
-- name: EventsAfter
SELECT h.seq, coalesce((SELECT min(seq) - 1 FROM events), h.seq), e.seq, e.happened_at, e.kind, e.severity, e.subject, e.message, e.attrs, e.caller
FROM event_head h LEFT JOIN LATERAL (
    SELECT * FROM events WHERE seq > $1 ORDER BY seq ASC LIMIT $2
) AS e ON true
ORDER BY e.seq ASC;

-- Events older than an age, and all but a number of the newest, the oldest first. Without an age or a number it is null. Times
-- may step back, so the first event that is young enough ends it.
-- name: TrimEvents
DELETE FROM events WHERE seq < (SELECT min(seq) FROM events) + $3::bigint
   AND (seq <= (SELECT h.seq - $2::bigint FROM event_head h)
        OR ($1::interval IS NOT NULL
            AND seq < coalesce((SELECT min(seq) FROM events WHERE happened_at >= clock_timestamp() - $1::interval), 9223372036854775807)));
