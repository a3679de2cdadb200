-- name: SaveCredential
WITH saved AS (
    INSERT INTO credentials (access_key, sealed, note) VALUES (@access_key, @sealed, @note) RETURNING access_key
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM saved RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;

-- The other keys with the note, before ReplaceCredential.
-- name: EndCredentials
DELETE FROM credentials WHERE note = $2 AND access_key <> $1;

-- name: ReplaceCredential
WITH saved AS (
    INSERT INTO credentials (access_key, sealed, note) VALUES (@access_key, @sealed, @note)
    ON CONFLICT (access_key) DO UPDATE SET sealed = EXCLUDED.sealed, note = EXCLUDED.note, created_at = EXCLUDED.created_at
    RETURNING access_key
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM saved RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;

-- name: Credential
SELECT access_key, sealed, note, created_at FROM credentials WHERE access_key = $1;

-- name: ListCredentials
SELECT access_key, sealed, note, created_at FROM credentials;

-- name: DeleteCredential
WITH deleted AS (
    DELETE FROM credentials WHERE access_key = @access_key RETURNING access_key
), numbered AS (
    UPDATE event_head SET seq = event_head.seq + 1 FROM deleted RETURNING event_head.seq
)
INSERT INTO events (seq, happened_at, kind, severity, subject, message, attrs, caller)
SELECT seq, clock_timestamp(), @event::text, @severity::smallint, @subject::text, @message::text, @attrs::jsonb, @caller::text FROM numbered;
