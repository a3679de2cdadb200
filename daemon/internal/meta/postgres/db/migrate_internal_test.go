package db

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// A migration is contracting by a line of its own, not by the words in another comment.
func TestContractingMigrationsAreMarked(t *testing.T) {
	t.Parallel()
	m, err := readMigrations(fstest.MapFS{
		"00001_first.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE a (id bigint);\n")},
		"00003_third.sql":   {Data: []byte("-- +goose Up\n  -- ringstore: contracting  \r\nDROP TABLE a;\n")},
		"00002_second.sql":  {Data: []byte("-- this is no -- ringstore: contracting\nSELECT '-- ringstore: contracting';\n")},
		"00010_tenth.sql":   {Data: []byte("-- ringstore: contracting\n-- +goose Up\nDROP TABLE b;\n-- ringstore: contracting\n")},
		"notes/readme.text": {Data: []byte("-- ringstore: contracting\n")},
	}, 2)
	require.NoError(t, err)
	require.Equal(t, Range{Oldest: 2, Newest: 10}, m.known)
	require.Equal(t, []int64{3, 10}, m.contracts)
	_, err = readMigrations(fstest.MapFS{"first.sql": {Data: []byte("")}}, 1)
	require.Error(t, err)
}

// What this release carries: a first migration has nothing that it could take from another gateway.
func TestEmbeddedMigrations(t *testing.T) {
	t.Parallel()
	m, err := embedded()
	require.NoError(t, err)
	require.NotContains(t, m.contracts, int64(1))
	require.LessOrEqual(t, m.known.Oldest, m.known.Newest)
}
