package chunkfs_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// killedAt runs steps on a disk until the first call that matches, and returns the disk as a
// kill of the process at that moment leaves it.
func killedAt(t *testing.T, disk *vfstest.Crashable, call string, steps func(s *chunkfs.Store)) *vfstest.Crashable {
	t.Helper()
	var left *vfstest.Crashable
	fs := vfstest.NewInject(disk, nil)
	s := open(t, tiny(fs))
	armed := false
	fs.SetHook(func(c vfstest.Call) error {
		switch {
		case left == nil && strings.HasPrefix(c.String(), "remove segments/"), strings.HasPrefix(c.String(), "mkdir chunks/"):
			armed = true
		case left == nil && armed && c.String() == call:
			left = disk.Clone()
		}
		return nil
	})
	steps(s)
	require.NotNil(t, left, "%s never came", call)
	return left
}

// TestRemovalUnsyncedAtAKill: compaction removed a segment, the process was
// killed before the removal was durable, the next process deletes a chunk that
// was in it, and a power cut restores the segment.
func TestRemovalUnsyncedAtAKill(t *testing.T) {
	t.Parallel()
	left := killedAt(t, vfstest.NewCrashable(), "syncdir segments", func(s *chunkfs.Store) {
		require.NoError(t, put(s, fixedID(1), text(1, 500), goldenLabel))
		require.NoError(t, put(s, fixedID(2), text(2, 2900), goldenLabel))
		require.NoError(t, put(s, fixedID(3), text(3, 2900), goldenLabel)) // the next segment
		require.NoError(t, s.Delete(t.Context(), fixedID(2)))
		require.NoError(t, s.Compact(t.Context()))
	})
	s := open(t, tiny(left))
	require.NoError(t, s.Verify(t.Context(), fixedID(1)))
	require.NoError(t, s.Delete(t.Context(), fixedID(1)))
	reopened(t, left.CrashClone(vfstest.CrashLosesAll), &oracle{kept: map[store.ChunkID]string{fixedID(3): text(3, 2900)}}, "after the cut")
}

// TestFolderUnsyncedAtAKill: the folder of a chunk was created, but not durably.
func TestFolderUnsyncedAtAKill(t *testing.T) {
	t.Parallel()
	left := killedAt(t, vfstest.NewCrashable(), "syncdir chunks", func(s *chunkfs.Store) {
		require.NoError(t, put(s, fixedID(1), text(1, 5000), goldenLabel))
	})
	s := open(t, tiny(left))
	require.NoError(t, put(s, fixedID(4), text(4, 5000), goldenLabel)) // in the same folder
	reopened(t, left.CrashClone(vfstest.CrashLosesAll), &oracle{kept: map[store.ChunkID]string{fixedID(4): text(4, 5000)}}, "after the cut")
}

// TestCompactionRunsByItself after deletions, and at start.
func TestCompactionRunsByItself(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	removed := make(chan string, 10)
	fs := vfstest.NewInject(disk, func(c vfstest.Call) error {
		if c.Op == "remove" && strings.HasPrefix(c.Name, "segments/") {
			removed <- c.Name
		}
		return nil
	})
	cfg := tiny(fs)
	cfg.NoBackground = false
	s, err := chunkfs.Open(t.Context(), cfg)
	require.NoError(t, err)
	for n := range 6 {
		require.NoError(t, put(s, fixedID(n), text(n, 1500), goldenLabel))
	}
	for n := range 3 {
		require.NoError(t, s.Delete(t.Context(), fixedID(n)))
	}
	require.Equal(t, "segments/00000001.seg", <-removed)
	for n := 6; n < 8; n++ {
		require.NoError(t, put(s, fixedID(n), text(n, 2900), goldenLabel))
	}
	for n := 3; n < 6; n++ {
		require.NoError(t, s.Verify(t.Context(), fixedID(n)))
		require.NoError(t, s.Delete(t.Context(), fixedID(n)))
	}
	require.Equal(t, "segments/00000002.seg", <-removed)
	require.NoError(t, s.Close())
}

// TestCompactionThatFailsIsTriedAgain: a temporary error does not stop compaction for good.
func TestCompactionThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	fs := vfstest.NewInject(disk, nil)
	s := open(t, tiny(fs))
	for n := range 6 {
		require.NoError(t, put(s, fixedID(n), text(n, 1500), goldenLabel))
	}
	for n := range 2 {
		require.NoError(t, s.Delete(t.Context(), fixedID(n)))
	}
	for _, fails := range []struct { // in the order of the steps: a later one finds those before it done
		op  string
		err syscall.Errno
	}{{"read", syscall.ENOMEM}, {"write", syscall.ENOSPC}, {"remove", syscall.EDQUOT}} {
		fs.SetHook(func(c vfstest.Call) error {
			if c.Op == fails.op {
				return fails.err
			}
			return nil
		})
		require.Error(t, s.Compact(t.Context()), fails.op)
	}
	fs.SetHook(nil)
	require.NoError(t, s.Compact(t.Context()))
	_, err := disk.Stat("segments/00000001.seg")
	require.Error(t, err)
	for n := 2; n < 6; n++ {
		require.NoError(t, s.Verify(t.Context(), fixedID(n)))
	}
}

// TestThrottleEndsWithTheStore: a compaction that would take years does not hold up Close.
func TestThrottleEndsWithTheStore(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	wrote := make(chan struct{}, 100)
	fs := vfstest.NewInject(disk, nil)
	cfg := tiny(fs)
	cfg.NoBackground, cfg.CompactRate, cfg.Now = false, 1, time.Now
	s, err := chunkfs.Open(t.Context(), cfg)
	require.NoError(t, err)
	for n := range 6 {
		require.NoError(t, put(s, fixedID(n), text(n, 1500), goldenLabel))
	}
	require.NoError(t, s.Delete(t.Context(), fixedID(0)))
	fs.SetHook(func(c vfstest.Call) error {
		if c.Op == "datasync" {
			wrote <- struct{}{}
		}
		return nil
	})
	require.NoError(t, s.Delete(t.Context(), fixedID(1))) // now the first segment is rewritten
	<-wrote                                               // the tombstone
	<-wrote                                               // the copy
	require.NoError(t, s.Close())
	reopened(t, disk, &oracle{kept: map[store.ChunkID]string{
		fixedID(2): text(2, 1500), fixedID(3): text(3, 1500), fixedID(4): text(4, 1500), fixedID(5): text(5, 1500),
	}}, "compaction cut short")
}
