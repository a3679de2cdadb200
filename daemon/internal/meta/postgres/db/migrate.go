package db

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
	"github.com/ringstore/ringstore/daemon/internal/store"
	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
)

const (
	versionTable = "schema_version"
	lockTable    = "schema_lock"

	// The others wait this long for a gateway that dies during a migration.
	lockLease     = 15 * time.Second
	lockHeartbeat = 3 * time.Second
	lockPoll      = 100 * time.Millisecond
	lockPatience  = 10 * time.Minute

	stateUndefinedTable = "42P01"
)

// oldestSchema is the oldest schema that the statements work with, while the migrations to newer ones wait for other gateways.
const oldestSchema = 1

// contracting is the line by which a migration file says that it removes or changes something that programs use which
// know earlier versions only.
const contracting = "-- ringstore: contracting"

// Range is the versions of the schema that a program works with.
type Range struct{ Oldest, Newest int64 }

// migrations are the files of a release.
type migrations struct {
	files     fs.FS
	known     Range
	contracts []int64 // versions that wait for gateways which know earlier ones only, ascending
}

// embedded returns the migrations of this program.
func embedded() (migrations, error) {
	files, err := fs.Sub(sqlfiles.Migrations, "migrations")
	if err != nil {
		return migrations{}, err
	}
	return readMigrations(files, oldestSchema)
}

// readMigrations reads the versions of the files, which begin with their numbers, and finds those that are contracting.
func readMigrations(files fs.FS, oldest int64) (m migrations, err error) {
	names, err := fs.Glob(files, "*.sql") // sorted
	m = migrations{files: files, known: Range{Oldest: oldest}}
	for _, name := range names {
		version, err := goose.NumericComponent(path.Base(name))
		if err != nil {
			return m, err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return m, err
		}
		m.known.Newest = max(m.known.Newest, version)
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) == contracting {
				m.contracts = append(m.contracts, version)
				break
			}
		}
	}
	slices.Sort(m.contracts)
	return m, err
}

// Migrate brings the schema up to date. Gateways that start together take turns with a
// lease row, not with an advisory lock, which some engines lack; the
// usual start, with nothing to do, takes no lock. A contracting migration is not run while a gateway is live that knows earlier
// versions only: the program works with the schema as it is, if it can, or else the error names that gateway.
func Migrate(ctx context.Context, pool *pgxpool.Pool, address *link.Address) error {
	m, err := embedded()
	if err != nil {
		return err
	}
	return m.run(ctx, pool, address)
}

func (m migrations) run(ctx context.Context, pool *pgxpool.Pool, address *link.Address) error {
	have, err := schemaVersion(ctx, pool)
	switch {
	case err != nil:
		return err
	case have == m.known.Newest:
		return nil
	case have > m.known.Newest:
		return m.tooNew(have)
	}
	up, closeUp, err := m.provider(ctx, address)
	if err != nil {
		return err
	}
	defer closeUp()
	for _, version := range m.contracts {
		if version <= have {
			continue
		}
		if _, err := up.UpTo(ctx, version-1); err != nil {
			return fmt.Errorf("bringing the schema up to date: %w", err)
		}
		other, err := m.contract(ctx, pool, up, version)
		if err != nil {
			return err
		}
		if other != "" {
			return m.waiting(address, version, other)
		}
	}
	if _, err := up.Up(ctx); err != nil {
		return fmt.Errorf("bringing the schema up to date: %w", err)
	}
	return nil
}

// contract runs a contracting migration, unless a live gateway knows earlier versions only: then it returns that one's name.
//
// While it looks and migrates, its intent is in the table of gateways: a row that works with the new version only. A gateway that starts
// stores its row first and then looks for such a row (Confirm). So of the two at least one sees the other, whichever is first. The
// intent counts for as long as other gateways wait for a migration.
func (m migrations) contract(ctx context.Context, pool *pgxpool.Pool, up *goose.Provider, version int64) (other string, err error) {
	intent := "migration-" + rand.Text()[:8]
	_, err = pool.Exec(ctx, `INSERT INTO gateways (name, version, schema_min, schema_max, started_at, last_beat)
		VALUES ($1, '', $2, $3, clock_timestamp(), clock_timestamp() + $4::interval)`, intent, version, m.known.Newest, lockPatience)
	if err != nil {
		return "", err
	}
	defer func() {
		_, removed := pool.Exec(context.WithoutCancel(ctx), "DELETE FROM gateways WHERE name = $1", intent)
		err = errors.Join(err, removed)
	}()
	other, err = liveGateway(ctx, pool, "schema_max < $1", version)
	if err != nil || other != "" {
		return other, err
	}
	if _, err := up.UpTo(ctx, version); err != nil {
		return "", fmt.Errorf("bringing the schema up to date: %w", err)
	}
	return "", nil
}

