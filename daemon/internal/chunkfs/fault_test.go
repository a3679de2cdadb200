package chunkfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// failing opens a store on a file system on which one kind of call fails.
func failing(t *testing.T) (s *chunkfs.Store, disk *vfstest.Crashable, fail func(op string, err error)) {
	disk = vfstest.NewCrashable()
	inject := vfstest.NewInject(disk, nil)
	s = open(t, tiny(inject))
	return s, disk, func(op string, err error) {
		inject.SetHook(func(call vfstest.Call) error {
			if call.Op == op {
				return err
			}
			return nil
		})
	}
}

func TestFailedSyncMakesTheStoreReadOnly(t *testing.T) {
	t.Parallel()
	for what, size := range map[string]int{"small": 500, "large": 5000} {
		for _, op := range []string{"datasync", "syncdir"} {
			t.Run(what+" "+op, func(t *testing.T) {
				t.Parallel()
				s, disk, fail := failing(t)
				o := &oracle{kept: map[store.ChunkID]string{}}
				if op == "datasync" { // the folder and the segment are there
					require.NoError(t, put(s, fixedID(1), text(1, size), goldenLabel))
					o.kept[fixedID(1)] = text(1, size)
				}
				fail(op, syscall.EIO)
				err := o.attempt(fixedID(4), text(4, size), func() error { return put(s, fixedID(4), text(4, size), goldenLabel) })
				require.ErrorIs(t, err, store.Unavailable)
				require.ErrorIs(t, err, syscall.EIO)
				require.Contains(t, store.HintOf(err), "remove the node")

				fail("nothing", nil) // the disk works again: a sync is never repeated
				for _, again := range []error{
					put(s, fixedID(7), text(7, 500), goldenLabel),
					put(s, fixedID(7), text(7, 5000), goldenLabel),
					s.Delete(t.Context(), fixedID(1)),
				} {
					require.ErrorIs(t, again, store.Unavailable)
				}
				space, err := s.Capacity(t.Context())
				require.NoError(t, err)
				require.Zero(t, space.Free, "no new chunk may be placed here")
				if op == "datasync" {
					require.NoError(t, s.Verify(t.Context(), fixedID(1)), "reading continues")
				}
				for seed := uint64(0); seed < 20; seed++ {
					reopened(t, disk.CrashClone(seed), o.clone(), fmt.Sprint("seed ", seed))
				}
			})
		}
	}
}

func TestFullDiskLeavesNoPartOfAChunk(t *testing.T) {
	t.Parallel()
	for what, size := range map[string]int{"small": 500, "many units": 2500, "large": 5000} {
		for _, op := range []string{"write", "create", "preallocate", "rename"} {
			t.Run(what+" "+op, func(t *testing.T) {
				t.Parallel()
				s, disk, fail := failing(t)
				require.NoError(t, put(s, fixedID(1), text(1, size), goldenLabel))
				fail(op, syscall.ENOSPC)
				err := put(s, fixedID(4), text(4, size), goldenLabel)
				if err != nil {
					require.ErrorIs(t, err, store.NoSpace)
					require.NotEmpty(t, store.HintOf(err))
				}
				fail("nothing", nil)
				if err != nil {
					_, err = s.Stat(t.Context(), fixedID(4))
					require.ErrorIs(t, err, store.NotFound)
					left, err := disk.ReadDir("tmp")
					require.NoError(t, err)
					require.Empty(t, left)
					reopened(t, disk.Clone(), &oracle{kept: map[store.ChunkID]string{fixedID(1): text(1, size)}}, "after a full disk")
				}
				require.NoError(t, put(s, fixedID(4), text(4, size), goldenLabel), "there is room again")
				require.NoError(t, s.Verify(t.Context(), fixedID(1)))
				require.NoError(t, s.Verify(t.Context(), fixedID(4)))
			})
		}
	}
}

