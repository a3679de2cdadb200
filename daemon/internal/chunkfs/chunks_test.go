package chunkfs_test

import (
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
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

// TestContract runs the suite on both formats, on the disk and in memory, with segments so
// small that every few records begin a new one.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]chunkfs.Config{
		"default":            {},
		"all are files":      {PackBelow: 1},
		"tiny segments":      {SegmentSize: 10_000, CompactRate: 1 << 40},
		"no memory to spare": {BufferLimit: 1},
		"a full page cache":  {PackBelow: 1, MemoryShort: func() bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chunktest.Run(t, func(t testing.TB) chunk.Store {
				cfg := cfg
				cfg.Dir = t.TempDir()
				return open(t, cfg)
			})
		})
	}
	t.Run("crashable", func(t *testing.T) {
		t.Parallel()
		chunktest.Run(t, func(t testing.TB) chunk.Store {
			fs := vfstest.NewCrashable()
			t.Cleanup(func() { require.Zero(t, fs.OpenFiles(), "files left open") })
			return open(t, chunkfs.Config{FS: fs})
		})
	})
}

// TestContractDamaged has the disk answer reads with an error: of a chunk's file, or
// of its place in a segment.
func TestContractDamaged(t *testing.T) {
	t.Parallel()
	for what, below := range map[string]int64{"packed": 1 << 20, "files": 1} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			chunktest.RunDamage(t, func(t testing.TB) (chunk.Store, chunktest.Damage) {
				var end int64 // of the segment, before the last record
				fs := vfstest.NewInject(vfstest.NewCrashable(), nil)
				fs.SetHook(func(c vfstest.Call) error {
					if c.Op == "write" && strings.HasPrefix(c.Name, "segments/0") {
						end = c.Off
					}
					return nil
				})
				s := open(t, chunkfs.Config{FS: fs, PackBelow: below})
				return s, func(id store.ChunkID) {
					bad := end
					fs.SetHook(func(c vfstest.Call) error {
						if c.Op == "read" && (strings.HasSuffix(c.Name, id.String()) || strings.HasPrefix(c.Name, "segments/0") && c.Off >= bad) {
							return syscall.EIO
						}
						return nil
					})
				}
			})
		})
	}
}

// logTo returns a log that writes lines of text to b. It is used by one goroutine at a time.
func logTo(b io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
