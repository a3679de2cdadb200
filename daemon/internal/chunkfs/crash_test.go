package chunkfs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// tiny is a configuration with small limits: chunks over 3000 bytes are files, and a segment
// is full after a few small chunks.
func tiny(fs vfs.FS) chunkfs.Config {
	return chunkfs.Config{
		FS: fs, PackBelow: 3000, SegmentSize: 6000, Spare: 1024, NoBackground: true,
		Now:  func() time.Time { return time.Unix(1_700_000_000, 0) },
		Salt: salts(),
	}
}

// salts returns consecutive numbers, so that every run writes the same bytes and no two
// segments share a salt.
func salts() func() uint64 {
	var n atomic.Uint64
	return func() uint64 { return 0x5a17_0000 + n.Add(1) }
}

// oracle is the expected content: a map, and the one change whose outcome is unknown.
type oracle struct {
	kept map[store.ChunkID]string
	// The change in progress: the chunk may be as in kept or as in open ("" is absent).
	busy bool
	id   store.ChunkID
	open string
}

// attempt runs a change after which the chunk's content is data if it succeeds.
func (o *oracle) attempt(id store.ChunkID, data string, change func() error) error {
	o.busy, o.id, o.open = true, id, data
	err := change()
	if err != nil {
		return err // the outcome remains unknown
	}
	o.busy = false
	o.apply(id, data)
	return nil
}

func (o *oracle) apply(id store.ChunkID, data string) {
	if data == "" {
		delete(o.kept, id)
	} else {
		o.kept[id] = data
	}
}

// TB is what testing and rapid have in common.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
}

// check compares a store with the oracle, and resolves an unknown outcome.
func (o *oracle) check(t TB, s *chunkfs.Store) {
	t.Helper()
	ctx := context.Background()
	found := map[store.ChunkID]string{}
	infos, err := s.List(ctx, store.ChunkID{}, 1000)
	require.NoError(t, err)
	for _, info := range infos {
		data, err := chunktest.Read(ctx, s, info.ID)
		require.NoError(t, err, "a chunk that is listed reads back")
		require.Equal(t, chunktest.SumOf(data, 1000), info.Sum)
		require.NoError(t, s.Verify(ctx, info.ID))
		found[info.ID] = string(data)
	}
	if o.busy {
		got := found[o.id]
		require.True(t, got == o.kept[o.id] || got == o.open, "chunk %s is %d bytes, neither as before (%d) nor as after (%d)", o.id, len(got), len(o.kept[o.id]), len(o.open))
		o.apply(o.id, got)
		o.busy = false
	}
	require.Equal(t, slices.SortedFunc(maps.Keys(o.kept), store.ChunkID.Compare), slices.SortedFunc(maps.Keys(found), store.ChunkID.Compare))
	for id, data := range o.kept {
		require.True(t, data == found[id], "chunk %s has other bytes than were written", id)
	}
	space, err := s.Capacity(ctx)
	require.NoError(t, err)
	require.EqualValues(t, len(found), space.Chunks)
}

func (o *oracle) clone() *oracle {
	c := *o
	c.kept = maps.Clone(o.kept)
	return &c
}

// put writes a chunk in pieces of 1000 bytes.
func put(s chunk.Store, id store.ChunkID, data string, label chunk.Label) error {
	const unit = 1000
	if len(data) <= unit {
		spec := chunk.Spec{ID: id, UnitSize: unit, SizeHint: int64(len(data))}
		_, err := chunk.PutSmall(context.Background(), s, spec, chunk.NewUnit([]byte(data), nil), label)
		return err
	}
	w, err := s.Create(context.Background(), chunk.Spec{ID: id, UnitSize: unit})
	if err != nil {
		return err
	}
	defer w.Abort()
	for rest := data; rest != ""; rest = rest[min(unit, len(rest)):] {
		if err := w.Append(chunk.NewUnit([]byte(rest[:min(unit, len(rest))]), nil)); err != nil {
			return err
		}
	}
	_, err = w.Commit(label)
	return err
}

// fixedID returns the same ids in every run; some share a folder.
func fixedID(n int) store.ChunkID {
	id := store.ChunkID{Index: uint8(n % 64)}
	id.Part[0], id.Part[15] = byte(n%3)+1, byte(n)+1
	return id
}

func text(seed, n int) string { return string(chunktest.Bytes(uint64(seed), n)) }

// history performs every kind of operation, one at a time, so that the state between any two
// calls of the file system is known.
func history(ctx context.Context, fs vfs.FS, o *oracle) error {
	s, err := chunkfs.Open(ctx, tiny(fs))
	if err != nil {
		return err
	}
	var failed error
	steps(ctx, s, o, func(err error) bool { failed = err; return err == nil })
	return errors.Join(failed, s.Close())
}

