package db

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
)

// MigrateWith is Migrate for a program that has these migrations and works with schemas from the oldest on.
func MigrateWith(ctx context.Context, pool *pgxpool.Pool, address *link.Address, files fs.FS, oldest int64) error {
	m, err := readMigrations(files, oldest)
	if err != nil {
		return err
	}
	return m.run(ctx, pool, address)
}

// ConfirmWith is Confirm for a program that works with these schemas.
func ConfirmWith(ctx context.Context, pool *pgxpool.Pool, known Range) error {
	return migrations{known: known}.confirm(ctx, pool)
}
