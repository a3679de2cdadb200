package chunkfs_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// badSector fails reads of a byte of a file, as a disk with a bad sector does.
func badSector(name string, at int64) func(vfstest.Call) error {
	return func(c vfstest.Call) error {
		if c.Op == "read" && c.Name == name && c.Off <= at && at < c.Off+c.Len {
			return syscall.EIO
		}
		return nil
	}
}

// TestCompactionKeepsWhatItDoesNotFind: the last page of a sealed segment, with
// its index and its last record, is lost while the store runs. Compaction finds
// fewer records than the index has, and keeps the segment.
func TestCompactionKeepsWhatItDoesNotFind(t *testing.T) {
	t.Parallel()
	for what, put4 := range map[string]bool{"a chunk": true, "a tombstone": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewCrashable()
			s := open(t, tiny(disk))
			require.NoError(t, put(s, fixedID(20), text(20, 2900), goldenLabel))
			require.NoError(t, put(s, fixedID(21), text(21, 2400), goldenLabel)) // the first segment
			for n := range 4 {
				require.NoError(t, put(s, fixedID(n), text(n, 900), goldenLabel))
			}
			if put4 {
				require.NoError(t, put(s, fixedID(4), text(4, 900), goldenLabel))
			} else {
				require.NoError(t, s.Delete(t.Context(), fixedID(20)))
			}
			require.NoError(t, put(s, fixedID(9), text(9, 2900), goldenLabel)) // seals the second
			const name = "segments/00000002.seg"
			whole := contentOf(t, disk, name)
			cut := len(whole) - 64 - 5*48 // index and footer
			if put4 {
				cut -= 1096
			} else {
				cut -= 72
			}
			overwrite(t, disk, name, whole[:cut])
			for n := range 3 {
				require.NoError(t, s.Delete(t.Context(), fixedID(n)))
			}
			for range 2 {
				require.NoError(t, s.Compact(t.Context()))
				_, err := disk.Stat(name)
				require.NoError(t, err, "kept")
			}
			space, err := s.Capacity(t.Context())
			require.NoError(t, err)
			require.Contains(t, space.Disk.Reason, "00000002.seg is damaged")
			require.Equal(t, store.DiskOK, space.Disk.State)
			listed, err := s.List(t.Context(), store.ChunkID{}, 100)
			require.NoError(t, err)
			for _, info := range listed {
				_, err := chunktest.Read(t.Context(), s, info.ID)
				if put4 && info.ID == fixedID(4) {
					require.ErrorIs(t, err, store.Corrupt)
					continue
				}
				require.NoError(t, err)
			}
			_, err = s.Stat(t.Context(), fixedID(20))
			require.Equal(t, put4, err == nil, "what was deleted stays so")
		})
	}
}

// TestUnreadableSectorAtStart: wherever the disk has a bad block in a segment, the
// store opens, and all chunks outside of it read back.
func TestUnreadableSectorAtStart(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	const chunks = 9
	for n := range chunks {
		require.NoError(t, put(s, fixedID(n), text(n, 1400), goldenLabel))
	}
	require.NoError(t, s.Delete(t.Context(), fixedID(0)))
	open := disk.Clone()
	require.NoError(t, s.Close())
	for _, left := range []*vfstest.Crashable{disk, open} {
		for _, seg := range []string{"00000001", "00000002", "00000003", "80000001"} {
			name := "segments/" + seg + ".seg"
			size := len(contentOf(t, left, name))
			for at := 0; at < size; at += 512 {
				hurt := left.Clone()
				s, err := chunkfs.Open(t.Context(), tiny(vfstest.NewInject(hurt, badSector(name, int64(at)))))
				require.NoError(t, err, "%s at %d", name, at)
				lost := 0
				for n := 1; n < chunks; n++ {
					if _, err := chunktest.Read(t.Context(), s, fixedID(n)); err != nil {
						require.True(t, errors.Is(err, store.Corrupt) || errors.Is(err, store.NotFound), "%v", err)
						lost++
					}
				}
				// The file is read in blocks of 4096, which is two chunks and parts of two.
				require.LessOrEqual(t, lost, 4, "%s at %d", name, at)
				_, err = s.List(t.Context(), store.ChunkID{}, 100)
				require.NoError(t, err)
				require.NoError(t, put(s, fixedID(30), text(30, 500), goldenLabel))
				require.NoError(t, s.Compact(t.Context()))
				_, err = hurt.Stat(name)
				require.True(t, lost == 0 || err == nil, "a segment with lost chunks is kept")
				require.NoError(t, s.Close())
				require.Zero(t, hurt.OpenFiles())
			}
		}
	}
}

