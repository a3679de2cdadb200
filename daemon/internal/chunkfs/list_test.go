package chunkfs_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// TestListReadsNoChunk: ids and sums come from the index. Only chunk files of an earlier process
// are opened, once; one whose sum cannot be read is listed as damaged.
func TestListReadsNoChunk(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	var want []chunk.Listed
	for n, size := range []int{300, 5000, 2000, 7000} { // packed and files
		require.NoError(t, put(s, fixedID(n+1), text(n+1, size), goldenLabel))
		info, err := s.Stat(t.Context(), fixedID(n+1))
		require.NoError(t, err)
		want = append(want, chunk.Listed{ID: info.ID, Sum: info.Sum})
	}
	require.NoError(t, s.Close())
	name := "chunks/03/" + fixedID(2).String()

	var reads atomic.Int64
	cfg := tiny(disk)
	cfg.FS = vfstest.NewInject(disk, func(c vfstest.Call) error {
		if c.Op == "openread" || c.Op == "read" {
			reads.Add(1)
		}
		return nil
	})
	s = open(t, cfg)
	list := func() []chunk.Listed {
		listed, err := s.List(t.Context(), store.ChunkID{}, 10)
		require.NoError(t, err)
		return listed
	}
	reads.Store(0)
	require.ElementsMatch(t, want, list())
	require.Positive(t, reads.Load(), "the files of the earlier process")
	reads.Store(0)
	require.ElementsMatch(t, want, list())
	require.Zero(t, reads.Load())

	// Written by this process: known without a read.
	require.NoError(t, put(s, fixedID(9), text(9, 6000), goldenLabel))
	info, err := s.Stat(t.Context(), fixedID(9))
	require.NoError(t, err)
	reads.Store(0)
	require.Contains(t, list(), chunk.Listed{ID: info.ID, Sum: info.Sum})
	require.Zero(t, reads.Load())

	require.NoError(t, s.Close())
	whole := contentOf(t, disk, name)
	overwrite(t, disk, name, whole[:len(whole)-1])
	s = open(t, tiny(disk))
	require.Contains(t, list(), chunk.Listed{ID: fixedID(2), Damaged: true})
}
