package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// open opens a store that is closed at the end of the test.
func open(tb testing.TB, dsn string, o postgres.Options) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), dsn, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}
