package chunkfs_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// openLimit is how many files of segments the stores of these tests keep open; logFiles are those that the log uses: the active
// segment and the spare one.
const (
	openLimit = 4
	logFiles  = 2
)

// counted opens a store that keeps few files open, on a file system that counts those of segments.
func counted(t *testing.T) (*chunkfs.Store, *vfstest.Count, *vfstest.Inject) {
	inject := vfstest.NewInject(vfstest.NewCrashable(), nil)
	count := vfstest.NewCount(inject, "segments/")
	return open(t, fewFiles(count)), count, inject
}

func fewFiles(fs *vfstest.Count) chunkfs.Config {
	cfg := tiny(fs)
	cfg.OpenSegments = openLimit
	return cfg
}

// putPairs puts n chunks, two to a segment.
func putPairs(t *testing.T, s *chunkfs.Store, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, put(s, fixedID(i), text(i, 2500), goldenLabel))
	}
}

func read(t *testing.T, s *chunkfs.Store, id store.ChunkID) (string, error) {
	t.Helper()
	r, err := s.Open(t.Context(), id, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var data []byte
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return string(data), nil
		}
		if err != nil {
			return "", err
		}
		data = append(data, u.Data...)
		u.Release()
	}
}

// TestOpenFilesAreBounded: many more segments than files may be open are read at random while compaction rewrites and removes them.
func TestOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	const chunks, readers = 120, 8
	s, count, _ := counted(t)
	putPairs(t, s, chunks)
	require.LessOrEqual(t, count.Most(), openLimit)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				n := rand.IntN(chunks)
				got, err := read(t, s, fixedID(n))
				if n%4 != 0 && errors.Is(err, store.NotFound) { // deleted below
					continue
				}
				if err != nil || got != text(n, 2500) {
					t.Errorf("chunk %d: %d bytes, %v", n, len(got), err)
					return
				}
			}
		})
	}
	for first := 1; first < 4; first++ {
		for n := first; n < chunks; n += 4 {
			require.NoError(t, s.Delete(t.Context(), fixedID(n)))
		}
		require.NoError(t, s.Compact(t.Context()))
	}
	close(done)
	wg.Wait()
	require.LessOrEqual(t, count.Most(), openLimit+logFiles+1+readers)
	require.LessOrEqual(t, count.Now(), openLimit)
	require.NoError(t, s.Close())
	require.Zero(t, count.Now())
}

// TestFilesInUseStayOpen: more readers than files may be open; their files are open until they end, even if compaction removes
// the segments and the store is closed.
func TestFilesInUseStayOpen(t *testing.T) {
	t.Parallel()
	const chunks = 24
	s, count, _ := counted(t)
	putPairs(t, s, chunks)
	var readers []chunk.Reader
	for n := range chunks {
		r, err := s.Open(t.Context(), fixedID(n), 0, -1)
		require.NoError(t, err)
		readers = append(readers, r)
	}
	require.GreaterOrEqual(t, count.Now(), chunks/2)
	for n := range chunks {
		require.NoError(t, s.Delete(t.Context(), fixedID(n)))
	}
	require.NoError(t, s.Compact(t.Context()))
	require.NoError(t, s.Close())
	require.GreaterOrEqual(t, count.Now(), chunks/2)
	for n, r := range readers {
		u, err := r.Next()
		require.NoError(t, err, "chunk %d", n)
		require.Equal(t, text(n, 2500)[:1000], string(u.Data))
		u.Release()
		require.NoError(t, r.Close())
	}
	require.Zero(t, count.Now())
}

// TestStartWithMoreSegmentsThanFiles reads each segment and leaves none open.
func TestStartWithMoreSegmentsThanFiles(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	count := vfstest.NewCount(disk, "segments/")
	s, err := chunkfs.Open(t.Context(), fewFiles(count))
	require.NoError(t, err)
	putPairs(t, s, 60)
	require.NoError(t, s.Close())
	require.Zero(t, count.Now())
	count.Most()
	s = open(t, fewFiles(count))
	require.LessOrEqual(t, count.Most(), openLimit+logFiles)
	require.LessOrEqual(t, count.Now(), 1, "the spare segment")
	for n := range 60 {
		got, err := read(t, s, fixedID(n))
		require.NoError(t, err)
		require.Equal(t, text(n, 2500), got)
	}
	require.LessOrEqual(t, count.Most(), openLimit+1)
}

