// Package sqlite holds the SQL for SQLite: migrations and named queries.
package sqlite

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Queries are the named queries, under queries/.
//
//go:embed queries/*.sql
var Queries embed.FS

// Migrations gives the goose migrations, without their folder.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}
