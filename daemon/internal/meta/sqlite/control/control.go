// Package control keeps what the cluster is run with: nodes, leases, access keys, configurations of buckets, jobs, loops and events.
package control

import "github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"

// Store is that part of the metadata in one SQLite file. Safe for concurrent use.
type Store struct{ db *db.DB }

// New returns the part of the file.
func New(file *db.DB) *Store { return &Store{file} }
