// Package pgtest provides tests with databases on a real PostgreSQL.
//
// A test binary that calls Main from its TestMain has one server, started when
// the first test needs it and stopped after the last. Each test has a
// database of its own while it runs: a copy of a migrated one,
// or the emptied database of an earlier test (which is ten times faster).
package pgtest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// template is the migrated database that the tests' are copies of.
const template = "template_ringstore"

// startPatience bounds initdb and start on a loaded machine.
const startPatience = 2 * time.Minute

// shared is the test binary's server.
var shared struct {
	once   sync.Once
	server *pgserver.Server
	err    error

	mu   sync.Mutex // guards the following fields; held while a database is made: a template is copied by one at a time
	last int
	free []string // migrated and empty
}

// Main runs the tests, stops the shared server, and ends the program. It also
// fails when a goroutine of the tests is left.
func Main(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Server returns the shared server. It fails the test when there is no
// PostgreSQL on the machine; it never skips.
func Server(tb testing.TB) *pgserver.Server {
	tb.Helper()
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience)
		defer cancel()
		shared.server, shared.err = pgserver.New(ctx, pgserver.Options{MaxConnections: 500})
		if shared.err == nil {
			shared.err = prepare(ctx, shared.server)
		}
	})
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// Private returns a server for this test alone, which it may stop, start and
// kill. It is removed at the end of the test.
func Private(tb testing.TB, o pgserver.Options) *pgserver.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startPatience)
	defer cancel()
	s, err := pgserver.New(ctx, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// Empty makes an empty database on the shared server and returns its DSN.
func Empty(tb testing.TB) string {
	tb.Helper()
	return create(tb, Server(tb), "template0")
}

// Fresh makes a migrated database on the shared server and returns its DSN. No
// test had it before and none gets it after: for those that change the schema or the database's settings.
func Fresh(tb testing.TB) string {
	tb.Helper()
	return create(tb, Server(tb), template)
}

// Database provides a migrated, empty database on the shared server and returns its
// DSN. The test must close what it opens on it, and not change schema or settings.
func Database(tb testing.TB) string {
	tb.Helper()
	s := Server(tb)
	name := takeFree()
	if name == "" {
		name = copyOf(tb, s, template)
	}
	tb.Cleanup(func() {
		ctx := context.WithoutCancel(tb.Context())
		if tb.Failed() || execute(ctx, s.DSN(name), emptied()) != nil {
			drop(ctx, s, name)
			return
		}
		shared.mu.Lock()
		defer shared.mu.Unlock()
		shared.free = append(shared.free, name)
	})
	return s.DSN(name)
}

// emptied restores a migrated database to the state after its migration: all tables are emptied, and the rows that the migration
// inserts are inserted again. If a test left a transaction open it fails instead of waiting.
var emptied = sync.OnceValue(func() string {
	text := `SET lock_timeout = '5s';
DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') || ' RESTART IDENTITY' FROM pg_tables
WHERE schemaname = 'public' AND tablename NOT LIKE 'schema%'); END $$;`
	migrations, err := fs.Glob(sqlfiles.Migrations, "migrations/*.sql")
	for _, path := range migrations {
		var sql []byte
		sql, err = fs.ReadFile(sqlfiles.Migrations, path)
		for _, statement := range strings.Split("\n"+string(sql), "\nINSERT INTO ")[1:] {
			statement, _, _ = strings.Cut(statement, ";")
			text += "\nINSERT INTO " + statement + ";"
		}
	}
	if err != nil {
		panic(err) // the files are embedded
	}
	return text
})

func takeFree() (name string) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if n := len(shared.free); n > 0 {
		name, shared.free = shared.free[n-1], shared.free[:n-1]
	}
	return name
}

func create(tb testing.TB, s *pgserver.Server, from string) string {
	tb.Helper()
	name := copyOf(tb, s, from)
	tb.Cleanup(func() { drop(context.WithoutCancel(tb.Context()), s, name) })
	return s.DSN(name)
}

func copyOf(tb testing.TB, s *pgserver.Server, from string) (name string) {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.last++
	name = fmt.Sprintf("test_%d", shared.last)
	require.NoError(tb, admin(tb.Context(), s, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, from)))
	return name
}

// drop frees the memory and disk of a database; FORCE cuts what a failed test left open.
func drop(ctx context.Context, s *pgserver.Server, name string) {
	_ = admin(ctx, s, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", name))
}

// prepare makes the template by opening a store on it once.
func prepare(ctx context.Context, s *pgserver.Server) error {
	if err := admin(ctx, s, "CREATE DATABASE "+template); err != nil {
		return err
	}
	m, err := postgres.Open(ctx, s.DSN(template), postgres.Options{})
	if err != nil {
		return err
	}
	return m.Close()
}

// admin runs one statement beside the databases of the tests.
func admin(ctx context.Context, s *pgserver.Server, sql string) error {
	return execute(ctx, s.DSN("postgres"), sql)
}

// execute runs statements as the superuser.
func execute(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

// Pooler starts a pooler in transaction mode before the shared server, for this test, and returns the DSN
// through it of the database that another DSN names.
func Pooler(tb testing.TB, o pgserver.PoolerOptions) (through func(dsn string) string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startPatience)
	defer cancel()
	p, err := Server(tb).NewPooler(ctx, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { require.NoError(tb, p.Close()) })
	return func(dsn string) string {
		cfg, err := pgx.ParseConfig(dsn)
		require.NoError(tb, err)
		return p.DSN(cfg.Database)
	}
}
