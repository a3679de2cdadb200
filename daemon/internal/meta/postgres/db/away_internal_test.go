package db

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// What is repeated, and what makes the pool drop its idle connections.
func TestWhatCountsAsCollisionAndAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, constraint string
		collision, away  bool
	}{
		{"40001", "", true, false},
		{"40P01", "", true, false},
		{"23505", "files_latest", true, false},
		{"23505", "files_pkey", false, false},
		{"57P01", "", false, true},
		{"57014", "", false, false}, // a statement that took too long says nothing of the connection
		{"08006", "", false, true},
		{"25006", "", false, true},
		{"53100", "", false, false},
	} {
		err := &pgconn.PgError{Code: c.code, ConstraintName: c.constraint}
		require.Equal(t, c.collision, IsCollision(err), c.code+c.constraint)
		require.Equal(t, c.away, IsAway(err), c.code+c.constraint)
	}
	require.False(t, IsCollision(errors.New("other")))
	require.False(t, IsAway(errors.New("other")))
}
