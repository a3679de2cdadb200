package chunkfs_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// manyPuts are puts of chunks with these numbers, and what they store.
func manyPuts(t *testing.T, from, to int) (puts []chunk.SmallPut, content map[store.ChunkID]string) {
	content = map[store.ChunkID]string{}
	for n := from; n < to; n++ {
		id, data := fixedID(n), text(n, 100+n%7*100)
		content[id] = data
		puts = append(puts, chunk.SmallPut{
			Context: t.Context(), Spec: chunk.Spec{ID: id, UnitSize: 1000}, Unit: chunk.NewUnit([]byte(data), nil), Label: goldenLabel,
		})
	}
	return puts, content
}

// TestCutInAPutOfMany cuts the power at every change of the disk while one call stores many chunks: each exists completely or not at
// all, and after the call all do.
func TestCutInAPutOfMany(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	fs := vfstest.NewInject(disk, nil)
	cfg := tiny(fs)
	cfg.SegmentSize = 20_000
	s := open(t, cfg)
	l := &ledger{kept: map[store.ChunkID]string{}, open: map[store.ChunkID]string{}}
	syncs, cuts := 0, uint64(0)
	for round := range 4 {
		puts, content := manyPuts(t, round*20, round*20+20)
		l.open = content
		fs.SetHook(func(call vfstest.Call) error {
			if call.Op == "datasync" {
				syncs++
			}
			for range 8 {
				if cuts++; call.Changes() {
					l.survived(t, disk.CrashClone(cuts), fmt.Sprintf("round %d, before %s, seed %d", round, call, cuts))
				}
			}
			return nil
		})
		for _, r := range s.PutMany(puts) {
			require.NoError(t, r.Err)
		}
		fs.SetHook(nil)
		for id, data := range content {
			l.kept[id] = data
		}
		l.open = nil
		l.survived(t, disk.CrashClone(vfstest.CrashLosesAll), "after it")
	}
	require.LessOrEqual(t, syncs, 4+2*2, "one sync for all, and those of sealed segments")
}

// TestPutOfManyOnAFullDisk: as many are stored as have room, and the others leave nothing.
func TestPutOfManyOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, roomy(disk))
	first, content := manyPuts(t, 0, 3)
	for _, r := range s.PutMany(first) {
		require.NoError(t, r.Err)
	}
	fill(t, disk)
	free, err := disk.Space()
	require.NoError(t, err)
	disk.SetSpace(free.Total + 3000)
	puts, more := manyPuts(t, 10, 40)
	stored := 0
	for i, r := range s.PutMany(puts) {
		id := puts[i].Spec.ID
		if r.Err == nil {
			content[id] = more[id]
			stored++
			continue
		}
		require.ErrorIs(t, r.Err, store.NoSpace)
	}
	require.Less(t, stored, len(puts))
	reopened(t, disk.CrashClone(1), &oracle{kept: content}, "filled by a put of many")
}