// TestShortWriteOfABatchIsUndone: the first half of a failed batch may hold a complete
// record, which must not appear at the next start.
func TestShortWriteOfABatchIsUndone(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	room := int64(-1)
	inject := vfstest.NewInject(disk, nil)
	s := open(t, tiny(inject))
	require.NoError(t, put(s, fixedID(1), text(1, 100), goldenLabel))
	inject.SetHook(func(call vfstest.Call) error {
		if call.Op == "write" && room < 0 {
			room = 0
			f, err := disk.Open(call.Name) // the write lands, and then reports a full disk
			if err != nil {
				return err
			}
			defer f.Close()
			whole, err := vfs.ReadFile(disk, call.Name, 1<<20)
			if err != nil {
				return err
			}
			if _, err := f.WriteAt(whole[64:], call.Off); err != nil {
				return err
			}
			return syscall.ENOSPC
		}
		return nil
	})
	require.ErrorIs(t, put(s, fixedID(2), text(2, 100), goldenLabel), store.NoSpace)
	inject.SetHook(nil)
	size, err := disk.Stat("segments/00000001.seg")
	require.NoError(t, err)
	require.EqualValues(t, 64+296, size.Size+0, "cut back to the last whole record")
	require.NoError(t, put(s, fixedID(3), text(3, 10), goldenLabel))
	reopened(t, disk.Clone(), &oracle{kept: map[store.ChunkID]string{fixedID(1): text(1, 100), fixedID(3): text(3, 10)}}, "after it")
}

func TestTroublesThatPass(t *testing.T) {
	t.Parallel()
	s, _, fail := failing(t)
	fail("create", syscall.EMFILE)
	for _, size := range []int{500, 5000} {
		err := put(s, fixedID(size), text(1, size), goldenLabel)
		require.ErrorIs(t, err, store.Unavailable)
		require.NotEmpty(t, store.HintOf(err))
	}
	fail("nothing", nil)
	for _, size := range []int{500, 5000} {
		require.NoError(t, put(s, fixedID(size), text(1, size), goldenLabel))
	}
	fail("read", syscall.EIO)
	for _, size := range []int{500, 5000} {
		require.ErrorIs(t, s.Verify(t.Context(), fixedID(size)), store.Corrupt, "a sector that cannot be read is data lost here")
	}
	fail("nothing", nil)
	for _, size := range []int{500, 5000} {
		require.NoError(t, s.Verify(t.Context(), fixedID(size)))
	}
	fail("remove", syscall.EACCES)
	require.Error(t, s.Delete(t.Context(), fixedID(5000)))
	fail("nothing", nil)
	require.NoError(t, s.Delete(t.Context(), fixedID(5000)))
	fail("writeback", syscall.EIO)
	w, err := s.Create(t.Context(), chunk.Spec{ID: fixedID(30), UnitSize: 1 << 20})
	require.NoError(t, err)
	defer w.Abort()
	for err == nil {
		err = w.Append(chunk.NewUnit(make([]byte, 1<<20), nil))
	}
	require.ErrorIs(t, err, store.Unavailable)
}

