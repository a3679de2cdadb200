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
// it alone: sessions come before files in that order. Nothing relies on FOR KEY SHARE
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
// # Connections
//
// How a call reaches the server, and what is repeated after which failure, is in package link; what a
// statement's failure means is in errors.go. Membership, leases, keys and Ping have connections of
// their own (Store.control), so that no number of slow calls of clients makes them wait.
//
// # Poolers and failover
//
// A pooler in transaction mode is noticed; it needs no settings. With several hosts the DSN needs
// target_session_attrs=read-write, so that after a failover the new primary is found.
package postgres
