package chunkfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// filled returns a store of small chunks on a disk that was then filled to the last byte.
func filled(t *testing.T, chunks int) (*chunkfs.Store, *vfstest.Crashable, *oracle) {
	disk, o := vfstest.NewCrashable(), &oracle{kept: map[store.ChunkID]string{}}
	s := open(t, roomy(disk))
	for n := range chunks {
		require.NoError(t, o.attempt(fixedID(n), text(n, 700), func() error { return put(s, fixedID(n), text(n, 700), goldenLabel) }))
	}
	fill(t, disk)
	return s, disk, o
}

// roomy preallocates enough for the deletions of a test, and has a clock that advances with
// each call, so that no measurement of the disk is reused.
func roomy(fs vfs.FS) chunkfs.Config {
	cfg := tiny(fs)
	cfg.Spare = 16 << 10
	now := time.Unix(1_700_000_000, 0)
	cfg.Now = func() time.Time { now = now.Add(time.Minute); return now }
	return cfg
}

func fill(t *testing.T, disk *vfstest.Crashable) {
	t.Helper()
	disk.SetSpace(1 << 30)
	space, err := disk.Space()
	require.NoError(t, err)
	disk.SetSpace(space.Total - space.Free)
}

// TestFullDiskDeletes: on a disk without a free byte everything can be deleted, and
// the space returns.
func TestFullDiskDeletes(t *testing.T) {
	t.Parallel()
	s, disk, o := filled(t, 100)
	require.ErrorIs(t, put(s, store.ChunkID{Part: store.PartID{9}}, text(1, 7000), goldenLabel), store.NoSpace)
	space, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.DiskFull, space.Disk.State)
	require.NotEmpty(t, space.Disk.Reason)
	o.check(t, s)
	for n := range 100 {
		require.NoError(t, o.attempt(fixedID(n), "", func() error { return s.Delete(t.Context(), fixedID(n)) }), "deletion %d", n)
	}
	o.check(t, s)
	for seed := range uint64(5) {
		reopened(t, disk.CrashClone(seed), o.clone(), "deleted on a full disk")
	}
	require.NoError(t, s.Compact(t.Context()))
	left, err := disk.Space()
	require.NoError(t, err)
	require.Greater(t, left.Free, int64(80_000), "of 90 KB of chunks")
	disk.SetSpace(1 << 30)
	require.NoError(t, put(s, fixedID(1), text(1, 700), goldenLabel))
	space, err = s.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Disk{}, space.Disk)
}

// On a full disk one call deletes as many chunks as have room for their deletion, and reports the others.
func TestFullDiskDeletesManyAsFarAsItCan(t *testing.T) {
	t.Parallel()
	disk, o := vfstest.NewCrashable(), &oracle{kept: map[store.ChunkID]string{}}
	s := open(t, tiny(disk)) // its spare segment has room for a few deletions
	var ids []store.ChunkID
	for n := range 200 {
		ids = append(ids, fixedID(n))
		require.NoError(t, o.attempt(ids[n], text(n, 300), func() error { return put(s, ids[n], text(n, 300), goldenLabel) }))
	}
	fill(t, disk)
	deleted := 0
	for i, err := range s.DeleteMany(t.Context(), ids) {
		if err == nil {
			deleted++
			o.apply(ids[i], "")
			continue
		}
		require.ErrorIs(t, err, store.NoSpace)
	}
	require.Positive(t, deleted)
	require.Less(t, deleted, len(ids))
	o.check(t, s)
	reopened(t, disk.CrashClone(1), o.clone(), "deleted as far as there was room")
}

// TestFullDiskDeletesAfterARestart: the spare segment stays in use, and chunks
// deleted in it stay deleted.
func TestFullDiskDeletesAfterARestart(t *testing.T) {
	t.Parallel()
	s, disk, o := filled(t, 60)
	remove := func(s *chunkfs.Store, from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			require.NoError(t, o.attempt(fixedID(n), "", func() error { return s.Delete(t.Context(), fixedID(n)) }), "deletion %d", n)
		}
	}
	remove(s, 5, 15)
	for round := 1; round < 4; round++ {
		left := disk.CrashClone(uint64(round))
		fill(t, left)
		s, disk = open(t, roomy(left)), left
		o.check(t, s)
		remove(s, 5+10*round, 15+10*round)
	}
	o.check(t, s)
}

// TestDeadSegmentsAreRemovedWithoutAWrite: when the spare is used up, too, segments in
// which nothing is live are still removed, and the space is there for more.
func TestDeadSegmentsAreRemovedWithoutAWrite(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	cfg := roomy(disk)
	cfg.Spare = -1
	s := open(t, cfg)
	for n := range 60 {
		require.NoError(t, put(s, fixedID(n), text(n, 700), goldenLabel))
	}
	for n := range 12 { // two segments, while there is room
		require.NoError(t, s.Delete(t.Context(), fixedID(n)))
	}
	fill(t, disk)
	before, err := disk.Space()
	require.NoError(t, err)
	require.NoError(t, s.Compact(t.Context()))
	after, err := disk.Space()
	require.NoError(t, err)
	require.Greater(t, after.Free, before.Free+9_000)
	require.NoError(t, s.Delete(t.Context(), fixedID(20)))
}

