package postgres_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/pgserver"
)

func requireKind(tb testing.TB, want store.Kind, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, want, store.KindOf(err), "error: %v", err)
}

// run executes one statement on a connection of its own.
func run(tb testing.TB, dsn, sql string, args ...any) {
	tb.Helper()
	conn := connect(tb, dsn)
	_, err := conn.Exec(tb.Context(), sql, args...)
	require.NoError(tb, err)
}

// connect gives a connection that is closed at the end of the test.
func connect(tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.PgConn().Conn().Close() })
	return conn
}

// Gateways that start together on an empty database all come up, and the schema is made once.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Empty(t)
	const gateways = 8
	stores, errs := make([]*postgres.Store, gateways), make([]error, gateways)
	var all sync.WaitGroup
	for i := range gateways {
		all.Go(func() { stores[i], errs[i] = postgres.Open(t.Context(), dsn, postgres.Options{MaxConns: 4}) })
	}
	all.Wait()
	clusters := map[store.ClusterID]bool{}
	for i := range gateways {
		require.NoError(t, errs[i])
		defer stores[i].Close()
		m, err := stores[i].Members(t.Context())
		require.NoError(t, err)
		clusters[m.Cluster] = true
	}
	require.Len(t, clusters, 1, "one database is one cluster")
	var applied int
	require.NoError(t, connect(t, dsn).QueryRow(t.Context(), "SELECT count(*) FROM schema_version WHERE version_id = 1").Scan(&applied))
	require.Equal(t, 1, applied)
}

// A gateway that died while it migrated leaves a lock that runs out.
func TestOpenAfterADeadMigrator(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Empty(t)
	run(t, dsn, `CREATE TABLE schema_lock (lock_id bigint PRIMARY KEY, locked boolean NOT NULL DEFAULT false,
		locked_at timestamptz, locked_by text, lease_expires_at timestamptz, updated_at timestamptz)`)
	run(t, dsn, `INSERT INTO schema_lock VALUES (4097083626, true, now(), 'dead', now() + interval '1 s', now())`)
	open(t, dsn, postgres.Options{})
}

func TestOpenOfANewerSchema(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Fresh(t)
	run(t, dsn, "INSERT INTO schema_version (version_id, is_applied) VALUES (9999, true)")
	_, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	requireKind(t, store.Conflict, err)
	require.ErrorContains(t, err, "9999")
	require.NotEmpty(t, store.HintOf(err))
}

