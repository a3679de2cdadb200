// Package postgres keeps the metadata in PostgreSQL, or an engine that speaks
// its protocol. It is a [store.Metadata].
//
// # One round trip
//
// Each call is one statement or one pipeline of statements, which the server
// runs as one transaction: a call costs one round trip and one flush of the
// server's log. Statements of a pipeline see what those before them did, and run at
// READ COMMITTED, so each begins with a fresh look at what others committed.
//
// # Who waits for whom
//
// A commit holds its bucket's row (shared), then the shown file of its key,
// then parts, then tasks; in each table rows are locked in the order of an index.
// Two commits of one new key meet at the unique index files_latest: one of
// them fails there and is repeated, and then replaces the other's file. What is
// repeated is bounded, with jitter, and after that Unavailable.
//
// Who adds to a session holds its row beside others who do, and who ends it holds
// it alone: sessions come before files in that order. Nobody relies on FOR KEY SHARE
// against FOR UPDATE, which PostgreSQL does not always keep apart; a bucket that is deleted changes its name instead.
//
// Small commits that arrive while others are on their way share the next
// pipeline (see group.go): one transaction makes many files complete. One that
// cannot be stored is found out by repeating each alone, so it fails by itself.
//
// # Clocks
//
// Every time that is compared is the database's.
//
// # Poolers and failover
//
// Behind a pooler in transaction mode the DSN needs
// default_query_exec_mode=cache_describe, unless the pooler keeps prepared
// statements itself (PgBouncer from 1.21 on), and the pooler must let the
// parameter statement_timeout pass. With several hosts the DSN needs
// target_session_attrs=read-write, so that after a failover the new primary is found.
package postgres