// TestOpenFails at each call of opening, and leaves nothing open.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	goldenDisk(t, disk)
	killed := disk.Clone()
	s, err := chunkfs.Open(t.Context(), tiny(killed))
	require.NoError(t, err)
	require.NoError(t, put(s, fixedID(5), text(5, 100), goldenLabel))
	left := killed.Clone() // with an open segment
	require.NoError(t, s.Close())
	require.NoError(t, vfs.Replace(left, "tmp", "leftover", nil))
	for n := int64(0); ; n++ {
		d := left.Clone()
		var calls atomic.Int64 // segments are read in parallel
		_, err := chunkfs.Open(t.Context(), tiny(vfstest.NewInject(d, func(vfstest.Call) error {
			if calls.Add(1) == n+1 {
				return syscall.EIO
			}
			return nil
		})))
		if n >= calls.Load() {
			require.NoError(t, err)
			require.Greater(t, n, int64(25))
			break
		}
		if err == nil { // a close that failed after all was read
			continue
		}
		require.NotErrorIs(t, err, fs.ErrNotExist)
		require.Zero(t, d.OpenFiles(), "call %d: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = chunkfs.Open(ctx, tiny(left))
	require.ErrorIs(t, err, context.Canceled)
}

func TestSpaceIsAskedForBeforeItRunsOut(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	disk.SetSpace(2 << 20)
	cfg := tiny(disk)
	cfg.Reserve = 1 << 20
	s := open(t, cfg)
	create := func(n int, hint int64) (chunk.Writer, error) {
		return s.Create(t.Context(), chunk.Spec{ID: fixedID(n), UnitSize: 1000, SizeHint: hint})
	}
	one, err := create(1, 700_000)
	require.NoError(t, err)
	_, err = create(2, 700_000)
	require.ErrorIs(t, err, store.NoSpace, "what the first was promised is not promised twice")
	require.NotEmpty(t, store.HintOf(err))
	space, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, space.Free, int64(1<<20-700_000))
	one.Abort()
	two, err := create(2, 700_000)
	require.NoError(t, err)
	two.Abort()

	// Without a hint it is found as the chunk grows.
	three, err := create(3, 0)
	require.NoError(t, err)
	for err == nil {
		err = three.Append(chunk.NewUnit(make([]byte, 1000), nil))
	}
	require.ErrorIs(t, err, store.NoSpace)
	three.Abort()
	left, err := disk.Space()
	require.NoError(t, err)
	require.Greater(t, left.Free, int64(1<<20), "the reserve was never touched")
	tmp, err := disk.ReadDir("tmp")
	require.NoError(t, err)
	require.Empty(t, tmp)
}

func TestLimitCountsWhatChunksUse(t *testing.T) {
	t.Parallel()
	cfg := tiny(vfstest.NewCrashable())
	cfg.Limit = 50_000
	s := open(t, cfg)
	stored := 0
	for n := 0; ; n++ {
		size := 300 + n%2*5000
		if err := put(s, fixedID(n), text(n, size), goldenLabel); err != nil {
			require.ErrorIs(t, err, store.NoSpace)
			break
		}
		stored++
	}
	space, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 50_000, space.Total)
	require.EqualValues(t, stored, space.Chunks)
	require.InDelta(t, 50_000, space.Used, 12_000)
	for n := range stored {
		require.NoError(t, s.Delete(t.Context(), fixedID(n)))
	}
	require.NoError(t, s.Compact(t.Context()))
	space, err = s.Capacity(t.Context())
	require.NoError(t, err)
	require.Zero(t, space.Chunks)
	require.Less(t, space.Used, int64(6500), "only the active segment is left")
	require.NoError(t, put(s, fixedID(1), text(1, 5000), goldenLabel))
}

