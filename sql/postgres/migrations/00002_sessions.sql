-- +goose Up

-- Sessions as they are used. Sessions of a bucket are listed by id, not by key.
ALTER TABLE sessions DROP COLUMN wants_sha256;
ALTER TABLE sessions ADD COLUMN want_crc64 bigint; -- null: nobody said
ALTER TABLE sessions ADD COLUMN tag text NOT NULL DEFAULT '';

DROP INDEX sessions_by_key;
CREATE INDEX sessions_of_bucket ON sessions (bucket_id, id);

-- The time at which a session expires slides on with its parts, in a row of its own: the session's row never
-- changes, and so can be locked by many who add to it, and against them by who ends it.
CREATE TABLE session_expiries (
    session_id uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

INSERT INTO session_expiries (session_id, expires_at) SELECT id, expires_at FROM sessions;
CREATE INDEX session_expiries_by_time ON session_expiries (expires_at);
DROP INDEX sessions_by_expiry;
ALTER TABLE sessions DROP COLUMN expires_at;

-- Parts of sessions that are on their way, and where to.
CREATE TABLE session_attempts (
    part_id    uuid        PRIMARY KEY,
    session_id uuid        NOT NULL,
    k          smallint    NOT NULL,
    m          smallint    NOT NULL,
    nodes      bytea       NOT NULL, -- 16 bytes a chunk, by index
    begun_at   timestamptz NOT NULL,
    CONSTRAINT session_attempts_placements CHECK (length(nodes) = 16 * (k + m))
);

CREATE INDEX session_attempts_of_session ON session_attempts (session_id);
