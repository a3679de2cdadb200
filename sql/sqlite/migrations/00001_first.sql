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
    survive    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL DEFAULT 0, -- of all complete files
    files      INTEGER NOT NULL DEFAULT 0, -- their number
    seq        INTEGER NOT NULL DEFAULT 0  -- the highest that was given to a file
) STRICT;

-- Configurations of buckets.
CREATE TABLE bucket_documents (
    bucket_id INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    revision  INTEGER NOT NULL, -- package attr
    body      BLOB    NOT NULL,
    PRIMARY KEY (bucket_id, kind)
) STRICT, WITHOUT ROWID;

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
    changed_by    TEXT    NOT NULL DEFAULT '', -- access key of the last commit, rename or delete
    seq           INTEGER NOT NULL DEFAULT 0, -- order of the versions of a key; 0 before complete
    deleted_at    INTEGER NOT NULL DEFAULT 0, -- of state 4; 0 there: no read can be in progress
    marks         BLOB,             -- where its parts begin, of a file of many: package meta/pack
    attributes    BLOB,             -- what S3 clients set, usually none: package meta/pack
    locked_until  INTEGER NOT NULL DEFAULT 0, -- when the lock among them ends; of complete files only
    CHECK (state = 2 OR NOT latest),
    CHECK (state <> 4 OR locked_until <= deleted_at)
) STRICT, WITHOUT ROWID;

-- The latest file of each key, and all other files: each file is in exactly one of the two.
CREATE UNIQUE INDEX files_latest ON files (bucket_id, key) WHERE latest = 1;
CREATE INDEX files_behind ON files (bucket_id, key, seq, state) WHERE latest = 0 AND state <> 4;
CREATE INDEX files_by_time ON files (state, created_at, id) WHERE state <> 4;
CREATE INDEX files_deleted ON files (deleted_at) WHERE state = 4;
CREATE INDEX files_of_bucket_by_time ON files (bucket_id, state, created_at, id) WHERE state <> 4;

-- The parts of files and of unfinished sessions alike; owner is the id of one or the other, and a session that becomes a
-- file keeps its id, so its rows stay. By owner and number: the parts of a file lie together, and new ones at the end.
-- State: 1 begun (of a session, its chunks are being written), 2 stored, 3 dropped: a fence against
-- a late save of that part id, without an owner or chunks.
CREATE TABLE parts (
    owner     BLOB    NOT NULL,
    number    INTEGER NOT NULL,
    id        BLOB    NOT NULL UNIQUE,
    state     INTEGER NOT NULL,
    size      INTEGER NOT NULL,
    k         INTEGER NOT NULL,
    m         INTEGER NOT NULL,
    unit_size INTEGER NOT NULL,
    crc64     INTEGER NOT NULL,
    nodes     BLOB    NOT NULL, -- 16 bytes a chunk, by index
    sums      BLOB    NOT NULL, -- 4 bytes a chunk, big endian, by index
    checksums BLOB,             -- that its client sent, usually none: package meta/pack
    stored_at INTEGER NOT NULL,
    PRIMARY KEY (owner, number, id),
    CHECK (length(nodes) = 16 * (k + m) AND length(sums) = 4 * (k + m))
) STRICT, WITHOUT ROWID;

CREATE INDEX parts_dropped ON parts (stored_at) WHERE state = 3;

