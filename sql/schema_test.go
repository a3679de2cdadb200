package schema_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	schema "github.com/ringstore/ringstore/sql"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"queries/a.sql": {Data: []byte("-- What it is for.\n-- name: One\nSELECT 1;\n\n-- Of the next.\n-- On two lines.\n-- name: Two\nSELECT\n2;\n")},
		"queries/b.txt": {Data: []byte("-- name: Other\nno")},
	}
	var both struct{ One, Two string }
	require.NoError(t, schema.Load(files, &both))
	require.Equal(t, "SELECT 1;", both.One)
	require.Equal(t, "SELECT\n2;", both.Two)

	var fewer struct{ One string }
	require.ErrorContains(t, schema.Load(files, &fewer), "Two is not used")
	var more struct{ One, Two, Three string }
	require.ErrorContains(t, schema.Load(files, &more), "no query is named Three")

	files["queries/c.sql"] = &fstest.MapFile{Data: []byte("-- name: One\nSELECT 3;")}
	require.ErrorContains(t, schema.Load(files, &both), "twice")
}
