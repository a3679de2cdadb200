package postgres_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/metatest"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// few makes calls draw each other's server connections all the time.
var few = pgserver.PoolerOptions{ServerConns: 3}

// The whole contract holds behind a pooler that lends a server connection per transaction.
func TestMetadataBehindAPooler(t *testing.T) {
	through := pgtest.Pooler(t, few)
	metatest.Run(t, func(tb testing.TB) metatest.Open {
		dsn := through(pgtest.Database(tb))
		return func(tb testing.TB) store.Metadata {
			tb.Helper()
			s, err := postgres.Open(tb.Context(), dsn, postgres.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			return s
		}
	})
}

// An empty database is migrated through the pooler, by many at once.
func TestOpenBehindAPooler(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Pooler(t, few)(pgtest.Empty(t))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := postgres.Open(t.Context(), dsn, postgres.Options{MaxConns: 4})
			if err != nil {
				t.Error(err)
				return
			}
			if !s.Pooled() {
				t.Error("the pooler was not noticed")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// What must hold for a query holds on every server connection that it may draw, and stays on none of them.
func TestSettingsBehindAPooler(t *testing.T) {
	t.Parallel()
	direct := pgtest.Fresh(t)
	run(t, direct, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$")
	through := pgtest.Pooler(t, few)
	names := []string{"plan_cache_mode", "enable_seqscan", "jit", "statement_timeout", "synchronous_commit", "lock_timeout"}
	for _, c := range []struct {
		dsn    string
		pooled bool
	}{{direct + "&lock_timeout=700", false}, {through(direct) + "&lock_timeout=700", true}} {
		s := open(t, c.dsn, postgres.Options{ListTimeout: 2 * time.Second})
		require.Equal(t, c.pooled, s.Pooled())
		var drawn sync.Map
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				for range 20 {
					limit := "15s"
					if i%2 == 0 {
						limit = "2s"
					}
					got, pid, err := s.Settings(t.Context(), i%2 == 0, names...)
					if err != nil {
						t.Error(err)
						return
					}
					if want := "force_generic_plan off off " + limit + " on 700ms"; strings.Join(got, " ") != want {
						t.Errorf("process %d has %v, want %s", pid, got, want)
					}
					drawn.Store(pid, true)
				}
			})
		}
		all.Wait()
		n := 0
		drawn.Range(func(any, any) bool { n++; return true })
		require.Greater(t, n, 1, "more than one server connection was drawn")
	}
	other := connect(t, through(direct))
	for range 20 {
		var plans, limit string
		err := other.QueryRow(t.Context(), "SELECT current_setting('plan_cache_mode'), current_setting('statement_timeout')", pgx.QueryExecModeSimpleProtocol).
			Scan(&plans, &limit)
		require.NoError(t, err)
		require.Equal(t, "auto 0", plans+" "+limit, "another client of the pooler has its own settings")
	}
}

func TestStatementTimeoutBehindAPooler(t *testing.T) {
	t.Parallel()
	direct := pgtest.Database(t)
	s := open(t, pgtest.Pooler(t, few)(direct), postgres.Options{StatementTimeout: 50 * time.Millisecond})
	f := smallFile("a")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	tx := holdFile(t, direct, f.ID)
	err = s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
	requireAway(t, err)
	require.ErrorContains(t, err, "57014", "the server ended it, not we")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
}

// A pooler that is put between while a store runs is noticed by the next connection; no call fails for it.
func TestPoolerIsPutBetween(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	pooler, err := server.NewPooler(t.Context(), few)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pooler.Close()) })
	relay := newRelay(t, hostOf(t, server.TCPDSN("postgres")))
	s := open(t, "postgres://postgres@"+relay.address+"/postgres?sslmode=disable", postgres.Options{})
	f := smallFile("a")
	_, _, err = s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	require.False(t, s.Pooled())

	relay.turnTo(hostOf(t, pooler.DSN("postgres")))
	for range 20 {
		_, err = s.File(t.Context(), f.ID)
		require.NoError(t, err)
		_, _, err = s.CommitFile(t.Context(), store.Commit{File: smallFile("b")})
		require.NoError(t, err)
	}
	require.True(t, s.Pooled())
}
