-- +goose Up

-- Explained in docs/format/postgres-schema.md, the settings of tables (WITH), too. Keys are bytea, so that they
-- compare as bytes whatever the database's locale is.

CREATE TABLE cluster (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id       uuid    NOT NULL,
    epoch    bigint  NOT NULL
);

CREATE TABLE buckets (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    survive    smallint    NOT NULL,
    CONSTRAINT buckets_name UNIQUE (name)
);

INSERT INTO buckets (name, survive) VALUES ('default', -1);

CREATE TABLE files (
    id            uuid        PRIMARY KEY,
    bucket_id     bigint      NOT NULL,
    key           bytea       NOT NULL,
    size          bigint      NOT NULL,
    content_type  text        NOT NULL,
    state         smallint    NOT NULL, -- 0 exists inside a committing transaction only
    latest        boolean     NOT NULL,
    delete_marker boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    completed_at  timestamptz,
    crc64         bigint      NOT NULL,
    sha256        bytea,
    etag          text        NOT NULL,
    meta          jsonb,
    failure       text        NOT NULL DEFAULT '',
    changed_by    text        NOT NULL DEFAULT '', -- access key of the last commit, rename or delete
    seq           bigint      NOT NULL DEFAULT 0, -- order of the versions of a key; 0 before complete
    deleted_at    timestamptz, -- of state 4; 1970: no read can be in progress
    marks         bytea,       -- where its parts begin, of a file of many: package meta/pack
    attributes    bytea,       -- what S3 clients set, usually none: package meta/pack
    locked_until  timestamptz, -- when the lock among them ends; of complete files only
    CONSTRAINT files_latest_is_complete CHECK (state = 2 OR NOT latest),
    CONSTRAINT files_locked CHECK (state <> 4 OR locked_until IS NULL OR locked_until <= deleted_at)
);

-- Of files.seq. A value is drawn while the file's key is locked, so they order as the commits of the key.
CREATE SEQUENCE file_seq;

-- The latest file of each key, and all other files: each file is in exactly one of the two. bucket_id + 0: the planner must not use the index
-- by time to look for a key, though it costs as little while the table is small and statements are prepared.
CREATE UNIQUE INDEX files_latest ON files (bucket_id ASC, key ASC) WHERE latest;
CREATE INDEX files_behind ON files (bucket_id ASC, key ASC, seq ASC) WHERE NOT latest;
CREATE INDEX files_deleted ON files (deleted_at ASC) WHERE state = 4;
CREATE INDEX files_by_time ON files ((bucket_id + 0) ASC, state ASC, created_at ASC, id ASC);

-- The parts of files and of unfinished sessions alike; owner is the id of one or the other, and a session that
-- becomes a file keeps its id, so its rows stay. State: 1 begun (of a session, its chunks are being written),
-- 2 stored, 3 dropped: a fence against a late save of that part id, without an owner or chunks,
-- 4 left over from a session that became a file without it, to be swept.
CREATE TABLE parts (
    id        uuid        PRIMARY KEY,
    owner     uuid        NOT NULL,
    number    integer     NOT NULL,
    state     smallint    NOT NULL,
    size      bigint      NOT NULL,
    k         smallint    NOT NULL,
    m         smallint    NOT NULL,
    unit_size integer     NOT NULL,
    crc64     bigint      NOT NULL,
    nodes     bytea       NOT NULL, -- 16 bytes a chunk, by index
    sums      bytea       NOT NULL, -- 4 bytes a chunk, big endian, by index
    checksums bytea,                -- that its client sent, usually none: package meta/pack
    stored_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parts_placements CHECK (length(nodes) = 16 * (k + m) AND length(sums) = 4 * (k + m))
);

-- Of the stored parts of an owner no two have the same number; others may.
CREATE UNIQUE INDEX parts_of_owner ON parts
    (owner ASC, number ASC, (CASE WHEN state = 2 THEN '00000000-0000-0000-0000-000000000000'::uuid ELSE id END) ASC);
CREATE INDEX parts_dropped ON parts (stored_at ASC) WHERE state = 3;

