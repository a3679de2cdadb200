package chunkfs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// TestHalfADeleteShowsTheCopy: of the two tombstones of one Delete, a power cut left only the
// entry's; the copy without a tombstone is the chunk until it is deleted again.
func TestHalfADeleteShowsTheCopy(t *testing.T) {
	t.Parallel()
	s := assemble(Config{FS: vfstest.NewCrashable(), Now: time.Now})
	id := store.ChunkID{Part: store.PartID{1}}
	at := func(seg, off uint32) format.Record {
		return format.Record{Kind: format.KindChunk, At: format.Place{Seg: seg, Off: off}, Head: 100, Content: format.Content{Info: store.ChunkInfo{ID: id, Size: 20}}}
	}
	for n := uint32(1); n <= 3; n++ {
		s.table.add(newSegment(n, format.Salt(n), nil))
	}
	tombstone := format.Record{Kind: format.KindTombstone, At: format.Place{Seg: 3, Off: 64}, Head: format.TombstoneSize, Target: format.Place{Seg: 2, Off: 64}, TargetSalt: 2, Content: format.Content{Info: store.ChunkInfo{ID: id}}}
	useless := tombstone
	useless.Target.Seg, useless.At.Off = 9, 136
	stale := tombstone // of an earlier segment of that number
	stale.Target, stale.TargetSalt, stale.At.Off = format.Place{Seg: 1, Off: 64}, 77, 208
	r := recovery{s: s, records: [][]format.Record{{at(1, 64)}, {at(2, 64)}, {tombstone, useless, stale}}}
	r.apply()
	e, ok := s.index.Find(id, nil)
	require.True(t, ok)
	require.Equal(t, format.Place{Seg: 1, Off: 64}, e.Place())
	require.Empty(t, s.index.DuplicatesOf(id))
	require.EqualValues(t, 120, s.table.all[1].live)
	require.EqualValues(t, 0, s.table.all[2].live)
	require.EqualValues(t, 72, s.table.all[3].live, "the tombstone is needed while segment 2 is there")
	s.table.drop(s.table.all[2])
	require.EqualValues(t, 0, s.table.all[3].live)
}

func TestFewSmallSegmentsStayManyAreMerged(t *testing.T) {
	t.Parallel()
	table := &segments{all: map[uint32]*segment{}}
	for n := uint32(1); n <= smallCount; n++ {
		require.Empty(t, table.compactable(1000))
		seg := newSegment(n, format.Salt(n), nil)
		seg.size, seg.live, seg.closed = 100, 90, true
		table.add(seg)
	}
	require.Len(t, table.compactable(1000), smallCount)
	table.all[1].closed = false
	require.Empty(t, table.compactable(1000))
	table.all[2].live = 10
	require.Equal(t, []*segment{table.all[2]}, table.compactable(1000))
	table.all[2].badChunk = true
	require.Empty(t, table.compactable(1000))
}