// A store that is opened with a name is listed among the gateways; one that is refused is not.
func TestOpenListsTheGateway(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Fresh(t)
	s := open(t, dsn, postgres.Options{Gateway: "gw-1", Version: "v1"})
	open(t, dsn, postgres.Options{})
	run(t, dsn, "INSERT INTO gateways VALUES ('migration-x', '', 7, 9, now(), now())")
	_, err := postgres.Open(t.Context(), dsn, postgres.Options{Gateway: "gw-2", Version: "v1"})
	requireKind(t, store.Conflict, err)
	require.ErrorContains(t, err, "migration-x")
	all, err := s.ListGateways(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []any{"gw-1", "v1", int64(1), int64(1)}, []any{all[0].Name, all[0].Version, all[0].SchemaMin, all[0].SchemaMax})
	require.Equal(t, "migration-x", all[1].Name)
	run(t, dsn, "UPDATE gateways SET last_beat = now() - interval '25 hours' WHERE name = 'migration-x'")
	require.NoError(t, s.BeatGateway(t.Context(), "gw-1", "v1"))
	all, err = s.ListGateways(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1, "what was silent for a day is forgotten")
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	for name, c := range map[string]struct {
		dsn  string
		kind store.Kind
	}{
		"malformed":   {"postgres://user:secret@host:port/x", store.Invalid},
		"nobody":      {"postgres://user:secret@127.0.0.1:1/x", store.Unavailable},
		"no database": {server.DSN("missing"), store.Unavailable},
		"no user":     {strings.Replace(server.DSN("postgres"), "user=postgres", "user=stranger", 1), store.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := postgres.Open(t.Context(), c.dsn, postgres.Options{})
			requireKind(t, c.kind, err)
			require.NotEmpty(t, store.HintOf(err))
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// A database that cannot store every name is refused before anything is stored in it. The message says how to create another.
func TestOpenOfAnotherEncoding(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		name := "in_" + strings.ToLower(encoding)
		run(t, server.DSN("postgres"), "CREATE DATABASE "+name+" ENCODING '"+encoding+"' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
		_, err := postgres.Open(t.Context(), server.DSN(name), postgres.Options{})
		requireKind(t, store.Invalid, err)
		require.ErrorContains(t, err, `"`+name+`" has the encoding `+encoding)
		require.Contains(t, store.HintOf(err), "ENCODING 'UTF8'")
	}
}

// Opening fails in time when the server takes connections and never answers.
func TestOpenOfASilentServer(t *testing.T) {
	t.Parallel()
	silent := listen(t)
	_, err := postgres.Open(t.Context(), "postgres://user@"+silent+"/x?sslmode=disable", postgres.Options{ConnectTimeout: 100 * time.Millisecond})
	requireKind(t, store.Unavailable, err)
}

// The test server runs with fsync off, which Open must not keep to itself.
func TestOpenWarnsOfRisks(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	open(t, pgtest.Database(t), postgres.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.Contains(t, log.String(), "setting=fsync")
	require.Contains(t, log.String(), "setting=full_page_writes")

	log.Reset()
	private := pgtest.Private(t, pgserver.Options{Durable: true})
	open(t, private.DSN("postgres"), postgres.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NotContains(t, log.String(), "level=WARN")
}

// A database that is set to lose commits is overruled; one that is stricter than ours is left alone.
func TestSynchronousCommit(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{"off": "on", "remote_apply": "remote_apply"} {
		dsn := pgtest.Fresh(t)
		run(t, dsn, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = "+set+"'; END $$")
		var got string
		require.NoError(t, open(t, dsn, postgres.Options{}).Pool().QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got))
		require.Equal(t, want, got)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{})
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	requireKind(t, store.Unavailable, s.Ping(t.Context()))
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: smallFile("a")})
	requireKind(t, store.Unavailable, err)
	requireKind(t, store.Unavailable, s.DeleteFile(t.Context(), store.Deletion{File: store.NewFileID(), Attempt: store.NewAttemptID()}))
}

func TestEveryQueryHasItsField(t *testing.T) {
	t.Parallel()
	require.NoError(t, postgres.LoadQueries())
}

// How the connection is protected is reported, and what it leads to.
func TestOpenReportsTheConnection(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true, TLS: true, Durable: true})
	for dsn, want := range map[string]string{
		server.TLSDSN("postgres"): `sslmode=verify-full tls="TLS 1.3"`,
		server.TCPDSN("postgres"): "sslmode=disable tls=none",
		strings.Replace(server.TCPDSN("postgres"), "disable", "prefer", 1): `sslmode=prefer tls="TLS 1.3"`,
	} {
		var log bytes.Buffer
		open(t, dsn, postgres.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		require.Contains(t, log.String(), want)
		require.NotContains(t, log.String(), "level=WARN")
	}
}

// Tables whose rows change all the time have settings of their own for vacuum.
func TestTablesThatChangeOftenAreVacuumedOften(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Fresh(t), postgres.Options{})
	rows, err := s.Pool().Query(t.Context(), "SELECT relname FROM pg_class WHERE relkind = 'r' AND reloptions::text LIKE '%autovacuum_vacuum_threshold%'")
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"tasks", "queue_counts", "queue_changes", "session_expiries", "changes_new", "heartbeats", "leases", "change_head", "bucket_usage", "event_head", "loop_report", "wakeups",
		"gateways", "changes", "attempts", "jobs", "log_segments",
	}, names)
}