-- Attempts of changes whose answer can be lost. A row records that the change happened, or
-- that it was abandoned and must not happen. Ids begin with the time of their creation.
CREATE TABLE attempts (
    id       uuid        PRIMARY KEY,
    happened boolean     NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- What happened to objects. A commit adds its changes to changes_new, which no commit waits for. Readers move them to changes,
-- numbered in the order of the ids: an id is drawn while the change holds its key. See ADR 112.
CREATE TABLE changes_new (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket_id bigint      NOT NULL,
    kind      smallint    NOT NULL,
    bucket    text        NOT NULL, -- its name, also after it was deleted
    key       bytea       NOT NULL,
    file      uuid        NOT NULL,
    seq       bigint      NOT NULL DEFAULT 0, -- of a file that became latest
    latest    uuid        NOT NULL,
    bytes     bigint      NOT NULL,
    files     bigint      NOT NULL,
    caller    text        NOT NULL,
    at        timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE changes (
    revision bigint      PRIMARY KEY,
    kind     smallint    NOT NULL,
    bucket   text        NOT NULL,
    key      bytea       NOT NULL,
    file     uuid        NOT NULL,
    seq      bigint      NOT NULL,
    latest   uuid        NOT NULL,
    bytes    bigint      NOT NULL,
    files    bigint      NOT NULL,
    caller   text        NOT NULL,
    at       timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- The newest revision. Its row is locked while changes are numbered.
CREATE TABLE change_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

INSERT INTO change_head (revision) VALUES (0);

-- The complete files of the buckets, as of the newest revision; what is in changes_new is to be added.
CREATE TABLE bucket_usage (
    bucket_id bigint PRIMARY KEY,
    bytes     bigint NOT NULL,
    files     bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

-- Configurations of buckets.
CREATE TABLE bucket_documents (
    bucket_id bigint NOT NULL,
    kind      text   NOT NULL,
    revision  bigint NOT NULL, -- package attr
    body      bytea  NOT NULL,
    PRIMARY KEY (bucket_id, kind)
);

-- Unfinished resumable uploads.
CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    bucket_id    bigint      NOT NULL,
    key          bytea       NOT NULL,
    size         bigint      NOT NULL, -- -1 while unknown
    content_type text        NOT NULL,
    meta         jsonb,
    attributes   bytea,                -- of the file: package meta/pack
    want_crc64   bigint,               -- null: not given
    owner        text        NOT NULL, -- access key that created it
    created_at   timestamptz NOT NULL
);

-- Sessions of a bucket are listed by id, and by key.
CREATE INDEX sessions_of_bucket ON sessions (bucket_id ASC, id ASC);
CREATE INDEX sessions_by_key ON sessions (bucket_id ASC, key ASC, id ASC);
CREATE INDEX sessions_of_owner ON sessions (owner ASC, id ASC);

-- A session's expiry and the caller of its last change move with each part, so they are a row of their own: the session's row
-- does not change, so that changes that add to it can lock it together, and the one that ends it alone.
CREATE TABLE session_expiries (
    session_id uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    changed_by text        NOT NULL -- access key of the last change
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

CREATE INDEX session_expiries_by_time ON session_expiries (expires_at ASC);

-- The segments of the metadata log, which are parts whose ids begin with 8 fixed bytes and that are their own owners.
-- Kind: 1 tail, 2 piece of a snapshot, 3 its last piece.
CREATE TABLE log_segments (
    number     bigint      PRIMARY KEY,
    log_id     uuid        NOT NULL,
    term       bigint      NOT NULL, -- of the lease under which it was written
    kind       smallint    NOT NULL,
    grp        bigint      NOT NULL, -- of a snapshot: the number of its first piece; else 0
    first      bigint      NOT NULL, -- revisions
    last       bigint      NOT NULL,
    part_id    uuid        NOT NULL,
    CONSTRAINT log_segments_part UNIQUE (part_id)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

CREATE TABLE nodes (
    id        uuid        PRIMARY KEY,
    name      text        NOT NULL,
    address   text        NOT NULL,
    zone      text        NOT NULL,
    weight    integer     NOT NULL,
    state     smallint    NOT NULL,
    joined_at timestamptz NOT NULL,
    desired_zone   text, -- set by an operator in place of what the node reports; NULL: the report counts
    desired_weight integer
);

CREATE UNIQUE INDEX nodes_name ON nodes (name ASC) WHERE state <> 3;

-- What changes with each heartbeat of a node, one row a node. No index has a changing column, so that the new
-- version of a row stays in its page and needs no index entry.
CREATE TABLE heartbeats (
    node_id         uuid        PRIMARY KEY,
    last_beat       timestamptz NOT NULL,
    capacity_total  bigint      NOT NULL,
    capacity_used   bigint      NOT NULL,
    capacity_free   bigint      NOT NULL,
    capacity_chunks bigint      NOT NULL,
    version         text        NOT NULL,
    data_port       smallint    NOT NULL, -- version of the data port that it offers, 0: none
    disk_state      smallint    NOT NULL, -- what the disk takes: 0 ok, 1 full, 2 read-only, 3 failing
    disk_reason     text        NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

CREATE TABLE tasks (
    kind      smallint    NOT NULL,
    part_id   uuid        NOT NULL,
    idx       smallint    NOT NULL,
    node_id   uuid        NOT NULL,
    attempts  integer     NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now(),
    due_at    timestamptz NOT NULL DEFAULT now(),
    reason    text        NOT NULL DEFAULT '',
    term      bigint      NOT NULL DEFAULT 0, -- of the lease under which it is claimed, 0 while it is not
    chunks    bigint      NOT NULL DEFAULT 0, -- of a repair, a bit for each chunk: those that are to be examined
    held      bigint      NOT NULL DEFAULT 0, -- those for which it is claimed
    priority  smallint    NOT NULL DEFAULT 0, -- of a repair: how many further failures its part survives
    was       smallint    NOT NULL DEFAULT -1, -- priority before the last merge, -1 before the first: what a merge adds to the counts
    PRIMARY KEY (kind, part_id, idx, node_id) -- a repair is of a part: its idx is 0, its node_id zero
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

CREATE INDEX tasks_claimed ON tasks (term ASC) WHERE term > 0;

-- kind + 0: the planner must not use these for a look-up by the primary key, though they cost
-- as little while the table is empty and statements are prepared.
CREATE INDEX tasks_due ON tasks ((kind + 0) ASC, priority ASC, due_at ASC);
CREATE INDEX tasks_due_of_node ON tasks ((kind + 0) ASC, node_id ASC, due_at ASC);

-- The lengths of the queues, and what was added to or removed from them since: a transaction that changes a queue adds a row
-- here, which no other waits for. Claims add the rows up.
CREATE TABLE queue_counts (
    kind     smallint NOT NULL,
    priority smallint NOT NULL,
    tasks    bigint   NOT NULL,
    PRIMARY KEY (kind, priority)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

CREATE TABLE queue_changes (
    id       bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     smallint NOT NULL,
    priority smallint NOT NULL,
    tasks    bigint   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE leases (
    name       text        PRIMARY KEY,
    owner      text        NOT NULL,
    term       bigint      NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

-- The gateways that work with this database, one row a process, and the versions of the schema that they know.
CREATE TABLE gateways (
    name       text        PRIMARY KEY,
    version    text        NOT NULL,
    schema_min bigint      NOT NULL,
    schema_max bigint      NOT NULL,
    started_at timestamptz NOT NULL,
    last_beat  timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

CREATE TABLE credentials (
    access_key text        PRIMARY KEY,
    sealed     bytea       NOT NULL,
    note       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Background work with an end. state: 1 queued, 2 running, 3 paused, 4 done, 5 failed, 6 canceled.
-- wish, of the operator: 0 run, 1 pause, 2 cancel.
CREATE TABLE jobs (
    id          uuid        PRIMARY KEY,
    kind        text        NOT NULL,
    target      text        NOT NULL,
    args        bytea,
    state       smallint    NOT NULL,
    wish        smallint    NOT NULL DEFAULT 0,
    done_items  bigint      NOT NULL DEFAULT 0,
    done_bytes  bigint      NOT NULL DEFAULT 0,
    total_items bigint      NOT NULL DEFAULT 0,
    total_bytes bigint      NOT NULL DEFAULT 0,
    rate_items  bigint      NOT NULL DEFAULT 0,
    rate_bytes  bigint      NOT NULL DEFAULT 0,
    resume_from bytea,
    owner       text        NOT NULL DEFAULT '',
    term        bigint      NOT NULL DEFAULT 0, -- of the lease under which it was claimed last
    reason      text        NOT NULL DEFAULT '',
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    started_at  timestamptz,
    updated_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    revision    bigint      NOT NULL DEFAULT 0 -- grows with each change: a change replaces the revision that it was computed from
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

CREATE UNIQUE INDEX jobs_unfinished ON jobs (kind ASC, target ASC) WHERE state <= 3;
CREATE INDEX jobs_ended ON jobs (ended_at ASC, id ASC) WHERE state > 3;

-- What happened, in the order of the commits. The row of event_head is locked by each transaction that appends an event until
-- it ends, so numbers become visible in their order, without gaps.
CREATE TABLE events (
    seq         bigint      PRIMARY KEY,
    happened_at timestamptz NOT NULL,
    kind        text        NOT NULL,
    severity    smallint    NOT NULL,
    subject     text        NOT NULL,
    message     text        NOT NULL,
    attrs       jsonb,
    caller      text        NOT NULL
);

CREATE TABLE event_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

INSERT INTO event_head (seq) VALUES (0);

-- The last report of the leader about its loops.
CREATE TABLE loop_report (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    owner    text        NOT NULL,
    term     bigint      NOT NULL,
    saved_at timestamptz NOT NULL,
    loops    jsonb       NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);

-- How often each loop was woken.
CREATE TABLE wakeups (
    loop  text   PRIMARY KEY,
    woken bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);
