// Package sqlsubset tests that the SQL for PostgreSQL stays within what YugabyteDB and CockroachDB accept, too.
package sqlsubset
