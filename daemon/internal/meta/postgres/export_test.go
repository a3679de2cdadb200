package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"
)

// What the tests look at from inside.

// Pool is the store's pool.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// SQL gives the statement of that name.
func (s *Store) SQL() *queries { return s.q }

// Translate is the one place where errors of the driver are read.
var Translate = translate

// LoadQueries reads the statements.
func LoadQueries() error {
	_, err := loadQueries()
	return err
}
