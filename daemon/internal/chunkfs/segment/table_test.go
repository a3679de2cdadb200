package segment

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
)

func TestFewSmallSegmentsStayManyAreMerged(t *testing.T) {
	t.Parallel()
	table := NewTable(nil, 0)
	for n := uint32(1); n <= smallCount; n++ {
		require.Empty(t, table.Compactable(1000))
		seg := New(n, format.Salt(n))
		seg.size, seg.live, seg.closed = 100, 90, true
		table.Add(seg)
	}
	require.Len(t, table.Compactable(1000), smallCount)
	table.all[1].closed = false
	require.Empty(t, table.Compactable(1000))
	table.all[2].live = 10
	require.Equal(t, []*Segment{table.all[2]}, table.Compactable(1000))
	table.all[2].badChunk = true
	require.Empty(t, table.Compactable(1000))
}
