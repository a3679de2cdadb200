package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// What the tests look at from inside.

// Pool is the store's pool.
func (s *Store) Pool() *pgxpool.Pool { return s.on.Pool() }

// SQL gives the statement of that name.
func (s *Store) SQL() *queries { return s.q }

// Translate is the one place where errors of the driver are read.
var Translate = translate

// LoadQueries reads the statements.
func LoadQueries() error {
	_, err := loadQueries()
	return err
}

// Settings gives the server's settings of these names as a call of the store has them, and which process
// of the server it drew. list: a call of a listing.
func (s *Store) Settings(ctx context.Context, list bool, names ...string) (values []string, pid int, err error) {
	run := s.read
	if list {
		run = s.list
	}
	err = run(ctx, "Settings", func(c *conn) error {
		return c.QueryRow(ctx, "SELECT array(SELECT current_setting(name) FROM unnest($1::text[]) WITH ORDINALITY AS n (name, i) ORDER BY i), pg_backend_pid()", names).
			Scan(&values, &pid)
	})
	return values, pid, err
}

// Pooled reports whether the store found a pooler between.
func (s *Store) Pooled() bool { return s.on.Pooled() }

// ControlPool is the pool of the calls that keep the cluster together.
func (s *Store) ControlPool() *pgxpool.Pool { return s.control.on.Pool() }
