// Package control keeps what the cluster is run with: nodes, leases, access keys, configurations of buckets, jobs, loops and events.
package control

import "github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"

// Store is that part of the metadata in PostgreSQL. Safe for concurrent use.
type Store struct {
	calls db.Calls
	q     *db.Queries
}

// New returns the part of the database that the calls go to.
func New(calls db.Calls, q *db.Queries) *Store { return &Store{calls, q} }