// steps runs the history on an open store. It ends when further returns false for a step's outcome.
func steps(ctx context.Context, s *chunkfs.Store, o *oracle, further func(error) bool) {
	write := func(n, size int) error {
		data := text(n*7919+size, size)
		return o.attempt(fixedID(n), data, func() error { return put(s, fixedID(n), data, chunktest.SampleLabel()) })
	}
	remove := func(n int) error {
		return o.attempt(fixedID(n), "", func() error { return s.Delete(ctx, fixedID(n)) })
	}
	for _, step := range []func() error{
		func() error { return write(1, 10) },
		func() error { return write(2, 900) },
		func() error { return write(3, 2500) }, // several units, packed
		func() error { return write(4, 9000) }, // a file
		func() error { return write(5, 800) },  // the next segment
		func() error { return write(6, 5000) }, // a file in another folder
		func() error { return write(7, 2900) },
		func() error { return remove(3) },
		func() error { return remove(4) },
		func() error { return remove(2) },
		func() error { return write(3, 700) }, // again, after it was deleted
		func() error { return aborted(s, fixedID(20), 2000) },
		func() error { return aborted(s, fixedID(21), 9000) },
		func() error { return s.Compact(ctx) },
		func() error { return write(8, 2000) },
		func() error { return remove(7) },
		func() error { return remove(1) },
		func() error { return write(9, 2800) },
		func() error { return s.Compact(ctx) },
		func() error { return remove(3) },
		func() error { return remove(5) },
		func() error { return s.Compact(ctx) },
		func() error { return s.Bind(store.ClusterID{7}) },
	} {
		if !further(step()) {
			return
		}
	}
}

func aborted(s *chunkfs.Store, id store.ChunkID, size int) error {
	w, err := s.Create(context.Background(), chunk.Spec{ID: id, UnitSize: size})
	if err != nil {
		return err
	}
	defer w.Abort()
	return w.Append(chunk.NewUnit(chunktest.Bytes(1, size), nil))
}

// TestCutAtEveryBoundary cuts the power before every call that changes the
// disk, in several ways each, and opens the result: every acknowledged chunk
// reads back, nothing else is visible, and nothing has to be repaired.
func TestCutAtEveryBoundary(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	o := &oracle{kept: map[store.ChunkID]string{}}
	cuts := 0
	var cut func(call vfstest.Call) error
	fs := vfstest.NewInject(disk, func(call vfstest.Call) error { return cut(call) })
	cut = func(call vfstest.Call) error {
		if !call.Changes() {
			return nil
		}
		for _, seed := range []uint64{vfstest.CrashLosesAll, vfstest.CrashLosesNone, uint64(2 + 3*cuts), uint64(3 + 3*cuts), uint64(4 + 3*cuts)} {
			survives(t, disk.CrashClone(seed), o, fmt.Sprintf("before %s, seed %d", call, seed))
		}
		survives(t, disk.Clone(), o, fmt.Sprintf("killed before %s", call))
		cuts++
		return nil
	}
	for range 2 { // the second time on the result of the first
		require.NoError(t, history(t.Context(), fs, o))
		require.False(t, o.busy)
		require.NoError(t, cut(vfstest.Call{Op: "end"}))
	}
	require.Zero(t, disk.OpenFiles())
	require.Greater(t, cuts, 150)
}

// survives opens the disk that a power cut left, and checks it.
func survives(t *testing.T, disk *vfstest.Crashable, o *oracle, when string) {
	t.Helper()
	then := o.clone()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err, when)
	then.check(named{t, when}, s)
	// What was visible must remain, whatever happens next.
	shown := then.clone()
	reopened(t, disk.CrashClone(vfstest.CrashLosesAll), shown, when+", cut after recovery")
	require.NoError(t, s.Compact(t.Context()), when)
	then.check(named{t, when + ", compacted"}, s)
	require.NoError(t, s.Close(), when)
	require.Zero(t, disk.OpenFiles(), when)
	tmp, err := disk.ReadDir("tmp")
	require.NoError(t, err)
	require.Empty(t, tmp, when)
}

// reopened checks that a disk holds exactly what the oracle says.
func reopened(t *testing.T, disk *vfstest.Crashable, o *oracle, when string) {
	t.Helper()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err, when)
	o.check(named{t, when}, s)
	require.NoError(t, s.Close(), when)
}

// named adds to each failure the step at which it happened.
type named struct {
	*testing.T
	when string
}

func (n named) Errorf(format string, args ...any) {
	n.Helper()
	n.T.Errorf(n.when+": "+format, args...)
}

