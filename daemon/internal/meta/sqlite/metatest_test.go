package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/metatest"
)

func TestMain(m *testing.M) {
	if runAsVictim() {
		return
	}
	goleak.VerifyTestMain(m)
}

func TestMetadata(t *testing.T) { metatest.Run(t, fresh) }

func BenchmarkMetadata(b *testing.B) { metatest.Benchmark(b, fresh) }

// fresh makes a folder for a database.
func fresh(tb testing.TB) metatest.Open {
	path := filepath.Join(tb.TempDir(), "metadata.db")
	return func(tb testing.TB) store.Metadata { return open(tb, path) }
}

func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.Close() }) // a test may have closed it before
	return s
}

// newFile is a small file of one part in three copies.
func newFile(key string) store.File {
	p := store.Part{ID: store.NewPartID(), Number: 1, Size: 4096, K: 1, M: 2, UnitSize: chunk.DefaultUnitSize}
	for range 3 {
		p.Chunks = append(p.Chunks, store.Placement{Node: store.NewNodeID(), Sum: 7})
	}
	return store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: store.Key(key), Size: 4096, Parts: []store.Part{p}}
}