// TestUnreadableFolderAtStart: chunk files are found by their names where their
// folder cannot be listed.
func TestUnreadableFolderAtStart(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	for n := range 6 {
		require.NoError(t, put(s, fixedID(n), text(n, 3500), goldenLabel))
	}
	require.NoError(t, put(s, fixedID(7), text(7, 100), goldenLabel))
	require.NoError(t, s.Close())
	for _, dir := range []string{"chunks/02", "chunks", "segments", "tmp"} {
		s, err := chunkfs.Open(t.Context(), tiny(vfstest.NewInject(disk.Clone(), func(c vfstest.Call) error {
			if c.Op == "readdir" && c.Name == dir {
				return syscall.EIO
			}
			return nil
		})))
		require.NoError(t, err, dir)
		for n := range 6 {
			require.NoError(t, s.Verify(t.Context(), fixedID(n)), dir)
		}
		if dir != "segments" {
			require.NoError(t, s.Verify(t.Context(), fixedID(7)), dir)
			require.NoError(t, put(s, fixedID(1), text(1, 3500), goldenLabel), "the same again changes nothing")
			require.NoError(t, s.Delete(t.Context(), fixedID(1)))
			_, err = s.Stat(t.Context(), fixedID(1))
			require.ErrorIs(t, err, store.NotFound)
		}
		require.NoError(t, s.Close())
	}
}

// TestTroubleOfTheProcessStopsTheStart: a lack of descriptors says nothing about the disk, and
// a start without the unreadable chunks would report them as lost.
func TestTroubleOfTheProcessStopsTheStart(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	goldenDisk(t, disk)
	for op, name := range map[string]string{"openread": "segments/00000001.seg", "readdir": "chunks/01", "read": "segments/00000001.seg"} {
		_, err := chunkfs.Open(t.Context(), tiny(vfstest.NewInject(disk, func(c vfstest.Call) error {
			if c.Op == op && c.Name == name {
				return syscall.EMFILE
			}
			return nil
		})))
		require.ErrorIs(t, err, store.Unavailable, op)
		require.Zero(t, disk.OpenFiles(), op)
	}
}

// TestOnlyTheNewestSegmentCanBeTorn: in an older one without index, a record
// that does not match its checksum was acknowledged: it is kept and reads as damaged.
func TestOnlyTheNewestSegmentCanBeTorn(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	fs := vfstest.NewInject(disk, nil)
	s := open(t, tiny(fs))
	for n := range 4 {
		require.NoError(t, put(s, fixedID(n), text(n, 1200), goldenLabel))
	}
	fs.SetHook(func(c vfstest.Call) error { // no room for the index
		if c.Op == "write" && c.Name == "segments/00000001.seg" {
			return syscall.ENOSPC
		}
		return nil
	})
	require.NoError(t, put(s, fixedID(5), text(5, 1200), goldenLabel))
	const name = "segments/00000001.seg"
	whole := contentOf(t, disk, name)
	for _, at := range []int{64 + 20, len(whole) - 1300, len(whole) - 600} { // header of the first, header and data of the last
		left := disk.Clone()
		overwrite(t, left, name, flipped(whole, 8*at))
		for range 2 {
			s, err := chunkfs.Open(t.Context(), tiny(left))
			require.NoError(t, err)
			bad := 0
			for n := range 4 {
				if _, err := chunktest.Read(t.Context(), s, fixedID(n)); err != nil {
					require.ErrorIs(t, err, store.Corrupt, "byte %d", at)
					bad++
				}
			}
			require.Equal(t, 1, bad, "byte %d", at)
			require.NoError(t, s.Verify(t.Context(), fixedID(5)))
			require.NoError(t, s.Compact(t.Context()))
			require.NoError(t, s.Close())
			require.True(t, strings.HasPrefix(string(contentOf(t, left, name)), string(flipped(whole, 8*at))), "nothing was cut")
		}
	}
}

