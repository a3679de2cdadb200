// Package pgserver runs a private PostgreSQL for tests and benchmarks, from the
// initdb and postgres binaries that the machine has.
//
// A Server has a data directory of its own, listens on a Unix socket in it (and
// on a loopback port when asked), and can be stopped and started again on the same data, so that
// tests can stop the database and bring it back. It leaves nothing behind: a
// small companion process ends the server and removes its directory when
// the program that started it ends without calling Close, by a panic or kill -9.
//
// A [Pooler] is a PgBouncer in transaction mode before a Server, as Debian packages it.
//
// It knows nothing of Ringstore and may be imported by any test.
package pgserver
