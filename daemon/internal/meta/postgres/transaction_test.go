package postgres_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// Several statements are a transaction by BEGIN and COMMIT, not by how PostgreSQL handles a pipeline. Of one that fails nothing
// remains, its error is that of the statement, and its connection is used again: on a direct connection, behind a pooler, and with the limit of listings.
func TestPipelinesAreTransactions(t *testing.T) {
	t.Parallel()
	pooler := pgtest.Pooler(t, few)
	for name, through := range map[string]func(string) string{
		"direct": func(dsn string) string { return dsn }, "pooler": pooler,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, err := link.Parse(through(pgtest.Fresh(t)), link.Options{MaxConns: 1, ListTimeout: time.Minute})
			require.NoError(t, err)
			var closed atomic.Bool
			calls, err := address.Calls(t.Context(), &closed)
			require.NoError(t, err)
			defer calls.Close()
			send := func(statements ...string) error {
				return calls.Change(t.Context(), func(c *link.Conn) error {
					b := &pgx.Batch{}
					for _, sql := range statements {
						b.Queue(sql)
					}
					return c.Pipeline(t.Context(), b)
				})
			}
			count := func() (n int) {
				require.NoError(t, calls.List(t.Context(), func(c *link.Conn) error {
					return c.QueryRow(t.Context(), "SELECT count(*) FROM x").Scan(&n)
				}))
				return n
			}
			require.NoError(t, send("CREATE TABLE x (n int PRIMARY KEY)"))
			require.NoError(t, send("INSERT INTO x VALUES (1)", "INSERT INTO x VALUES (2)"))
			require.NoError(t, send("SAVEPOINT only_in_an_explicit_transaction", "INSERT INTO x VALUES (3)"))
			require.Equal(t, 3, count())

			conns := calls.Pool().Stat().NewConnsCount()
			for range 3 {
				requireState(t, "23505", send("INSERT INTO x VALUES (4)", "INSERT INTO x VALUES (3)", "INSERT INTO x VALUES (5)"))
				require.Equal(t, 3, count(), "a statement that fails in the middle undoes those before it, and those after it are not executed")
				requireState(t, "22012", calls.List(t.Context(), func(c *link.Conn) error {
					var n int
					return c.QueryRow(t.Context(), "SELECT 1/(n-n) FROM x").Scan(&n)
				}))
			}
			require.NoError(t, send("INSERT INTO x VALUES (4)", "INSERT INTO x VALUES (5)"))
			require.Equal(t, 5, count())
			require.Equal(t, conns, calls.Pool().Stat().NewConnsCount(), "no connection was closed")
		})
	}
}

// A server that falls silent after a statement has failed costs its connection, and does not hold the call.
func TestARollbackWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	relay := newRelay(t, hostOf(t, server.TCPDSN("postgres")))
	address, err := link.Parse("postgres://postgres@"+relay.address+"/postgres?sslmode=disable", link.Options{MaxConns: 1})
	require.NoError(t, err)
	var closed atomic.Bool
	calls, err := address.Calls(t.Context(), &closed)
	require.NoError(t, err)
	defer calls.Close()
	rollback := []byte("ROLLBACK")
	relay.holdAt.Store(&rollback)
	failed := make(chan error, 1)
	go func() {
		failed <- calls.Change(t.Context(), func(c *link.Conn) error {
			b := &pgx.Batch{}
			b.Queue("SELECT 1")
			b.Queue("SELECT 1/0")
			return c.Pipeline(t.Context(), b)
		})
	}()
	select {
	case err := <-failed:
		requireState(t, "22012", err)
	case <-time.After(20 * time.Second):
		t.Error("the call waits for the answer to ROLLBACK")
	}
	relay.turnTo("") // or closing would wait for it, too
}

func requireState(tb testing.TB, code string, err error) {
	tb.Helper()
	var e *pgconn.PgError
	require.ErrorAs(tb, err, &e)
	require.Equal(tb, code, e.Code)
}