// TestDamagedTombstone: a tombstone with a flipped bit still counts if it identifies the
// deleted chunk; otherwise the chunk exists again, and that is reported.
func TestDamagedTombstone(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	require.NoError(t, put(s, fixedID(1), text(1, 700), goldenLabel))
	require.NoError(t, s.Delete(t.Context(), fixedID(1)))
	require.NoError(t, put(s, fixedID(2), text(2, 700), goldenLabel))
	const name, tombstone = "segments/00000001.seg", 64 + 896
	whole := contentOf(t, disk, name)
	kept := 0
	for at := tombstone; at < tombstone+72; at++ {
		left := disk.Clone()
		overwrite(t, left, name, flipped(whole, 8*at))
		var log strings.Builder
		cfg := tiny(left)
		cfg.Log = logTo(&log)
		s, err := chunkfs.Open(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, s.Verify(t.Context(), fixedID(2)), "byte %d", at-tombstone)
		if _, err := s.Stat(t.Context(), fixedID(1)); errors.Is(err, store.NotFound) {
			kept++
		}
		require.Contains(t, log.String(), "level=WARN", "byte %d", at-tombstone)
		require.NoError(t, s.Close())
	}
	require.Greater(t, kept, 20, "where neither id nor target is hit, it still counts")
}

// TestReadOnlyDisk: a file system that becomes read-only can be read, and written when it is
// writable again.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	o := &oracle{kept: map[store.ChunkID]string{}}
	for n, size := range []int{500, 5000, 2900, 9000} {
		require.NoError(t, o.attempt(fixedID(n), text(n, size), func() error { return put(s, fixedID(n), text(n, size), goldenLabel) }))
	}
	left := disk.Clone()
	disk.SetReadOnly(true)
	for _, size := range []int{500, 5000} {
		err := put(s, fixedID(9), text(9, size), goldenLabel)
		require.ErrorIs(t, err, store.Unavailable)
		require.NotEmpty(t, store.HintOf(err))
	}
	o.check(t, s)
	space, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.DiskReadOnly, space.Disk.State)
	require.Contains(t, space.Disk.Reason, "read-only")
	require.Zero(t, space.Free)

	left.SetReadOnly(true)
	var log strings.Builder
	cfg := tiny(left)
	cfg.Log = logTo(&log)
	second := open(t, cfg)
	o.clone().check(t, second)
	require.ErrorIs(t, put(second, fixedID(9), text(9, 500), goldenLabel), store.Unavailable)
	require.ErrorIs(t, second.Delete(t.Context(), fixedID(0)), store.Unavailable)
	require.ErrorIs(t, second.Delete(t.Context(), fixedID(1)), store.Unavailable)
	space, err = second.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.DiskReadOnly, space.Disk.State)
	o.check(t, second)
}

// TestReadOnlyIsNotFinal: where the content of the disk is known, the store accepts writes again
// by itself.
func TestReadOnlyIsNotFinal(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	cfg := tiny(disk)
	var seconds atomic.Int64
	cfg.Now = func() time.Time { return time.Unix(seconds.Add(60), 0) }
	s := open(t, cfg)
	require.NoError(t, put(s, fixedID(1), text(1, 5000), goldenLabel))
	disk.SetReadOnly(true)
	space, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.Zero(t, space.Free)
	require.ErrorIs(t, put(s, fixedID(4), text(4, 5000), goldenLabel), store.Unavailable)
	require.ErrorIs(t, s.Delete(t.Context(), fixedID(1)), store.Unavailable)
	disk.SetReadOnly(false)
	require.NoError(t, put(s, fixedID(4), text(4, 5000), goldenLabel))
	require.NoError(t, s.Delete(t.Context(), fixedID(1)))
	space, err = s.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Disk{}, space.Disk)
	require.Positive(t, space.Free)
}