// TestCutInRecovery cuts the power before every change that recovery and
// compaction make after a cut.
func TestCutInRecovery(t *testing.T) {
	t.Parallel()
	for seed := uint64(0); seed < 6; seed++ {
		disk, o := vfstest.NewCrashable(), &oracle{kept: map[store.ChunkID]string{}}
		calls := 0
		stop := func(call vfstest.Call) error { // the power fails in the middle of the history
			if call.Changes() {
				calls++
			}
			if calls > 15+int(seed)*13 {
				return syscall.EIO
			}
			return nil
		}
		require.Error(t, history(t.Context(), vfstest.NewInject(disk, stop), o))
		left := disk.CrashClone(seed)
		cuts := uint64(0)
		fs := vfstest.NewInject(left, func(call vfstest.Call) error {
			if !call.Changes() {
				return nil
			}
			for try := range uint64(3) {
				cuts++
				at := left.CrashClone(try * cuts)
				s, err := chunkfs.Open(t.Context(), tiny(at))
				require.NoError(t, err)
				o.clone().check(named{t, fmt.Sprintf("history cut with seed %d, recovery before %s", seed, call)}, s)
				require.NoError(t, s.Close())
			}
			return nil
		})
		s, err := chunkfs.Open(t.Context(), tiny(fs))
		require.NoError(t, err)
		require.NoError(t, s.Compact(t.Context()))
		o.check(t, s)
		require.NoError(t, s.Close())
		require.NotZero(t, cuts)
	}
}

// TestAgainstOracle performs random operations in random order, with power cuts between and
// during them, and compares with a map.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		disk := vfstest.NewCrashable()
		o := &oracle{kept: map[store.ChunkID]string{}}
		var fuse int // calls left until the power fails; negative: never
		fs := vfstest.NewInject(disk, nil)
		blow := func(call vfstest.Call) error {
			if call.Changes() {
				if fuse == 0 {
					return syscall.EIO
				}
				fuse--
			}
			return nil
		}
		cfg := tiny(fs)
		cfg.SegmentSize = rapid.Int64Range(1000, 20_000).Draw(t, "segment size")
		reopen := func() *chunkfs.Store {
			fuse = -1
			fs = vfstest.NewInject(disk, blow)
			cfg.FS = fs
			s, err := chunkfs.Open(context.Background(), cfg)
			require.NoError(t, err)
			return s
		}
		s := reopen()
		crash := func() {
			left := disk.Clone() // the process was killed
			if !rapid.Bool().Draw(t, "killed only") {
				left = disk.CrashClone(rapid.Uint64Range(0, 50).Draw(t, "seed"))
			}
			_ = s.Close() // the old process; its result no longer matters
			disk = left
			s = reopen()
			o.check(t, s)
		}
		id := rapid.Map(rapid.IntRange(0, 11), fixedID)
		size := rapid.OneOf(rapid.IntRange(1, 1000), rapid.IntRange(1, 8000))
		writes := 0
		write := func(t *rapid.T) error {
			at := id.Draw(t, "id")
			if _, ok := o.kept[at]; ok {
				return nil // ids are not used twice for different content
			}
			writes++
			data := text(writes, size.Draw(t, "size"))
			return o.attempt(at, data, func() error { return put(s, at, data, chunk.Label{Key: "k"}) })
		}
		remove := func(t *rapid.T) error {
			at := id.Draw(t, "id")
			return o.attempt(at, "", func() error { return s.Delete(context.Background(), at) })
		}
		change := []func(t *rapid.T) error{write, write, remove, func(*rapid.T) error { return s.Compact(context.Background()) }}
		t.Repeat(map[string]func(*rapid.T){
			"write":   func(t *rapid.T) { require.NoError(t, write(t)) },
			"remove":  func(t *rapid.T) { require.NoError(t, remove(t)) },
			"compact": func(t *rapid.T) { require.NoError(t, s.Compact(context.Background())) },
			"crash":   func(*rapid.T) { crash() },
			"compact, interrupted": func(t *rapid.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				left := rapid.IntRange(0, 3).Draw(t, "calls")
				fs.SetHook(func(call vfstest.Call) error {
					if call.Changes() {
						if left == 0 {
							cancel()
						}
						left--
					}
					return nil
				})
				if err := s.Compact(ctx); err != nil {
					require.ErrorIs(t, err, context.Canceled)
				}
				fs.SetHook(blow)
				require.NoError(t, remove(t))
			},
			"restart": func(t *rapid.T) {
				require.NoError(t, s.Close())
				s = reopen()
				o.check(t, s)
			},
			"power goes off": func(t *rapid.T) {
				fuse = rapid.IntRange(0, 12).Draw(t, "fuse")
				for range 8 {
					if rapid.SampledFrom(change).Draw(t, "change")(t) != nil {
						break
					}
				}
				crash()
			},
			"": func(t *rapid.T) { o.check(t, s) },
		})
		require.NoError(t, s.Close())
	})
}
