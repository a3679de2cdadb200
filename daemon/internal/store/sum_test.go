package store

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestChunkSumIsTheCRCOfTheUnitsCRCs holds Add to its definition, and to costing nothing.
func TestChunkSumIsTheCRCOfTheUnitsCRCs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sum ChunkSum
		var all []byte
		for _, crc := range rapid.SliceOf(rapid.Uint32()).Draw(t, "units") {
			sum = sum.Add(crc)
			all = binary.BigEndian.AppendUint32(all, crc)
		}
		require.Equal(t, crc32.Checksum(all, castagnoli), uint32(sum))
	})
	require.Zero(t, testing.AllocsPerRun(100, func() { ChunkSum(1).Add(2) }))
}
