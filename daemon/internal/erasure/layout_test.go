package erasure

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func drawLayout(t *rapid.T) Layout {
	return Layout{
		K:        rapid.IntRange(1, 12).Draw(t, "k"),
		M:        rapid.IntRange(0, 8).Draw(t, "m"),
		UnitSize: rapid.IntRange(1, 40).Draw(t, "unit"),
	}
}

// where is the oracle of Spans: it locates a single byte by the description of the layout.
func where(l Layout, size, at int64) (stripe, index, offset int) {
	per := int64(l.K * l.UnitSize)
	stripe = int(at / per)
	unit := l.UnitSize
	if rest := size - int64(stripe)*per; rest < per {
		unit = 0
		for unit*l.K < int(rest) {
			unit++
		}
	}
	in := int(at % per)
	return stripe, in / unit, in % unit
}

func TestSpansCoverTheRangeByteByByte(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		size := rapid.Int64Range(1, 1000).Draw(t, "size")
		off := rapid.Int64Range(0, size-1).Draw(t, "off")
		end := rapid.Int64Range(off+1, size).Draw(t, "end")
		at := off
		for s := range l.Stripes(size) {
			for _, span := range l.Spans(size, s, off, end) {
				for b := span.From; b < span.To; b++ {
					stripe, index, offset := where(l, size, at)
					require.Equal(t, [3]int{stripe, index, offset}, [3]int{s, span.Index, b}, "byte %d", at)
					at++
				}
			}
		}
		require.Equal(t, end, at)
	})
}

func TestLayoutAgreesWithTheSizeOfChunks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		size := rapid.Int64Range(0, 5000).Draw(t, "size")
		sum, data := 0, 0
		for s := range l.Stripes(size) {
			sum += l.UnitLen(size, s)
			data += l.DataLen(size, s)
		}
		part := store.Part{Size: size, K: l.K, M: l.M, UnitSize: l.UnitSize}
		require.Equal(t, part.ChunkSize(), int64(sum))
		require.Equal(t, size, int64(data))
		require.Zero(t, l.DataLen(size, l.Stripes(size)))
		require.Equal(t, l, LayoutOf(part))
	})
}

func TestLayoutRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, l := range []Layout{
		{K: 0, M: 1, UnitSize: 1},
		{K: 1, M: -1, UnitSize: 1},
		{K: 60, M: 5, UnitSize: 1},
		{K: 6, M: 4, UnitSize: 0},
		{K: 6, M: 4, UnitSize: chunk.MaxUnitSize + 1},
	} {
		require.ErrorIs(t, l.Validate(), store.Invalid, "%+v", l)
	}
	require.NoError(t, Layout{K: 6, M: 4, UnitSize: chunk.DefaultUnitSize}.Validate())
}
