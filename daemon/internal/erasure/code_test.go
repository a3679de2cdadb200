package erasure

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestAnyKUnitsGiveBackTheRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k, m := rapid.IntRange(1, 10).Draw(t, "k"), rapid.IntRange(0, 6).Draw(t, "m")
		unit := rapid.IntRange(1, 200).Draw(t, "unit")
		code, err := New(k, m)
		require.NoError(t, err)
		units := make([][]byte, k+m)
		for i := range units {
			units[i] = make([]byte, unit)
			if i < k {
				copy(units[i], rapid.SliceOfN(rapid.Byte(), unit, unit).Draw(t, "data"))
			}
		}
		require.NoError(t, code.Encode(units))

		kept := rapid.Permutation(indices(k+m)).Draw(t, "kept")[:k]
		left, want := make([][]byte, k+m), make([]bool, k+m)
		for _, i := range kept {
			left[i] = bytes.Clone(units[i])
		}
		for i := range want {
			want[i] = i < k
		}
		require.NoError(t, code.Reconstruct(left, want))
		for i := range k {
			require.Equal(t, units[i], left[i], "data unit %d from %v", i, kept)
		}
	})
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestReconstructFillsInPlaceWhereThereIsRoom(t *testing.T) {
	t.Parallel()
	code, err := New(2, 1)
	require.NoError(t, err)
	units := [][]byte{[]byte("abcd"), []byte("efgh"), make([]byte, 4)}
	require.NoError(t, code.Encode(units))
	room := make([]byte, 8)
	left := [][]byte{room[:0:4], units[1], units[2]}
	require.NoError(t, code.Reconstruct(left, []bool{true, false, false}))
	require.Equal(t, "abcd", string(room[:4]))
}

func TestTooFewUnitsAreCorrupt(t *testing.T) {
	t.Parallel()
	for _, k := range []int{1, 3} {
		code, err := New(k, 2)
		require.NoError(t, err)
		units := make([][]byte, k+2)
		for i := range k - 1 {
			units[i] = []byte("x")
		}
		want := make([]bool, k+2)
		want[k-1] = true
		require.ErrorIs(t, code.Reconstruct(units, want), store.Corrupt)
	}
}

func TestWrongNumberOfUnitsIsInvalid(t *testing.T) {
	t.Parallel()
	code, err := New(3, 2)
	require.NoError(t, err)
	require.ErrorIs(t, code.Encode(make([][]byte, 4)), store.Invalid)
	require.ErrorIs(t, code.Reconstruct(make([][]byte, 5), make([]bool, 4)), store.Invalid)
	_, err = New(0, 2)
	require.ErrorIs(t, err, store.Invalid)
}

func BenchmarkEncode6p4(b *testing.B) {
	code, _ := New(6, 4)
	units := make([][]byte, 10)
	for i := range units {
		units[i] = make([]byte, chunk.DefaultUnitSize)
	}
	b.SetBytes(6 * chunk.DefaultUnitSize)
	for b.Loop() {
		_ = code.Encode(units)
	}
}

// A parity chunk does not depend on the number of parity chunks, so a part can be widened without changing its chunks.
func TestParityDoesNotDependOnItsNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 12).Draw(t, "k")
		few := rapid.IntRange(0, 6).Draw(t, "few")
		many := few + rapid.IntRange(1, 6).Draw(t, "more")
		size := rapid.IntRange(1, 40).Draw(t, "size")
		data := make([][]byte, k)
		for i := range data {
			data[i] = rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "data")
		}
		parity := func(m int) [][]byte {
			code, err := New(k, m)
			require.NoError(t, err)
			views, want := append(slices.Clone(data), make([][]byte, m)...), make([]bool, k+m)
			for i := k; i < k+m; i++ {
				views[i], want[i] = make([]byte, 0, size), true
			}
			require.NoError(t, code.Reconstruct(views, want))
			return views[k:]
		}
		require.Equal(t, parity(few), parity(many)[:few])
	})
}