// TestSpareOverCuts cuts the power before every call while a full disk deletes.
func TestSpareOverCuts(t *testing.T) {
	t.Parallel()
	_, disk, o := filled(t, 30)
	left := disk.Clone()
	fill(t, left)
	fs := vfstest.NewInject(left, nil)
	s := open(t, roomy(fs))
	cuts := uint64(0)
	fs.SetHook(func(call vfstest.Call) error {
		if !call.Changes() {
			return nil
		}
		for range 3 {
			cuts++
			at := left.CrashClone(cuts)
			again, err := chunkfs.Open(t.Context(), roomy(at))
			require.NoError(t, err)
			then := o.clone()
			then.check(named{t, "cut before " + call.String()}, again)
			// A torn write is not reported as damage or as a deletion when more records follow.
			for id := range then.kept {
				require.NoError(t, then.attempt(id, "", func() error { return again.Delete(t.Context(), id) }))
				break
			}
			space, err := again.Capacity(t.Context())
			require.NoError(t, err)
			require.NotContains(t, space.Disk.Reason, "damaged")
			reopened(t, at.CrashClone(vfstest.CrashLosesAll), then, "after it")
			require.NoError(t, again.Close())
		}
		return nil
	})
	for n := range 10 {
		require.NoError(t, o.attempt(fixedID(n), "", func() error { return s.Delete(t.Context(), fixedID(n)) }))
	}
	fs.SetHook(nil)
	require.NotZero(t, cuts)
}

// TestFailedBatchIsUndoneDurably: a write that was stored in part and then failed on a full
// disk does not reappear after a power cut, once the caller received the error.
func TestFailedBatchIsUndoneDurably(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		for _, op := range []string{"write", "datasync"} {
			disk := vfstest.NewCrashable()
			fs := vfstest.NewInject(disk, nil)
			s := open(t, tiny(fs))
			o := &oracle{kept: map[store.ChunkID]string{}}
			require.NoError(t, o.attempt(fixedID(1), text(1, 700), func() error { return put(s, fixedID(1), text(1, 700), goldenLabel) }))
			landed := false
			fs.SetHook(func(c vfstest.Call) error {
				switch {
				case c.Op == "write" && !landed:
					if landed = true; op == "write" {
						return vfstest.ErrShortWrite
					}
				case c.Op == "datasync" && landed && op == "datasync":
					op = ""
					return fault
				}
				return nil
			})
			err := put(s, fixedID(2), text(2, 700), goldenLabel)
			if op == "write" {
				require.Error(t, err) // after a short write without a reason the content of the disk is unknown
				continue
			}
			require.ErrorIs(t, err, store.NoSpace)
			for seed := range uint64(20) {
				reopened(t, disk.CrashClone(seed), o.clone(), "after a full disk")
			}
			fs.SetHook(nil)
			require.NoError(t, put(s, fixedID(3), text(3, 700), goldenLabel))
		}
	}
}

// TestRealFullDisk fills an ext4 of 48 MiB from outside, deletes all chunks, and checks that the
// space becomes free.
func TestRealFullDisk(t *testing.T) {
	dir := smallDisk(t)
	cfg := chunkfs.Config{Dir: filepath.Join(dir, "node"), SegmentSize: 2 << 20, PackBelow: 1 << 20, NoBackground: true}
	s := open(t, cfg)
	ids := []store.ChunkID{}
	for {
		id := chunktest.NewID()
		if err := put(s, id, text(len(ids), 40<<10), goldenLabel); err != nil {
			require.ErrorIs(t, err, store.NoSpace)
			break
		}
		ids = append(ids, id)
		if len(ids) == 500 {
			break
		}
	}
	fillDir(t, dir)
	require.ErrorIs(t, put(s, chunktest.NewID(), text(1, 40<<10), goldenLabel), store.NoSpace)
	space, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.DiskFull, space.Disk.State)
	require.NoError(t, s.Close())
	s = open(t, cfg) // a start on the full disk
	for _, id := range ids {
		require.NoError(t, s.Verify(t.Context(), id))
		require.NoError(t, s.Delete(t.Context(), id))
	}
	require.NoError(t, s.Compact(t.Context()))
	used, err := filepath.Glob(filepath.Join(dir, "node", "segments", "0*.seg"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(used), 2, "of ten")
	require.NoError(t, put(s, chunktest.NewID(), text(2, 40<<10), goldenLabel), "the space is back")
}

// smallDisk mounts a small ext4 for the test; it is skipped where that cannot be done.
func smallDisk(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("mounting a disk needs Linux and root")
	}
	image, dir := filepath.Join(t.TempDir(), "disk.img"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 48<<20))
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no loop-mounted ext4 here: %s: %v: %s", args[0], err, out)
		}
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

// fillDir uses every free byte of the disk, in ever smaller files.
func fillDir(t *testing.T, dir string) {
	t.Helper()
	for size := 1 << 20; size > 0; size /= 4 {
		f, err := os.OpenFile(filepath.Join(dir, "others"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		require.True(t, errors.Is(err, syscall.ENOSPC), "%v", err)
		_ = f.Sync()
		require.NoError(t, f.Close())
	}
}
