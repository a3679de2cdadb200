package pack

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

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