// TestErrorsOfReadingAreTheLossOfTheChunk, except those that are unrelated to the disk.
func TestErrorsOfReadingAreTheLossOfTheChunk(t *testing.T) {
	t.Parallel()
	s, _, fail := failing(t)
	sizes := []int{500, 5000}
	for _, size := range sizes {
		require.NoError(t, put(s, fixedID(size), text(1, size), goldenLabel))
	}
	for _, op := range []string{"read", "size", "openread"} {
		for errno, kind := range map[syscall.Errno]store.Kind{
			syscall.EIO: store.Corrupt, syscall.EUCLEAN: store.Corrupt, syscall.EACCES: store.Corrupt, syscall.ENODATA: store.Corrupt,
			syscall.EMFILE: store.Unavailable, syscall.ENOMEM: store.Unavailable,
		} {
			fail(op, errno)
			for _, size := range sizes {
				if size == 500 && op != "read" {
					continue // its segment is open
				}
				err := s.Verify(t.Context(), fixedID(size))
				require.ErrorIs(t, err, kind, "%s %d", op, size)
				require.ErrorIs(t, err, errno)
				require.ErrorContains(t, err, errno.Error())
				_, err = s.Stat(t.Context(), fixedID(size))
				require.ErrorIs(t, err, kind)
			}
			if kind == store.Corrupt {
				listed, err := s.List(t.Context(), store.ChunkID{}, 10)
				require.NoError(t, err)
				require.Len(t, listed, 2, "List answers from the index")
			}
		}
		fail("nothing", nil)
	}
	o := &oracle{kept: map[store.ChunkID]string{fixedID(500): text(1, 500), fixedID(5000): text(1, 5000)}}
	o.check(t, s)
}

// TestFullIsNeverFinal fails every single call that changes the disk once, for
// lack of space or quota: nothing acknowledged is lost, and right after it the
// store writes, deletes and compacts again.
func TestFullIsNeverFinal(t *testing.T) {
	t.Parallel()
	eachCallFails(t, []error{syscall.ENOSPC, syscall.EDQUOT}, vfstest.Call.Changes, func(t *testing.T, s *chunkfs.Store, o *oracle, disk *vfstest.Crashable, when string) {
		for seed := range uint64(3) {
			reopened(t, disk.CrashClone(seed*5), o.clone(), fmt.Sprintf("%s, cut with seed %d", when, seed*5))
		}
		o.check(named{t, when}, s)
		for n, size := range []int{300, 2000, 5000} {
			id := fixedID(40 + n)
			require.NoError(t, o.attempt(id, text(n, size), func() error { return put(s, id, text(n, size), goldenLabel) }), when)
		}
		for id := range o.kept {
			require.NoError(t, o.attempt(id, "", func() error { return s.Delete(t.Context(), id) }), when)
		}
		require.NoError(t, s.Compact(t.Context()), when)
		o.check(named{t, when}, s)
	})
}

// TestAnyCallFailsOnce with the error of a disk: acknowledged chunks exist
// after the next start, whatever the store did in between.
func TestAnyCallFailsOnce(t *testing.T) {
	t.Parallel()
	eachCallFails(t, []error{syscall.EIO}, func(vfstest.Call) bool { return true }, func(t *testing.T, _ *chunkfs.Store, o *oracle, disk *vfstest.Crashable, when string) {
		for seed := range uint64(3) {
			reopened(t, disk.CrashClone(seed*7), o.clone(), fmt.Sprintf("%s, cut with seed %d", when, seed*7))
		}
	})
}

// eachCallFails runs the history once for each call that matches, and lets that call fail.
// The steps after the failure are still tried.
func eachCallFails(t *testing.T, errs []error, match func(vfstest.Call) bool, then func(*testing.T, *chunkfs.Store, *oracle, *vfstest.Crashable, string)) {
	t.Helper()
	for _, fault := range errs {
		for n := 0; ; n++ {
			disk, o := vfstest.NewCrashable(), &oracle{kept: map[store.ChunkID]string{}}
			fs := vfstest.NewInject(disk, nil)
			s, err := chunkfs.Open(t.Context(), tiny(fs))
			require.NoError(t, err)
			calls, when := 0, ""
			fs.SetHook(func(c vfstest.Call) error {
				if !match(c) {
					return nil
				}
				if calls++; calls == n+1 {
					when = fmt.Sprintf("%v at %s", fault, c)
					return fault
				}
				return nil
			})
			steps(t.Context(), s, o, func(error) bool { return when == "" })
			fs.SetHook(nil)
			if when == "" {
				require.NoError(t, s.Close())
				require.Greater(t, n, 60)
				break
			}
			then(t, s, o, disk, when)
			_ = s.Close() // it may have failed
			require.Zero(t, disk.OpenFiles(), when)
		}
	}
}
