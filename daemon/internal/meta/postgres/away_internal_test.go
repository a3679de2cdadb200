package postgres

import (
	"errors"
	"io"
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
		require.Equal(t, c.collision, isCollision(err), c.code+c.constraint)
		require.Equal(t, c.away, isAway(err), c.code+c.constraint)
	}
	require.False(t, isCollision(errors.New("other")))
	require.False(t, isAway(errors.New("other")))
}

// What any call is repeated after, what a reading one is, and what none is.
func TestWhatIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	pg := func(code, routine string) error { return &pgconn.PgError{Code: code, Routine: routine} }
	for name, c := range map[string]struct {
		err           error
		refused, lost bool
	}{
		"no such prepared statement":        {pg("26000", ""), true, false},
		"prepared statement there already":  {pg("42P05", ""), true, false},
		"plan of before a change of schema": {pg("0A000", "RevalidateCachedQuery"), true, false},
		"what the server cannot do":         {pg("0A000", "transformLockingClause"), false, false},
		"standby":                           {pg("25006", ""), true, true},
		"shutdown, perhaps after a commit":  {pg("57P01", ""), false, true},
		"end of the connection":             {io.ErrUnexpectedEOF, false, true},
		"statement too slow":                {pg("57014", ""), false, false},
		"no connection":                     {&unmade{io.ErrUnexpectedEOF}, false, false},
		"no connection, in recovery":        {&unmade{pg("57P03", "")}, false, false},
		"all connections in use":            {errBusy, false, false},
		"success":                           {nil, false, false},
	} {
		require.Equal(t, c.refused, isRefused(c.err), name)
		require.Equal(t, c.lost, isLost(c.err), name)
	}
}