// TestUsedIsWhatIsThere compares the running count of used bytes with a fresh one.
func TestUsedIsWhatIsThere(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	for n := range 12 {
		require.NoError(t, put(s, fixedID(n), text(n, 100+n*700), goldenLabel))
		require.NoError(t, aborted(s, fixedID(n+20), 100+n*700))
		if n%3 == 0 {
			require.NoError(t, s.Delete(t.Context(), fixedID(n)))
		}
	}
	w, err := s.Create(t.Context(), chunk.Spec{ID: fixedID(50), UnitSize: 9000, SizeHint: 9000}) // the hint is wrong
	require.NoError(t, err)
	require.NoError(t, w.Append(chunk.NewUnit(make([]byte, 4000), nil)))
	_, err = w.Commit(goldenLabel)
	require.NoError(t, err)
	require.NoError(t, s.Compact(t.Context()))
	before, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s = open(t, tiny(disk))
	after, err := s.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, after.Used, before.Used)
	require.Equal(t, after.Chunks, before.Chunks)
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	node, cluster, other := store.NewNodeID(), store.NewClusterID(), store.NewClusterID()
	try := func(id chunkfs.Identity) (*chunkfs.Store, error) {
		return chunkfs.Open(context.Background(), chunkfs.Config{Dir: dir, Identity: id})
	}
	s, err := try(chunkfs.Identity{Node: node})
	require.NoError(t, err)
	require.Equal(t, chunkfs.Identity{Node: node}, s.Identity())
	require.NoError(t, s.Bind(cluster))
	require.NoError(t, s.Bind(cluster))
	require.ErrorIs(t, s.Bind(other), store.Conflict)

	_, err = try(chunkfs.Identity{})
	require.ErrorIs(t, err, store.Conflict)
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())

	for _, wrong := range []chunkfs.Identity{{Node: store.NewNodeID()}, {Cluster: other}} {
		_, err = try(wrong)
		require.ErrorIs(t, err, store.Conflict)
		require.ErrorContains(t, err, "belongs to")
		require.NotEmpty(t, store.HintOf(err))
	}
	s, err = try(chunkfs.Identity{Cluster: cluster})
	require.NoError(t, err)
	require.Equal(t, chunkfs.Identity{Node: node, Cluster: cluster}, s.Identity())
	require.NoError(t, s.Close())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "identity"), []byte(`{"format": 99, "node": "`+node.String()+`", "cluster": "`+cluster.String()+`"}`), 0o600))
	_, err = try(chunkfs.Identity{})
	require.ErrorContains(t, err, "newer program")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "identity"), []byte("{}"), 0o600))
	_, err = try(chunkfs.Identity{})
	require.ErrorIs(t, err, store.Corrupt)
}

func TestNewNodeGetsAnID(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), chunkfs.Config{FS: disk})
	require.NoError(t, err)
	id := s.Identity()
	require.False(t, id.Node.IsZero())
	require.NoError(t, s.Close())
	s = open(t, chunkfs.Config{FS: disk.CrashClone(vfstest.CrashLosesAll)})
	require.Equal(t, id, s.Identity())
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600))
	_, err := chunkfs.Open(t.Context(), chunkfs.Config{Dir: dir})
	require.ErrorIs(t, err, store.Conflict)
	require.ErrorContains(t, err, "thesis.tex")
	_, err = chunkfs.Open(t.Context(), chunkfs.Config{Dir: filepath.Join(dir, "thesis.tex")})
	require.ErrorIs(t, err, store.Invalid)
}

func TestConfigOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, cfg := range []chunkfs.Config{{PackBelow: -1}, {PackBelow: 1 << 40}, {SegmentSize: 1}, {SegmentSize: 1 << 40}, {Reserve: -1}, {Limit: -1}, {BufferLimit: -1}, {CompactRate: -1}} {
		cfg.FS = vfstest.NewCrashable()
		_, err := chunkfs.Open(t.Context(), cfg)
		require.ErrorIs(t, err, store.Invalid)
	}
}

// TestSecondProcessIsRefused has another process hold the lock.
func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	const env = "CHUNKFS_HOLD"
	if dir := os.Getenv(env); dir != "" { // the other process
		s, err := chunkfs.Open(context.Background(), chunkfs.Config{Dir: dir})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("held")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it
		_ = s.Close()
		return
	}
	dir := t.TempDir()
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondProcessIsRefused$")
	other.Env = append(os.Environ(), env+"="+dir)
	in, err := other.StdinPipe()
	require.NoError(t, err)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	said := make([]byte, 4)
	_, err = io.ReadFull(out, said)
	require.NoError(t, err)
	require.Equal(t, "held", string(said))
	_, err = chunkfs.Open(t.Context(), chunkfs.Config{Dir: dir})
	require.ErrorIs(t, err, store.Conflict)
	require.NoError(t, in.Close())
	_, _ = io.Copy(io.Discard, out)
	require.NoError(t, other.Wait())
	open(t, chunkfs.Config{Dir: dir})
}

