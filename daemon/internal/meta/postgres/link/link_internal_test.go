package link

import (
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestSSLModes(t *testing.T) {
	t.Parallel()
	for _, hosts := range []string{"db.example:5432", "one.example:5432,two.example:5433"} {
		for _, mode := range []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"} {
			a, err := Parse("postgres://user@"+hosts+"/name?sslmode="+mode, Options{})
			require.NoError(t, err)
			require.Equal(t, mode, sslMode(&a.config.ConnConfig.Config), hosts)
		}
		a, err := Parse("postgres://user@"+hosts+"/name", Options{})
		require.NoError(t, err)
		require.Equal(t, "prefer", sslMode(&a.config.ConnConfig.Config), "the driver's default")
	}
}

// Plain text is warned of where it leaves the machine without having been asked for.
func TestPlainTextThatWasNotMeant(t *testing.T) {
	t.Parallel()
	far, here := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for _, mode := range []string{"prefer", "allow"} {
		require.True(t, isUnmeant(mode, far))
		require.False(t, isUnmeant(mode, here))
		require.False(t, isUnmeant(mode, &net.UnixAddr{Name: "/run/postgresql"}))
	}
	require.False(t, isUnmeant("disable", far))
}

// Parameters of the DSN hold for each query, so they are settings; a pooler refuses them at the start of a connection.
func TestSettingsOfTheAddress(t *testing.T) {
	t.Parallel()
	const dsn = "postgres://user@host/name?application_name=x&search_path=it's&statement_timeout="
	for text, limit := range map[string]int64{"700": 700, "2s": 2000, "1min": 60000, "0": 0} {
		a, err := Parse(dsn+text, Options{})
		require.NoError(t, err, text)
		require.Equal(t, limit, a.Options().StatementTimeout.Milliseconds(), text)
		require.Equal(t, map[string]string{"application_name": "x", "client_encoding": "UTF8"}, a.config.ConnConfig.RuntimeParams)
		require.Contains(t, a.session.statement(0, true), "set_config('search_path', 'it''s', true)")
	}
	for _, text := range []string{"soon", "-1", "2weeks", "s"} {
		_, err := Parse(dsn+text, Options{})
		require.ErrorContains(t, err, "is not a duration", text)
	}
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

// A COMMIT that is answered with ROLLBACK did not happen.
func TestCommitThatIsARollback(t *testing.T) {
	t.Parallel()
	require.NoError(t, committed(pgconn.NewCommandTag("COMMIT")))
	err := committed(pgconn.NewCommandTag("ROLLBACK"))
	require.Error(t, err)
	require.Equal(t, store.Unavailable, Explain(err).Kind)
	require.False(t, IsAway(err), "the connection is in order")
}
