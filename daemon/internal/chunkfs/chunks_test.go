package chunkfs_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store for one test and closes it at the end.
func open(t testing.TB, cfg chunkfs.Config) *chunkfs.Store {
	t.Helper()
	s, err := chunkfs.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// TestContract runs the suite on both forms, on the disk and in memory, with
// segments so small that every few records begin a new one.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]chunkfs.Config{
		"default":            {},
		"all are files":      {PackBelow: 1},
		"tiny segments":      {SegmentSize: 10_000, CompactRate: 1 << 40},
		"no memory to spare": {BufferLimit: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chunktest.Run(t, func(t testing.TB) store.Chunks {
				cfg := cfg
				cfg.Dir = t.TempDir()
				return open(t, cfg)
			})
		})
	}
	t.Run("crashable", func(t *testing.T) {
		t.Parallel()
		chunktest.Run(t, func(t testing.TB) store.Chunks {
			fs := vfs.NewCrashable()
			t.Cleanup(func() { require.Zero(t, fs.OpenFiles(), "files left open") })
			return open(t, chunkfs.Config{FS: fs})
		})
	})
}
