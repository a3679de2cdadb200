package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// open opens a store that is closed at the end of the test.
func open(tb testing.TB, dsn string, o postgres.Options) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), dsn, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func TestSmoke(t *testing.T) {
	s := open(t, pgtest.Database(t), postgres.Options{})
	p := store.Part{ID: store.NewPartID(), Number: 1, Size: 5, K: 1, M: 1, UnitSize: 100, Chunks: []store.Placement{{Node: store.NewNodeID(), Sum: 5}, {}}}
	f := store.File{ID: store.NewFileID(), Bucket: "default", Key: "a/b", Size: 5, Meta: map[string]string{"a": "b"}, Parts: []store.Part{p}}
	got, rep, err := s.CommitFile(t.Context(), f, false)
	require.NoError(t, err)
	t.Log(got, rep)
	back, err := s.File(t.Context(), f.ID)
	require.NoError(t, err)
	t.Log(back)
}
