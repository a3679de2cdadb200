package chunkfs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// ledger records the calls of concurrent goroutines: what was acknowledged, and what may
// have happened or not because its call has not returned.
type ledger struct {
	mu   sync.Mutex
	kept map[store.ChunkID]string
	open map[store.ChunkID]string // "" for a deletion
}

func (l *ledger) change(id store.ChunkID, data string, change func() error) error {
	l.mu.Lock()
	l.open[id] = data
	l.mu.Unlock()
	err := change()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		return err
	}
	delete(l.open, id)
	if l.kept[id] = data; data == "" {
		delete(l.kept, id)
	}
	return nil
}

// survived opens the disk that a power cut left and compares it with the ledger.
func (l *ledger) survived(t *testing.T, disk *vfstest.Crashable, when string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := chunkfs.Open(context.Background(), tiny(disk))
	require.NoError(t, err, when)
	for range 2 {
		infos, err := s.List(context.Background(), store.ChunkID{}, 1000)
		require.NoError(t, err, when)
		found := map[store.ChunkID]bool{}
		for _, info := range infos {
			found[info.ID] = true
			data, err := chunktest.Read(context.Background(), s, info.ID)
			require.NoError(t, err, when)
			kept, was := l.kept[info.ID]
			open, is := l.open[info.ID]
			require.True(t, was && kept == string(data) || is && open == string(data), "%s: chunk %s has bytes that no one wrote, or is back", when, info.ID)
		}
		for id := range l.kept {
			if open, is := l.open[id]; !is || open != "" {
				require.True(t, found[id], "%s: acknowledged chunk %s is not there", when, id)
			}
		}
		require.NoError(t, s.Compact(context.Background()), when)
	}
	space, err := s.Capacity(context.Background())
	require.NoError(t, err)
	require.Empty(t, space.Disk.Reason, "%s: a cut is no damage", when)
	require.NoError(t, s.Close(), when)
}

// TestCutInAGroupCommit cuts the power at every change of the disk while batches of
// several writers and deleters are written: every acknowledged chunk exists afterwards, and
// each of the others exists completely or not at all.
func TestCutInAGroupCommit(t *testing.T) {
	t.Parallel()
	const callers, rounds = 6, 8
	disk := vfstest.NewCrashable()
	fs := vfstest.NewInject(disk, nil)
	cfg := tiny(fs)
	cfg.SegmentSize = 20_000
	s := open(t, cfg)
	l := &ledger{kept: map[store.ChunkID]string{}, open: map[store.ChunkID]string{}}
	cuts, gathered := uint64(0), false
	for round := range rounds {
		gathered = false
		fs.SetHook(func(call vfstest.Call) error { // called by the log's leader, so one call at a time
			if !call.Changes() {
				return nil
			}
			for !gathered && s.Waiting() < callers {
				runtime.Gosched()
			}
			gathered = true
			for range 8 {
				cuts++
				l.survived(t, disk.CrashClone(cuts), fmt.Sprintf("round %d, before %s, seed %d", round, call, cuts))
			}
			return nil
		})
		var all sync.WaitGroup
		errs := make(chan error, callers)
		for n := range callers {
			id := fixedID(round*callers + n)
			change := func() error {
				data := text(round*callers+n, 100+n*500)
				return l.change(id, data, func() error { return put(s, id, data, goldenLabel) })
			}
			if round%2 == 1 && n%2 == 0 {
				id = fixedID((round-1)*callers + n)
				change = func() error {
					return l.change(id, "", func() error { return s.Delete(context.Background(), id) })
				}
			}
			all.Go(func() { errs <- change() })
		}
		all.Wait()
		for range callers {
			require.NoError(t, <-errs)
		}
	}
	fs.SetHook(nil)
	require.Empty(t, l.open)
	for seed := range uint64(10) {
		l.survived(t, disk.CrashClone(seed), "at the end")
	}
	require.Greater(t, cuts, uint64(100))
}

