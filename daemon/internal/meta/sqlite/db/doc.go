// Package db is the database file of meta/sqlite: one writer that commits waiting changes together, connections for
// reads, the statements, and the clock.
package db
