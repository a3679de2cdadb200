package chunkfs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/segment"
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
		return format.Record{Kind: format.KindChunk, At: format.Place{Seg: seg, Off: off}, Head: 100, Content: format.Content{Info: chunk.Info{ID: id, Size: 20}}}
	}
	var segments []*segment.Segment
	for n := uint32(1); n <= 3; n++ {
		segments = append(segments, segment.New(n, format.Salt(n)))
		s.table.Add(segments[n-1])
	}
	deletion := format.Record{Kind: format.KindTombstone, At: format.Place{Seg: 3, Off: 64}, Head: format.TombstoneSize, Target: format.Place{Seg: 2, Off: 64}, TargetSalt: 2, Content: format.Content{Info: chunk.Info{ID: id}}}
	useless := deletion
	useless.Target.Seg, useless.At.Off = 9, 136
	stale := deletion // of an earlier segment of that number
	stale.Target, stale.TargetSalt, stale.At.Off = format.Place{Seg: 1, Off: 64}, 77, 208
	var deletions []tombstone
	for _, records := range [][]format.Record{{at(1, 64)}, {at(2, 64)}, {deletion, useless, stale}} {
		deletions = s.apply(&format.Segment{Records: records}, deletions)
	}
	s.applyDeletions(deletions, nil)
	e, ok := s.index.Find(id, nil)
	require.True(t, ok)
	require.Equal(t, format.Place{Seg: 1, Off: 64}, e.Place())
	require.Empty(t, s.index.DuplicatesOf(id))
	live := func(n uint32) int64 {
		bytes, _ := s.table.Sizes(segments[n-1])
		return bytes
	}
	require.EqualValues(t, 120, live(1))
	require.EqualValues(t, 0, live(2))
	require.EqualValues(t, 72, live(3), "the tombstone is needed while segment 2 is there")
	s.table.Drop(segments[1])
	require.EqualValues(t, 0, live(3))
}
