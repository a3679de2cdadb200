package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
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

// Migrate brings the schema up to date. Gateways that start together take turns with a
// lease row, not with an advisory lock, which some engines lack; the
// usual start, with nothing to do, takes no lock.
func Migrate(ctx context.Context, pool *pgxpool.Pool, address *link.Address) error {
	files, err := fs.Sub(sqlfiles.Migrations, "migrations")
	if err != nil {
		return err
	}
	want, err := newestMigration(files)
	if err != nil {
		return err
	}
	have, err := schemaVersion(ctx, pool)
	switch {
	case err != nil:
		return err
	case have == want:
		return nil
	case have > want:
		return store.Errorf(store.Conflict, "the database has schema %d, this release knows up to %d", have, want).
			WithHint("Run a release that is at least as new as the newest that used this database.")
	}
	return migrateUnderLock(ctx, address, files)
}

// migrateUnderLock runs the missing migrations on connections of its own, without statement limits.
func migrateUnderLock(ctx context.Context, address *link.Address, files fs.FS) error {
	pool, err := address.Unlimited(ctx, 3) // the migration, the lock's heartbeat, and one to spare
	if err != nil {
		return err
	}
	defer pool.Close()
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName(lockTable),
		lock.WithTableLeaseDuration(lockLease),
		lock.WithTableHeartbeatInterval(lockHeartbeat),
		lock.WithTableLockTimeout(lockPoll, uint64(lockPatience/lockPoll)),
	)
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(versionTable), goose.WithLocker(locker))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing the schema up to date: %w", err)
	}
	return nil
}

// schemaVersion is the newest migration that the database has, 0 for an empty database.
func schemaVersion(ctx context.Context, pool *pgxpool.Pool) (version int64, err error) {
	err = pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&version)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == stateUndefinedTable {
		return 0, nil
	}
	return version, err
}

// newestMigration is the highest version among the files, which begin with their numbers.
func newestMigration(files fs.FS) (newest int64, err error) {
	names, err := fs.Glob(files, "*.sql")
	for _, name := range names {
		version, err := goose.NumericComponent(path.Base(name))
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, err
}
