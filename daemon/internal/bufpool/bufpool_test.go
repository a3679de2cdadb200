package bufpool_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

var (
	_ chunk.Releaser  = (*bufpool.Buffer)(nil)
	_ chunk.Abandoner = (*bufpool.Buffer)(nil)
)

// Buffers that are lent at the same time never share memory, whatever was returned before.
func TestPool_LendsEachByteOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pool := bufpool.New()
		lent := map[*bufpool.Buffer]byte{}
		next := byte(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(lent) < 8 && rapid.Bool().Draw(t, "lend") {
				n := rapid.OneOf(rapid.IntRange(0, 40<<10), rapid.SampledFrom([]int{chunk.DefaultUnitSize, chunk.MaxUnitSize, chunk.MaxUnitSize + 1, 2 << 20})).Draw(t, "size")
				b := pool.Lend(n)
				require.Len(t, b.Data, n)
				next++
				fill(b.Data, next)
				lent[b] = next
				continue
			}
			for b, mark := range lent { // any one of them
				for _, at := range []int{0, len(b.Data) / 2, len(b.Data) - 1} {
					if at >= 0 && at < len(b.Data) {
						require.Equal(t, mark, b.Data[at])
					}
				}
				delete(lent, b)
				if rapid.Bool().Draw(t, "abandon") {
					b.Abandon()
				} else {
					b.Release()
				}
				break
			}
		}
	})
}

func fill(b []byte, x byte) {
	for i := range b {
		b[i] = x
	}
}

// An abandoned buffer keeps its bytes: its memory is not lent again.
func TestBuffer_AbandonedMemoryIsNotReused(t *testing.T) {
	t.Parallel()
	pool := bufpool.New()
	b := pool.Lend(100)
	data := b.Data
	fill(data, 7)
	b.Abandon()
	for range 100 {
		fill(pool.Lend(100).Data, 1)
	}
	require.EqualValues(t, 7, data[0])
	require.EqualValues(t, 7, data[99])
}

func TestPool_IgnoresForeignSlices(t *testing.T) {
	t.Parallel()
	pool := bufpool.New()
	odd := make([]byte, 3<<10)
	pool.Put(&odd)
	require.NotSame(t, &odd, pool.Get(3<<10))
}

func BenchmarkLend(b *testing.B) {
	pool := bufpool.New()
	b.ReportAllocs()
	for b.Loop() {
		pool.Lend(chunk.DefaultUnitSize).Release()
	}
}