// beforeOpening runs step when the file of segment 1 is opened for reading the next time.
func beforeOpening(inject *vfstest.Inject, step func()) {
	var once sync.Once
	inject.SetHook(func(c vfstest.Call) error {
		if c.String() == "openread segments/00000001.seg" {
			once.Do(step)
		}
		return nil
	})
}

// TestRemovalBeforeTheFileIsOpened: a reader knows the chunk's place, but its segment is removed before the reader opens the file.
func TestRemovalBeforeTheFileIsOpened(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*chunkfs.Store, *vfstest.Inject) {
		s, count, inject := counted(t)
		putPairs(t, s, 20)
		for n := 8; n < 20; n++ { // closes the first segment's file
			_, err := read(t, s, fixedID(n))
			require.NoError(t, err)
		}
		require.LessOrEqual(t, count.Now(), openLimit)
		return s, inject
	}
	remove := func(t *testing.T, s *chunkfs.Store) {
		require.NoError(t, s.Delete(t.Context(), fixedID(0)))
		require.NoError(t, s.Delete(t.Context(), fixedID(1)))
		require.NoError(t, s.Compact(t.Context()))
	}
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		s, inject := setup(t)
		beforeOpening(inject, func() { remove(t, s) })
		_, err := read(t, s, fixedID(0))
		require.ErrorIs(t, err, store.NotFound)
	})
	t.Run("stored again", func(t *testing.T) {
		t.Parallel()
		s, inject := setup(t)
		beforeOpening(inject, func() {
			remove(t, s)
			require.NoError(t, put(s, fixedID(0), text(77, 900), goldenLabel))
		})
		got, err := read(t, s, fixedID(0))
		require.NoError(t, err)
		require.Equal(t, text(77, 900), got)
	})
	t.Run("lost", func(t *testing.T) { // by another program
		t.Parallel()
		s, inject := setup(t)
		beforeOpening(inject, func() { require.NoError(t, inject.Remove("segments/00000001.seg")) })
		_, err := read(t, s, fixedID(0))
		require.ErrorIs(t, err, store.Corrupt)
		require.NoError(t, s.Delete(t.Context(), fixedID(1)))
		require.NoError(t, s.Delete(t.Context(), fixedID(2)))
		require.NoError(t, s.Delete(t.Context(), fixedID(3)))
		require.NoError(t, s.Compact(t.Context()), "other segments are compacted")
		space, err := s.Capacity(t.Context())
		require.NoError(t, err)
		require.Contains(t, space.Disk.Reason, "does not exist")
	})
}

// TestTooManyOpenFiles: where the process has too many files open, those that are not in use are closed.
func TestTooManyOpenFiles(t *testing.T) {
	t.Parallel()
	for _, cause := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		s, count, inject := counted(t)
		putPairs(t, s, 20)
		_, err := read(t, s, fixedID(0))
		require.NoError(t, err)
		require.Equal(t, openLimit, count.Now())
		inject.SetHook(func(c vfstest.Call) error {
			if c.Op == "openread" && count.Now() > logFiles {
				return cause
			}
			return nil
		})
		_, err = read(t, s, fixedID(4))
		require.NoError(t, err)
		require.Equal(t, logFiles+1, count.Now())

		inject.SetHook(func(c vfstest.Call) error { // others use them all
			if c.Op == "openread" {
				return cause
			}
			return nil
		})
		_, err = read(t, s, fixedID(8))
		require.ErrorIs(t, err, store.Unavailable)
		require.ErrorIs(t, err, cause)
		inject.SetHook(nil)
		for n := range 20 {
			_, err = read(t, s, fixedID(n))
			require.NoError(t, err)
		}
		require.LessOrEqual(t, count.Most(), openLimit)
		require.NoError(t, s.Close())
		require.Zero(t, count.Now())
	}
}