// TestCutInADeletionOfMany cuts the power at every change of the disk while one call deletes packed chunks and files: each of the
// chunks exists completely or not at all, and after the call none does.
func TestCutInADeletionOfMany(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	fs := vfstest.NewInject(disk, nil)
	cfg := tiny(fs)
	cfg.SegmentSize = 60_000
	s := open(t, cfg)
	l := &ledger{kept: map[store.ChunkID]string{}, open: map[store.ChunkID]string{}}
	var doomed []store.ChunkID
	for n := range 30 {
		id, data := fixedID(n), text(n, 300+n%5*2000) // two of five are files
		require.NoError(t, l.change(id, data, func() error { return put(s, id, data, goldenLabel) }))
		if n%3 > 0 {
			doomed = append(doomed, id)
			l.open[id] = ""
		}
	}
	var calls atomic.Uint64 // files are removed by several goroutines
	syncs := map[string]int{}
	var one sync.Mutex
	fs.SetHook(func(call vfstest.Call) error {
		if !call.Changes() {
			return nil
		}
		one.Lock()
		defer one.Unlock()
		syncs[call.Op]++
		for range 6 {
			seed := calls.Add(1)
			l.survived(t, disk.CrashClone(seed), fmt.Sprintf("before %s, seed %d", call, seed))
		}
		return nil
	})
	for _, err := range s.DeleteMany(t.Context(), doomed) {
		require.NoError(t, err)
	}
	fs.SetHook(nil)
	require.Equal(t, 1, syncs["datasync"], "one sync for all packed chunks: %v", syncs)
	require.LessOrEqual(t, syncs["syncdir"], 3, "one sync a folder: %v", syncs)
	require.Positive(t, syncs["remove"])
	for _, id := range doomed {
		delete(l.kept, id)
		delete(l.open, id)
	}
	for seed := range uint64(10) {
		l.survived(t, disk.CrashClone(seed), "after it")
	}
	l.survived(t, disk.CrashClone(vfstest.CrashLosesAll), "after it")
}

// A deletion of many chunks waits for the lock of a chunk, as compaction holds it, while it holds none itself.
func TestADeletionOfManyHoldsNoLockWhileItWaits(t *testing.T) {
	t.Parallel()
	s := open(t, tiny(vfstest.NewCrashable()))
	for n := range 3 {
		require.NoError(t, put(s, fixedID(n), text(n, 300), goldenLabel))
	}
	unlock, waited := s.Lock(fixedID(1))
	done := make(chan []error, 1)
	go func() {
		done <- s.DeleteMany(context.Background(), []store.ChunkID{fixedID(0), fixedID(1), fixedID(2)})
	}()
	for !waited() {
		runtime.Gosched()
	}
	for _, n := range []int{0, 2} { // deleted, and not locked
		free, _ := s.Lock(fixedID(n))
		_, err := s.Stat(t.Context(), fixedID(n))
		require.ErrorIs(t, err, store.NotFound)
		free()
	}
	unlock()
	for _, err := range <-done {
		require.NoError(t, err)
	}
	_, err := s.Stat(t.Context(), fixedID(1))
	require.ErrorIs(t, err, store.NotFound)
}

// TestCutBetweenTheFlushesOfACompaction moves records in small groups, cuts the power before
// every change of the disk, and damages bits of the old segment between two groups.
func TestCutBetweenTheFlushesOfACompaction(t *testing.T) {
	t.Parallel()
	for _, rot := range []bool{false, true} {
		disk := vfstest.NewCrashable()
		fs := vfstest.NewInject(disk, nil)
		cfg := tiny(fs)
		cfg.SegmentSize = 20_000
		s := open(t, cfg)
		s.SetMoveBytes(1500)
		l := &ledger{kept: map[store.ChunkID]string{}, open: map[store.ChunkID]string{}}
		for n := range 30 {
			require.NoError(t, l.change(fixedID(n), text(n, 700), func() error { return put(s, fixedID(n), text(n, 700), goldenLabel) }))
		}
		for n := range 12 {
			require.NoError(t, l.change(fixedID(n), "", func() error { return s.Delete(t.Context(), fixedID(n)) }))
		}
		cuts, flushes := uint64(0), 0
		fs.SetHook(func(call vfstest.Call) error {
			if !call.Changes() {
				return nil
			}
			if call.Op == "datasync" {
				flushes++
			}
			if !rot {
				for range 4 {
					cuts++
					l.survived(t, disk.CrashClone(cuts), fmt.Sprintf("before %s, seed %d", call, cuts))
				}
			} else if flushes == 2 { // in the last chunk of the old segment
				const name = "segments/00000001.seg"
				flushes++
				f, err := disk.Open(name)
				require.NoError(t, err)
				_, err = f.WriteAt([]byte("rot"), 64+20*896+500)
				require.NoError(t, err)
				require.NoError(t, f.Close())
			}
			return nil
		})
		require.NoError(t, s.Compact(t.Context()))
		fs.SetHook(nil)
		require.Greater(t, flushes, 2)
		if !rot {
			l.survived(t, disk.CrashClone(vfstest.CrashLosesAll), "after it")
			continue
		}
		_, err := disk.Stat("segments/00000001.seg")
		require.NoError(t, err, "a segment with a damaged chunk stays")
		bad := 0
		for id := range l.kept {
			if _, err := chunktest.Read(t.Context(), s, id); err != nil {
				require.ErrorIs(t, err, store.Corrupt)
				bad++
			}
		}
		require.Equal(t, 1, bad)
	}
}

