package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// What the tests look at from inside.

// Pool is the store's pool.
func (s *Store) Pool() *pgxpool.Pool { return s.clients.On.Pool() }

// SQL gives the statement of that name.
func (s *Store) SQL() *db.Queries { return s.q }

// Translate is the one place where errors of the driver are read.
var Translate = db.Translate

// LoadQueries reads the statements.
func LoadQueries() error {
	_, err := db.Load()
	return err
}

// Settings gives the server's settings of these names as a call of the store has them, and which process
// of the server it drew. list: a call of a listing.
func (s *Store) Settings(ctx context.Context, list bool, names ...string) (values []string, pid int, err error) {
	run := s.clients.Read
	if list {
		run = s.clients.List
	}
	err = run(ctx, "Settings", func(c *db.Conn) error {
		return c.QueryRow(ctx, "SELECT array(SELECT current_setting(name) FROM unnest($1::text[]) WITH ORDINALITY AS n (name, i) ORDER BY i), pg_backend_pid()", names).
			Scan(&values, &pid)
	})
	return values, pid, err
}

// Pooled reports whether the store found a pooler between.
func (s *Store) Pooled() bool { return s.clients.On.Pooled() }

// ControlPool is the pool of the calls that keep the cluster together.
func (s *Store) ControlPool() *pgxpool.Pool { return s.control.On.Pool() }

// DeleteGroup makes deletions in one group, and returns for each whether it was made.
func (s *Store) DeleteGroup(ctx context.Context, group ...store.Deletion) (made []bool, err error) {
	all := make([]*store.Deletion, len(group))
	for i := range group {
		all[i] = &group[i]
	}
	outcomes, err := s.deleteGroup(ctx, all)
	for _, o := range outcomes {
		made = append(made, o == removed)
	}
	return made, err
}
