// Package sqlite is a store.Metadata in one SQLite file, for one process.
//
// One writer (writer.go) makes all changes, and commits those that are waiting
// together: one fsync for many. Each runs in a savepoint of its own, so that a failing change
// does not affect the others. Reads run concurrently on connections of their own and
// see the last commit.
//
// The journal is a write-ahead log with synchronous=FULL: acknowledged changes
// survive a power cut. The statements are in sql/sqlite, and
// docs/format/sqlite-schema.md explains the tables.
package sqlite
