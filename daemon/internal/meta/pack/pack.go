// Package pack is the stored form of a part's placements, the same in every SQL
// engine: 16 bytes of node id a chunk in one column and 4 big-endian bytes of sum a chunk in
// another, both by chunk index. Zero bytes stand for a chunk that is nowhere.
package pack

import (
	"encoding/binary"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Bytes per chunk in the two columns.
const (
	NodeBytes = len(store.NodeID{})
	SumBytes  = 4
)

// Pack gives the two columns of the placements.
func Pack(chunks []store.Placement) (nodes, sums []byte) {
	nodes = make([]byte, 0, NodeBytes*len(chunks))
	sums = make([]byte, 0, SumBytes*len(chunks))
	for _, c := range chunks {
		nodes = append(nodes, c.Node[:]...)
		sums = binary.BigEndian.AppendUint32(sums, uint32(c.Sum))
	}
	return nodes, sums
}

// Unpack reads what Pack wrote. Columns that do not match are Internal: the
// schema checks them.
func Unpack(nodes, sums []byte) ([]store.Placement, error) {
	n := len(sums) / SumBytes
	if len(nodes) != n*NodeBytes || len(sums) != n*SumBytes {
		return nil, store.Errorf(store.Internal, "placements of %d and %d bytes do not match", len(nodes), len(sums))
	}
	chunks := make([]store.Placement, n)
	for i := range chunks {
		copy(chunks[i].Node[:], nodes[i*NodeBytes:])
		chunks[i].Sum = store.ChunkSum(binary.BigEndian.Uint32(sums[i*SumBytes:]))
	}
	return chunks, nil
}
