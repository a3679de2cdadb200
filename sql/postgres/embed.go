// Package postgres holds the SQL for PostgreSQL: migrations and named queries.
package postgres

import "embed"

// Migrations are the goose migrations, under migrations/.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Queries are the named queries, under queries/.
//
//go:embed queries/*.sql
var Queries embed.FS
