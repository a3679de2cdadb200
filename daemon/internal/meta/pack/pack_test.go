package pack

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestPackIsStable(t *testing.T) {
	t.Parallel()
	chunks := []store.Placement{{Node: store.NodeID{1, 15: 2}, Sum: 0xdeadbeef}, {}, {Node: store.NodeID{0xff}, Sum: 1}}
	nodes, sums := Pack(chunks)
	require.Equal(t, "01000000000000000000000000000002"+"00000000000000000000000000000000"+"ff000000000000000000000000000000", hex.EncodeToString(nodes))
	require.Equal(t, "deadbeef"+"00000000"+"00000001", hex.EncodeToString(sums))
	back, err := Unpack(nodes, sums)
	require.NoError(t, err)
	require.Equal(t, chunks, back)
}

func TestUnpackRefusesColumnsThatDoNotMatch(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]int{{15, 4}, {16, 3}, {32, 4}, {16, 8}, {0, 4}} {
		_, err := Unpack(make([]byte, c[0]), make([]byte, c[1]))
		require.ErrorIs(t, err, store.Internal)
	}
}

func TestMarksAreStable(t *testing.T) {
	t.Parallel()
	marks := []store.PartMark{{Number: 1}, {Number: 65, Start: 64 << 23}, {Number: 10000, Start: 5 << 40}}
	b := Marks(marks)
	require.Equal(t, "0100"+"4080808080"+"02"+"cf4d"+"80808080"+"fe9f01", hex.EncodeToString(b))
	back, err := ReadMarks(b)
	require.NoError(t, err)
	require.Equal(t, marks, back)
	require.Nil(t, Marks(nil))
	back, err = ReadMarks(nil)
	require.NoError(t, err)
	require.Nil(t, back)
}

func FuzzReadMarks(f *testing.F) {
	f.Add(Marks([]store.PartMark{{Number: 1}, {Number: 65, Start: 1 << 30}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		marks, err := ReadMarks(b)
		if err != nil {
			require.ErrorIs(t, err, store.Internal)
			return
		}
		again, err := ReadMarks(Marks(marks))
		require.NoError(t, err)
		require.Equal(t, marks, again)
	})
}

func FuzzReadChecksums(f *testing.F) {
	f.Add(Checksums(attr.Checksums{{Algorithm: attr.ChecksumCRC32, Value: []byte{1, 2, 3, 4}}, {Algorithm: attr.ChecksumMD5, Parts: 7, Value: make([]byte, 16)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ReadChecksums(b)
		if err != nil {
			require.ErrorIs(t, err, store.Internal)
			return
		}
		again, err := ReadChecksums(Checksums(all))
		require.NoError(t, err)
		require.Equal(t, all, again)
	})
}

func TestChecksumsAreStable(t *testing.T) {
	t.Parallel()
	all := attr.Checksums{{Algorithm: attr.ChecksumCRC32, Parts: 200, Value: []byte{1, 2, 3, 4}}, {Algorithm: attr.ChecksumMD5, Value: make([]byte, 16)}}
	b := Checksums(all)
	require.Equal(t, "01"+"c801"+"04"+"01020304"+"06"+"00"+"10"+"00000000000000000000000000000000", hex.EncodeToString(b))
	back, err := ReadChecksums(b)
	require.NoError(t, err)
	require.Equal(t, all, back)
	require.Nil(t, Checksums(nil))
	back, err = ReadChecksums(nil)
	require.NoError(t, err)
	require.Nil(t, back)
	for n := 1; n < len(b); n++ {
		if _, err := ReadChecksums(b[:n]); n != 8 {
			require.ErrorIs(t, err, store.Internal, "%d bytes", n)
		}
	}
}
