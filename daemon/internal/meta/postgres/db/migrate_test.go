package db_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// release is a later release, on a database of this one: its migrations 2 and 4 add a table each, and 3 removes the first of them.
type release struct {
	t       *testing.T
	pool    *pgxpool.Pool
	address *link.Address
	log     *bytes.Buffer
	files   fs.FS
}

func newRelease(t *testing.T) *release {
	t.Helper()
	r := &release{t: t, log: &bytes.Buffer{}}
	first, err := sqlfiles.Migrations.ReadFile("migrations/00001_first.sql")
	require.NoError(t, err)
	r.files = fstest.MapFS{
		"00001_first.sql":    {Data: first},
		"00002_expand.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE second (id bigint PRIMARY KEY);\n")},
		"00003_contract.sql": {Data: []byte("-- ringstore: contracting\n-- +goose Up\nDROP TABLE second;\n")},
		"00004_expand.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE fourth (id bigint PRIMARY KEY);\n")},
	}
	dsn := pgtest.Fresh(t)
	r.address, err = link.Parse(dsn, link.Options{Log: slog.New(slog.NewTextHandler(r.log, nil))})
	require.NoError(t, err)
	r.pool, err = pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(r.pool.Close)
	return r
}

// migrate is the start of a gateway of the release that works with schemas from the oldest on.
func (r *release) migrate(oldest int64) error {
	return db.MigrateWith(r.t.Context(), r.pool, r.address, r.files, oldest)
}

func (r *release) requireSchema(want int64) {
	r.t.Helper()
	var have int64
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), "SELECT max(version_id) FROM schema_version WHERE is_applied").Scan(&have))
	require.Equal(r.t, want, have)
	var intents int
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), "SELECT count(*) FROM gateways WHERE name LIKE 'migration-%'").Scan(&intents))
	require.Zero(r.t, intents)
}

func (r *release) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.pool.Exec(r.t.Context(), sql, args...)
	require.NoError(r.t, err)
}

// gateway stores the row of a gateway that has beaten so long ago.
func (r *release) gateway(name string, known db.Range, silent string) {
	r.t.Helper()
	r.exec(`INSERT INTO gateways VALUES ($1, 'v', $2, $3, now(), now() - $4::text::interval)
		ON CONFLICT (name) DO UPDATE SET last_beat = excluded.last_beat`, name, known.Oldest, known.Newest, silent)
}

// A contracting migration waits for a gateway that knows earlier schemas only, and those after it wait as well.
func TestAContractingMigrationWaitsForOldGateways(t *testing.T) {
	t.Parallel()
	r := newRelease(t)
	r.gateway("gw-new", db.Range{Oldest: 2, Newest: 4}, "0 s")
	r.gateway("gw-old", db.Range{Oldest: 1, Newest: 2}, "50 s")

	require.NoError(t, r.migrate(1), "it works with schema 2")
	r.requireSchema(2)
	require.Contains(t, r.log.String(), "gw-old")
	require.NotContains(t, r.log.String(), "gw-new")

	err := r.migrate(3)
	require.ErrorIs(t, err, store.Conflict)
	require.ErrorContains(t, err, "gw-old")
	require.ErrorContains(t, err, "schema cannot become 3")
	require.Contains(t, store.HintOf(err), "gw-old")
	r.requireSchema(2)

	r.gateway("gw-old", db.Range{}, "61 s") // it was killed
	require.NoError(t, r.migrate(3))
	r.requireSchema(4)
	require.NoError(t, r.migrate(3), "nothing is left to do")
}

// Migrations that only add wait for no gateway.
func TestExpandingMigrationsDoNotWait(t *testing.T) {
	t.Parallel()
	r := newRelease(t)
	r.gateway("gw-old", db.Range{Oldest: 1, Newest: 1}, "0 s")
	delete(r.files.(fstest.MapFS), "00003_contract.sql")
	require.NoError(t, r.migrate(4))
	r.requireSchema(4)
}

// A gateway of an earlier release that starts while the schema is contracted is refused, before that and after it.
func TestAnOldGatewayDuringAContractingMigration(t *testing.T) {
	t.Parallel()
	r := newRelease(t)
	old := db.Range{Oldest: 1, Newest: 2}
	require.NoError(t, db.ConfirmWith(t.Context(), r.pool, old))
	r.gateway("migration-x", db.Range{Oldest: 3, Newest: 4}, "-10 min")
	err := db.ConfirmWith(t.Context(), r.pool, old)
	require.ErrorIs(t, err, store.Conflict)
	require.ErrorContains(t, err, "migration-x")
	require.ErrorContains(t, err, "works with 1 to 2")
	require.NotEmpty(t, store.HintOf(err))
	r.exec("DELETE FROM gateways")
	require.NoError(t, r.migrate(1))
	r.requireSchema(4)
	err = db.ConfirmWith(t.Context(), r.pool, old)
	require.ErrorIs(t, err, store.Conflict)
	require.ErrorContains(t, err, "schema 4")
	require.ErrorContains(t, err, "works with 1 to 2")
}

// A migration that fails leaves no intent behind, which would keep gateways from starting.
func TestAFailedContractingMigrationLeavesNoIntent(t *testing.T) {
	t.Parallel()
	r := newRelease(t)
	r.files.(fstest.MapFS)["00003_contract.sql"] = &fstest.MapFile{Data: []byte("-- ringstore: contracting\n-- +goose Up\nDROP TABLE missing;\n")}
	require.Error(t, r.migrate(1))
	r.requireSchema(2)
}
