-- +goose Up

-- Sessions as they are used: with the checksum that the file must have, and
-- with what has been received, which every part that is saved adds to.
ALTER TABLE sessions DROP COLUMN wants_sha256;
ALTER TABLE sessions ADD COLUMN want_crc64 INTEGER; -- null: nobody said
ALTER TABLE sessions ADD COLUMN tag TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN received INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET received = (SELECT coalesce(sum(p.size), 0) FROM session_parts p WHERE p.session_id = sessions.id);

-- Sessions of a bucket are listed by id, not by key.
DROP INDEX sessions_by_key;
CREATE INDEX sessions_of_bucket ON sessions (bucket_id, id);

-- Parts of sessions that are on their way, and where to.
CREATE TABLE session_attempts (
    part_id    BLOB    PRIMARY KEY,
    session_id BLOB    NOT NULL,
    nodes      BLOB    NOT NULL, -- 16 bytes a chunk, by index
    begun_at   INTEGER NOT NULL,
    CHECK (length(nodes) % 16 = 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_attempts_of_session ON session_attempts (session_id);