// liveGateway returns the name of a live gateway for which the condition holds, or "".
func liveGateway(ctx context.Context, pool *pgxpool.Pool, condition string, version int64) (name string, err error) {
	err = pool.QueryRow(ctx, "SELECT name FROM gateways WHERE "+condition+" AND last_beat > clock_timestamp() - $2::interval ORDER BY name ASC LIMIT 1",
		version, store.GatewaySilence).Scan(&name)
	if IsNoRows(err) {
		return "", nil
	}
	return name, err
}

// waiting is what a gateway does whose migration has to wait: it works with the earlier schema, or is refused.
func (m migrations) waiting(address *link.Address, version int64, other string) error {
	if version-1 >= m.known.Oldest {
		address.Options().Log.Warn("the schema stays at an earlier version, because a gateway knows no later one; it is migrated when a gateway starts after that one has stopped",
			"schema", version-1, "waiting", version, "gateway", other)
		return nil
	}
	return store.Errorf(store.Conflict, "the schema cannot become %d, which this release needs: gateway %s is running and knows earlier versions only", version, other).
		WithHint("Stop or upgrade gateway %s, then start this one again. One that was killed counts as stopped after %s.", other, store.GatewaySilence)
}

func (m migrations) tooNew(have int64) error {
	return store.Errorf(store.Conflict, "the database has schema %d, this release works with %d to %d", have, m.known.Oldest, m.known.Newest).
		WithHint("Run a release that is at least as new as the newest that used this database.")
}

// Confirm checks once more, after the row of this gateway was stored, that the schema is one that the program works with, and that no
// migration runs after which it is not. Conflict.
func (q *Queries) Confirm(ctx context.Context, pool *pgxpool.Pool) error {
	return migrations{known: q.Schema}.confirm(ctx, pool)
}

func (m migrations) confirm(ctx context.Context, pool *pgxpool.Pool) error {
	other, err := liveGateway(ctx, pool, "schema_min > $1", m.known.Newest)
	if err != nil {
		return err
	}
	have, err := schemaVersion(ctx, pool) // after the look: a migration that has removed its intent is seen here
	switch {
	case err != nil:
		return err
	case have > m.known.Newest:
		return m.tooNew(have)
	case other != "":
		return store.Errorf(store.Conflict, "%s is changing the schema to a version that this release does not know; it works with %d to %d", other, m.known.Oldest, m.known.Newest).
			WithHint("Run a release that is at least as new as the newest that uses this database.")
	}
	return nil
}

// provider returns what runs the migrations, on connections of its own without statement limits, and what closes them.
func (m migrations) provider(ctx context.Context, address *link.Address) (_ *goose.Provider, closeAll func(), err error) {
	pool, err := address.Unlimited(ctx, 3) // the migration, the lock's heartbeat, and one to spare
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	closeAll = func() {
		_ = db.Close()
		pool.Close()
	}
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName(lockTable),
		lock.WithTableLeaseDuration(lockLease),
		lock.WithTableHeartbeatInterval(lockHeartbeat),
		lock.WithTableLockTimeout(lockPoll, uint64(lockPatience/lockPoll)),
	)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, m.files, goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(versionTable), goose.WithLocker(locker))
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return p, closeAll, nil
}

// schemaVersion is the newest migration that the database has, 0 for an empty database.
func schemaVersion(ctx context.Context, pool *pgxpool.Pool) (version int64, err error) {
	err = pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&version)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == stateUndefinedTable {
		return 0, nil
	}
	return version, err
}