// TestCutThenDamage: recovery after a power cut encounters a flipped bit or a bad sector.
// Only the records at the damaged place are lost; no chunk has wrong bytes, and compaction
// afterwards loses nothing more.
func TestCutThenDamage(t *testing.T) {
	t.Parallel()
	disk, o := vfstest.NewCrashable(), &oracle{kept: map[store.ChunkID]string{}}
	fs := vfstest.NewInject(disk, nil)
	seed := uint64(0)
	fs.SetHook(func(call vfstest.Call) error {
		if !call.Changes() {
			return nil
		}
		for range 4 {
			seed++
			cutThenDamage(t, disk.CrashClone(seed), o, seed, "before "+call.String())
		}
		return nil
	})
	require.NoError(t, history(t.Context(), fs, o))
	require.Greater(t, seed, uint64(200))
}

func cutThenDamage(t *testing.T, disk *vfstest.Crashable, o *oracle, seed uint64, when string) {
	t.Helper()
	when = fmt.Sprintf("%s, seed %d", when, seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	name, at := randomPlace(t, disk, rng)
	fs := vfstest.NewInject(disk, nil)
	if name != "" && seed%2 == 0 {
		whole := contentOf(t, disk, name)
		overwrite(t, disk, name, flipped(whole, 8*at+rng.IntN(8)))
	} else if name != "" {
		fs.SetHook(badSector(name, int64(at)))
	}
	s, err := chunkfs.Open(t.Context(), tiny(fs))
	require.NoError(t, err, when)
	lost := lostOf(t, s, o, when)
	require.NoError(t, s.Compact(t.Context()), when)
	require.LessOrEqual(t, lostOf(t, s, o, when+", compacted"), lost, when)
	if seed%2 == 0 {
		require.LessOrEqual(t, lost, 1, "%s: a bit of %s at %d costs one chunk at most", when, name, at)
	}
	_ = s.Close() // a bad sector may prevent sealing the last segment
	require.Zero(t, disk.OpenFiles(), when)
}

// randomPlace picks a byte of a segment or a chunk file.
func randomPlace(t *testing.T, disk *vfstest.Crashable, rng *rand.Rand) (name string, at int) {
	t.Helper()
	var names []string
	for _, dir := range []string{"segments", "chunks/01", "chunks/02", "chunks/03"} {
		entries, err := disk.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Size > 0 && !strings.HasPrefix(e.Name, "8") {
				names = append(names, dir+"/"+e.Name)
			}
		}
	}
	if len(names) == 0 {
		return "", 0
	}
	name = names[rng.IntN(len(names))]
	return name, rng.IntN(len(contentOf(t, disk, name)))
}

// lostOf counts the acknowledged chunks that do not read back; none has other bytes.
func lostOf(t *testing.T, s *chunkfs.Store, o *oracle, when string) (lost int) {
	t.Helper()
	for id, want := range o.kept {
		if o.busy && o.id == id {
			continue
		}
		switch got, err := chunktest.Read(t.Context(), s, id); {
		case err == nil && string(got) == want:
		case err == nil:
			// The deletion was lost together with the chunk that was written after it:
			// the previous one exists again, as its checksum shows.
			require.True(t, id == fixedID(3) && string(got) == text(3*7919+2500, 2500), "%s: chunk %s has other bytes", when, id)
			lost++
		default:
			require.Contains(t, []store.Kind{store.Corrupt, store.NotFound}, store.KindOf(err), "%s: %v", when, err)
			lost++
		}
	}
	_, err := s.List(t.Context(), store.ChunkID{}, 1000)
	require.NoError(t, err, when)
	return lost
}
