-- +goose Up

-- Explained in docs/format/sqlite-schema.md. Times are microseconds since 1970,
-- keys are blobs, so that they compare as bytes.

CREATE TABLE cluster (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id       BLOB    NOT NULL,
    epoch    INTEGER NOT NULL
) STRICT;

CREATE TABLE buckets (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    survive    INTEGER NOT NULL
) STRICT;

CREATE TABLE files (
    id            BLOB    PRIMARY KEY,
    bucket_id     INTEGER NOT NULL,
    key           BLOB    NOT NULL,
    size          INTEGER NOT NULL,
    content_type  TEXT    NOT NULL,
    state         INTEGER NOT NULL,
    latest        INTEGER NOT NULL,
    delete_marker INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    completed_at  INTEGER NOT NULL, -- 0 before
    crc64         INTEGER NOT NULL,
    sha256        BLOB,
    etag          TEXT    NOT NULL,
    meta          TEXT,             -- JSON object
    failure       TEXT    NOT NULL,
    CHECK (state = 2 OR NOT latest)
) STRICT, WITHOUT ROWID;

-- What a bucket shows, and everything else: each file is in exactly one of the two.
CREATE UNIQUE INDEX files_latest ON files (bucket_id, key) WHERE latest = 1;
CREATE INDEX files_behind ON files (bucket_id, key) WHERE latest = 0;
CREATE INDEX files_by_time ON files (state, created_at, id);
CREATE INDEX files_of_bucket_by_time ON files (bucket_id, state, created_at, id);

-- By file and number: the parts of a file lie together, and new ones at the end.
CREATE TABLE parts (
    file_id   BLOB    NOT NULL,
    number    INTEGER NOT NULL,
    id        BLOB    NOT NULL UNIQUE,
    size      INTEGER NOT NULL,
    k         INTEGER NOT NULL,
    m         INTEGER NOT NULL,
    unit_size INTEGER NOT NULL,
    crc64     INTEGER NOT NULL,
    nodes     BLOB    NOT NULL, -- 16 bytes a chunk, by index
    sums      BLOB    NOT NULL, -- 4 bytes a chunk, big endian, by index
    PRIMARY KEY (file_id, number),
    CHECK (length(nodes) = 16 * (k + m) AND length(sums) = 4 * (k + m))
) STRICT, WITHOUT ROWID;

-- Unfinished resumable uploads, and their parts that have arrived.
CREATE TABLE sessions (
    id           BLOB    PRIMARY KEY,
    bucket_id    INTEGER NOT NULL,
    key          BLOB    NOT NULL,
    size         INTEGER NOT NULL, -- -1 while unknown
    content_type TEXT    NOT NULL,
    meta         TEXT,
    wants_sha256 INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_key ON sessions (bucket_id, key);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE session_parts (
    session_id BLOB    NOT NULL,
    number     INTEGER NOT NULL,
    id         BLOB    NOT NULL UNIQUE,
    size       INTEGER NOT NULL,
    k          INTEGER NOT NULL,
    m          INTEGER NOT NULL,
    unit_size  INTEGER NOT NULL,
    crc64      INTEGER NOT NULL,
    nodes      BLOB    NOT NULL,
    sums       BLOB    NOT NULL,
    stored_at  INTEGER NOT NULL,
    PRIMARY KEY (session_id, number),
    CHECK (length(nodes) = 16 * (k + m) AND length(sums) = 4 * (k + m))
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
    id              BLOB    PRIMARY KEY,
    name            TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    zone            TEXT    NOT NULL,
    weight          INTEGER NOT NULL,
    state           INTEGER NOT NULL,
    joined_at       INTEGER NOT NULL,
    last_beat       INTEGER NOT NULL,
    capacity_total  INTEGER NOT NULL,
    capacity_used   INTEGER NOT NULL,
    capacity_free   INTEGER NOT NULL,
    capacity_chunks INTEGER NOT NULL,
    version         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX nodes_name ON nodes (name) WHERE state <> 3;

CREATE TABLE tasks (
    kind      INTEGER NOT NULL,
    part_id   BLOB    NOT NULL,
    idx       INTEGER NOT NULL,
    node_id   BLOB    NOT NULL,
    attempts  INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    due_at    INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    PRIMARY KEY (kind, part_id, idx, node_id)
) STRICT, WITHOUT ROWID;

-- Every claim goes node by node. queued_at is there to be counted without the rows.
CREATE INDEX tasks_due ON tasks (kind, node_id, due_at, queued_at);

CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    owner      TEXT    NOT NULL,
    term       INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    access_key TEXT    PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    note       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
