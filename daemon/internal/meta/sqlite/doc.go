// Package sqlite is a store.Metadata in one SQLite file, for one process.
//
// All changes go through one writer (writer.go), which commits those that wait
// together: one fsync for many. Each runs in a savepoint of its own, so that one that fails
// takes nothing with it. Reads run beside it on connections of their own and
// see what was committed last.
//
// The journal is a write-ahead log with synchronous=FULL: what was answered
// survives a power cut. The statements are in sql/sqlite, the tables explained in
// docs/format/sqlite-schema.md.
package sqlite
