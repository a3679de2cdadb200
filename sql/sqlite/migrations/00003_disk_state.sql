-- +goose Up

-- What the disk of each node takes, from its heartbeats: 0 ok, 1 full, 2 read-only, 3 failing.
ALTER TABLE nodes ADD COLUMN disk_state INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN disk_reason TEXT NOT NULL DEFAULT '';
