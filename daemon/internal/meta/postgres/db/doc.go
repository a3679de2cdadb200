// Package db is what all calls of meta/postgres have in common: the statements, calls that are retried while transactions
// collide, the translation of errors, and the schema.
package db
