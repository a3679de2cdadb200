// Package sqlsubset tests that the SQL for PostgreSQL stays within what YugabyteDB and CockroachDB accept, too.
//
// One thing it cannot demand: YugabyteDB hashes the first column of a primary key unless its order is given, and PostgreSQL's
// grammar has no place for an order there. Walks by id and by revision read ranges of primary keys, so on YugabyteDB the setting
// yb_use_hash_splitting_by_default must be off when the tables are created.
package sqlsubset