func TestCallsAfterClose(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	require.NoError(t, put(s, fixedID(1), text(1, 2900), goldenLabel))
	require.NoError(t, put(s, fixedID(2), text(2, 5000), goldenLabel))
	var readers []chunk.Reader
	for n := 1; n <= 2; n++ {
		r, err := s.Open(t.Context(), fixedID(n), 0, -1)
		require.NoError(t, err)
		readers = append(readers, r)
	}
	w, err := s.Create(t.Context(), chunk.Spec{ID: fixedID(3), UnitSize: 5000})
	require.NoError(t, err)
	require.NoError(t, w.Append(chunk.NewUnit([]byte(text(3, 5000)), nil)))
	require.NoError(t, s.Close())
	for _, r := range readers { // they may continue
		u, err := r.Next()
		require.NoError(t, err)
		u.Release()
		require.NoError(t, r.Close())
	}
	_, err = w.Commit(goldenLabel)
	require.ErrorIs(t, err, store.Unavailable)
	_, err = s.Stat(t.Context(), fixedID(1))
	require.ErrorIs(t, err, store.Unavailable)
	require.ErrorIs(t, put(s, fixedID(5), "x", goldenLabel), store.Unavailable)
	require.ErrorIs(t, s.Delete(t.Context(), fixedID(1)), store.Unavailable)
	require.ErrorIs(t, s.Compact(t.Context()), store.Unavailable)
	require.ErrorIs(t, s.Bind(store.ClusterID{1}), store.Unavailable)
	_, err = s.Capacity(t.Context())
	require.ErrorIs(t, err, store.Unavailable)
	_, err = s.List(t.Context(), store.ChunkID{}, 1)
	require.ErrorIs(t, err, store.Unavailable)
	require.Zero(t, disk.OpenFiles())
}

// TestEverythingAtOnce runs writers, readers, deleters and compaction concurrently on a store
// with tiny segments, then compares with the result of each of them.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	cfg := chunkfs.Config{Dir: t.TempDir(), PackBelow: 3000, SegmentSize: 20_000, BufferLimit: 20_000, CompactRate: 1 << 40}
	s, err := chunkfs.Open(t.Context(), cfg)
	require.NoError(t, err)
	const workers, each = 12, 60
	kept := make([]map[store.ChunkID]string, workers)
	var wg sync.WaitGroup
	var compactions atomic.Int64
	errs := make(chan error, workers+1)
	done := make(chan struct{})
	for w := range workers {
		kept[w] = map[store.ChunkID]string{}
		wg.Go(func() {
			if err := churn(s, kept[w], w, each); err != nil {
				errs <- err
			}
		})
	}
	compactor := make(chan struct{})
	go func() {
		defer close(compactor)
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := s.Compact(context.Background()); err != nil {
				errs <- err
				return
			}
			compactions.Add(1)
		}
	}()
	wg.Wait()
	close(done)
	<-compactor
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.NotZero(t, compactions.Load())
	o := &oracle{kept: map[store.ChunkID]string{}}
	for _, mine := range kept {
		for id, data := range mine {
			o.kept[id] = data
		}
	}
	o.check(t, s)
	require.NoError(t, s.Close())
	s = open(t, cfg)
	o.check(t, s)
}

// churn writes, reads and deletes its own chunks, and returns those that remain.
func churn(s *chunkfs.Store, kept map[store.ChunkID]string, seed, n int) error {
	ctx := context.Background()
	for i := range n {
		id, data := chunktest.NewID(), text(seed*1000+i, 1+(seed*131+i*97)%4500)
		if err := put(s, id, data, goldenLabel); err != nil {
			return err
		}
		kept[id] = data
		for old, want := range kept {
			got, err := chunktest.Read(ctx, s, old)
			if err != nil {
				return err
			}
			if string(got) != want {
				return errors.New("other bytes than were written")
			}
			if i%4 != 0 {
				delete(kept, old)
				if err := s.Delete(ctx, old); err != nil {
					return err
				}
			}
			break
		}
	}
	return nil
}