-- Attempts of changes whose answer can be lost. A row records that the change happened (1), or
-- that it was abandoned and must not happen (0). Ids begin with the time of their creation.
CREATE TABLE attempts (
    id       BLOB    PRIMARY KEY,
    happened INTEGER NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened to objects. AUTOINCREMENT: a revision is not used again when the newest rows were trimmed.
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     INTEGER NOT NULL,
    bucket   TEXT    NOT NULL, -- its name, also after it was deleted
    key      BLOB    NOT NULL,
    file     BLOB    NOT NULL,
    seq      INTEGER NOT NULL, -- of a file that became latest, else 0
    latest   BLOB    NOT NULL,
    bytes    INTEGER NOT NULL,
    files    INTEGER NOT NULL,
    caller   TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

-- Unfinished resumable uploads.
CREATE TABLE sessions (
    id           BLOB    PRIMARY KEY,
    bucket_id    INTEGER NOT NULL,
    key          BLOB    NOT NULL,
    size         INTEGER NOT NULL, -- -1 while unknown
    content_type TEXT    NOT NULL,
    meta         TEXT,
    attributes   BLOB,             -- of the file: package meta/pack
    want_crc64   INTEGER,          -- null: not given
    owner        TEXT    NOT NULL, -- access key that created it
    changed_by   TEXT    NOT NULL, -- access key of the last change
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    received     INTEGER NOT NULL  -- bytes of the parts that are stored
) STRICT, WITHOUT ROWID;

-- Sessions of a bucket are listed by id, and by key.
CREATE INDEX sessions_of_bucket ON sessions (bucket_id, id);
CREATE INDEX sessions_by_key ON sessions (bucket_id, key, id);
CREATE INDEX sessions_of_owner ON sessions (owner, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- The segments of the metadata log, which are parts whose ids begin with 8 fixed bytes and that are their own owners.
-- Kind: 1 tail, 2 piece of a snapshot, 3 its last piece.
CREATE TABLE log_segments (
    number     INTEGER PRIMARY KEY,
    log_id     BLOB    NOT NULL,
    term       INTEGER NOT NULL, -- of the lease under which it was written
    kind       INTEGER NOT NULL,
    grp        INTEGER NOT NULL, -- of a snapshot: the number of its first piece; else 0
    first      INTEGER NOT NULL, -- revisions
    last       INTEGER NOT NULL,
    part_id    BLOB    NOT NULL UNIQUE
) STRICT;

CREATE TABLE nodes (
    id        BLOB    PRIMARY KEY,
    name      TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    zone      TEXT    NOT NULL,
    weight    INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    desired_zone   TEXT, -- set by an operator in place of what the node reports; NULL: the report counts
    desired_weight INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX nodes_name ON nodes (name) WHERE state <> 3;

-- What changes with each heartbeat of a node, one row a node.
CREATE TABLE heartbeats (
    node_id         BLOB    PRIMARY KEY,
    last_beat       INTEGER NOT NULL,
    capacity_total  INTEGER NOT NULL,
    capacity_used   INTEGER NOT NULL,
    capacity_free   INTEGER NOT NULL,
    capacity_chunks INTEGER NOT NULL,
    version         TEXT    NOT NULL,
    data_port       INTEGER NOT NULL, -- version of the data port that it offers, 0: none
    disk_state      INTEGER NOT NULL, -- what the disk takes: 0 ok, 1 full, 2 read-only, 3 failing
    disk_reason     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    kind      INTEGER NOT NULL,
    part_id   BLOB    NOT NULL,
    idx       INTEGER NOT NULL,
    node_id   BLOB    NOT NULL,
    attempts  INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    due_at    INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    term      INTEGER NOT NULL, -- of the lease under which it is claimed, 0 while it is not
    chunks    INTEGER NOT NULL, -- of a repair, a bit for each chunk: those that are to be examined
    held      INTEGER NOT NULL, -- those for which it is claimed
    priority  INTEGER NOT NULL, -- of a repair: how many further failures its part survives; else 0
    PRIMARY KEY (kind, part_id, idx, node_id) -- a repair is of a part: its index is 0, its node_id zero
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_claimed ON tasks (term) WHERE term > 0;

-- Every claim proceeds node by node, or priority by priority.
CREATE INDEX tasks_due ON tasks (kind, node_id, priority, due_at);

-- The lengths of the queues. Reclaims are many: each transaction counts its own.
CREATE TABLE queue_counts (
    kind     INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    tasks    INTEGER NOT NULL,
    PRIMARY KEY (kind, priority)
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER tasks_added AFTER INSERT ON tasks WHEN new.kind = 2 BEGIN
    INSERT INTO queue_counts (kind, priority, tasks) VALUES (new.kind, new.priority, 1)
    ON CONFLICT (kind, priority) DO UPDATE SET tasks = tasks + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tasks_removed AFTER DELETE ON tasks WHEN old.kind = 2 BEGIN
    UPDATE queue_counts SET tasks = tasks - 1 WHERE kind = old.kind AND priority = old.priority;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tasks_raised AFTER UPDATE OF priority ON tasks WHEN old.priority <> new.priority BEGIN
    UPDATE queue_counts SET tasks = tasks - 1 WHERE kind = old.kind AND priority = old.priority;
    INSERT INTO queue_counts (kind, priority, tasks) VALUES (new.kind, new.priority, 1)
    ON CONFLICT (kind, priority) DO UPDATE SET tasks = tasks + 1;
END;
-- +goose StatementEnd

CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    owner      TEXT    NOT NULL,
    term       INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The gateways that work with this database, one row a process, and the versions of the schema that they know.
CREATE TABLE gateways (
    name       TEXT    PRIMARY KEY,
    version    TEXT    NOT NULL,
    schema_min INTEGER NOT NULL,
    schema_max INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    last_beat  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    access_key TEXT    PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    note       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Background work with an end. state: 1 queued, 2 running, 3 paused, 4 done, 5 failed, 6 canceled.
-- wish, of the operator: 0 run, 1 pause, 2 cancel. Times are 0 before they come.
CREATE TABLE jobs (
    id          BLOB    PRIMARY KEY,
    kind        TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    args        BLOB,
    state       INTEGER NOT NULL,
    wish        INTEGER NOT NULL,
    done_items  INTEGER NOT NULL,
    done_bytes  INTEGER NOT NULL,
    total_items INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    rate_items  INTEGER NOT NULL,
    rate_bytes  INTEGER NOT NULL,
    resume_from BLOB,
    owner       TEXT    NOT NULL,
    term        INTEGER NOT NULL, -- of the lease under which it was claimed last, 0 before
    reason      TEXT    NOT NULL,
    created_by  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX jobs_unfinished ON jobs (kind, target) WHERE state <= 3;
CREATE INDEX jobs_ended ON jobs (ended_at, id) WHERE state > 3;

-- What happened, in the order of the commits; event_head is the number of the last.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    severity INTEGER NOT NULL,
    subject  TEXT    NOT NULL,
    message  TEXT    NOT NULL,
    attrs    TEXT,             -- JSON object
    caller   TEXT    NOT NULL
) STRICT;

CREATE TABLE event_head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    seq      INTEGER NOT NULL
) STRICT;

INSERT INTO event_head (only_row, seq) VALUES (1, 0);

-- The last report of the leader about its loops: a JSON array.
CREATE TABLE loop_report (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    owner    TEXT    NOT NULL,
    term     INTEGER NOT NULL,
    saved_at INTEGER NOT NULL,
    loops    TEXT    NOT NULL
) STRICT;

-- How often each loop was woken.
CREATE TABLE wakeups (
    loop  TEXT    PRIMARY KEY,
    woken INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
