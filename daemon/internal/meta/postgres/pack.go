package postgres

import (
	"encoding/binary"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	nodeBytes = len(store.NodeID{})
	sumBytes  = 4
)

// pack gives the stored form of placements: 16 bytes of node and 4 bytes of sum a chunk, by index.
func pack(chunks []store.Placement) (nodes, sums []byte) {
	nodes = make([]byte, 0, nodeBytes*len(chunks))
	sums = make([]byte, 0, sumBytes*len(chunks))
	for _, c := range chunks {
		nodes = append(nodes, c.Node[:]...)
		sums = binary.BigEndian.AppendUint32(sums, uint32(c.Sum))
	}
	return nodes, sums
}

// unpack reads what pack wrote.
func unpack(nodes, sums []byte) ([]store.Placement, error) {
	n := len(sums) / sumBytes
	if len(nodes) != n*nodeBytes || len(sums) != n*sumBytes {
		return nil, store.Errorf(store.Internal, "placements of %d and %d bytes do not match", len(nodes), len(sums))
	}
	chunks := make([]store.Placement, n)
	for i := range chunks {
		copy(chunks[i].Node[:], nodes[i*nodeBytes:])
		chunks[i].Sum = store.ChunkSum(binary.BigEndian.Uint32(sums[i*sumBytes:]))
	}
	return chunks, nil
}
