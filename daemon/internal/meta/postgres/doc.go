// Package postgres keeps the metadata in PostgreSQL, or an engine that speaks
// its protocol. It is a [store.Metadata].
//
// # One round trip
//
// Each call is one statement or one pipeline of statements, which the server
// runs as one transaction: a call costs one round trip and one flush of the
// server's log. Statements of a pipeline see the effects of those before them, and run at
// READ COMMITTED, so each sees everything that was committed before it began.
//
// # Lock order
//
// A commit locks its bucket's row (shared), then the latest file of its key,
// then parts, then tasks; in each table rows are locked in the order of an index.
// Two commits of one new key collide at the unique index files_latest: one of
// them fails there and is retried, and then replaces the other's file. Retries
// are bounded, with jitter; after the last the call is Unavailable.
//
// Changes that add to a session lock its row shared, and the change that ends it locks
// it exclusively: sessions come before files in the order. Nothing relies on a conflict between FOR KEY SHARE
// and FOR UPDATE, which PostgreSQL does not always enforce; deleting a bucket changes its name instead.
//
// Small commits that arrive while others are in flight share the next
// pipeline (package group): one transaction makes many files complete. If it fails,
// each commit is retried alone, so that a commit fails only for its own reasons.
// Deletions have groups of their own: each says what it found in its place of the answer, and what
// needs more than one row of a key (a version behind the file becomes latest) gets a transaction of its own.
// A group of deletions locks all its files, in the same order as a commit, before it changes one. Changes with
// conditions are never in a group, because a condition that does not hold fails the transaction.
//
// # Clocks
//
// Every time that is compared is the database's.
//
// # Connections
//
// Package link sends calls to the server and knows what is retried after which failure; package db has the statements and
// translates their failures; package control has membership, leases, keys and jobs, package queue the tasks. Membership, leases, keys and Ping use connections of
// their own (Store.control), so that no number of slow client calls delays them.
//
// # Poolers and failover
//
// A pooler in transaction mode is detected and needs no settings. With several hosts the DSN needs
// target_session_attrs=read-write, so that the new primary is found after a failover.
package postgres
