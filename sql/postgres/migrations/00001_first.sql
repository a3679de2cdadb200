-- +goose Up

-- Explained in docs/format/postgres-schema.md. Keys are bytea, so that they
-- compare as bytes whatever the database's locale is.

CREATE TABLE cluster (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id       uuid    NOT NULL,
    epoch    bigint  NOT NULL
);

CREATE TABLE buckets (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        COLLATE "C" NOT NULL,
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
    CONSTRAINT files_latest_is_complete CHECK (state = 2 OR NOT latest)
);

-- What a bucket shows, and everything else: each file is in exactly one of the two.
CREATE UNIQUE INDEX files_latest ON files (bucket_id, key) WHERE latest;
CREATE INDEX files_behind ON files (bucket_id, key) WHERE NOT latest;
CREATE INDEX files_by_time ON files (bucket_id, state, created_at, id);

CREATE TABLE parts (
    id        uuid     PRIMARY KEY,
    file_id   uuid     NOT NULL,
    number    integer  NOT NULL,
    size      bigint   NOT NULL,
    k         smallint NOT NULL,
    m         smallint NOT NULL,
    unit_size integer  NOT NULL,
    crc64     bigint   NOT NULL,
    nodes     bytea    NOT NULL, -- 16 bytes a chunk, by index
    sums      bytea    NOT NULL, -- 4 bytes a chunk, big endian, by index
    CONSTRAINT parts_placements CHECK (length(nodes) = 16 * (k + m) AND length(sums) = 4 * (k + m))
);

CREATE UNIQUE INDEX parts_of_file ON parts (file_id, number);

-- Unfinished resumable uploads, and their parts that have arrived.
CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    bucket_id    bigint      NOT NULL,
    key          bytea       NOT NULL,
    size         bigint      NOT NULL, -- -1 while unknown
    content_type text        NOT NULL,
    meta         jsonb,
    wants_sha256 boolean     NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);

CREATE INDEX sessions_by_key ON sessions (bucket_id, key);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE session_parts (
    session_id uuid        NOT NULL,
    number     integer     NOT NULL,
    id         uuid        NOT NULL,
    size       bigint      NOT NULL,
    k          smallint    NOT NULL,
    m          smallint    NOT NULL,
    unit_size  integer     NOT NULL,
    crc64      bigint      NOT NULL,
    nodes      bytea       NOT NULL,
    sums       bytea       NOT NULL,
    stored_at  timestamptz NOT NULL,
    PRIMARY KEY (session_id, number),
    CONSTRAINT session_parts_id UNIQUE (id),
    CONSTRAINT session_parts_placements CHECK (length(nodes) = 16 * (k + m) AND length(sums) = 4 * (k + m))
);

CREATE TABLE nodes (
    id              uuid        PRIMARY KEY,
    name            text        COLLATE "C" NOT NULL,
    address         text        NOT NULL,
    zone            text        NOT NULL,
    weight          integer     NOT NULL,
    state           smallint    NOT NULL,
    joined_at       timestamptz NOT NULL,
    last_beat       timestamptz NOT NULL,
    capacity_total  bigint      NOT NULL,
    capacity_used   bigint      NOT NULL,
    capacity_free   bigint      NOT NULL,
    capacity_chunks bigint      NOT NULL,
    version         text        NOT NULL
);

CREATE UNIQUE INDEX nodes_name ON nodes (name) WHERE state <> 3;

CREATE TABLE tasks (
    kind      smallint    NOT NULL,
    part_id   uuid        NOT NULL,
    idx       smallint    NOT NULL,
    node_id   uuid        NOT NULL,
    attempts  integer     NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now(),
    due_at    timestamptz NOT NULL DEFAULT now(),
    reason    text        NOT NULL DEFAULT '',
    PRIMARY KEY (kind, part_id, idx, node_id)
);

-- kind + 0: a look-up by the primary key must never take these, though they look
-- as good to a planner that prepares its statements while the table is empty.
CREATE INDEX tasks_due ON tasks ((kind + 0), due_at);
CREATE INDEX tasks_due_of_node ON tasks ((kind + 0), node_id, due_at);

CREATE TABLE leases (
    name       text        COLLATE "C" PRIMARY KEY,
    owner      text        NOT NULL,
    term       bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE credentials (
    access_key text        COLLATE "C" PRIMARY KEY,
    sealed     bytea       NOT NULL,
    note       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
