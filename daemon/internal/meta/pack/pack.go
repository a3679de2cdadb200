// Package pack encodes what the SQL engines store in a column, the same way in each.
//
// The placements of a part are 16 bytes of node id per chunk in one column and 4 big-endian bytes of sum per chunk in
// another, both in order of chunk index. A node id of zero bytes means that the chunk is not stored.
package pack

import (
	"bytes"
	"encoding/binary"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Bytes per chunk in the two columns.
const (
	NodeBytes = len(store.NodeID{})
	SumBytes  = 4
)

// Pack encodes the placements into the two columns.
func Pack(chunks []store.Placement) (nodes, sums []byte) {
	nodes = make([]byte, 0, NodeBytes*len(chunks))
	sums = make([]byte, 0, SumBytes*len(chunks))
	for _, c := range chunks {
		nodes = append(nodes, c.Node[:]...)
		sums = binary.BigEndian.AppendUint32(sums, uint32(c.Sum))
	}
	return nodes, sums
}

// Unpack decodes the columns that Pack wrote. Columns of different lengths are Internal: the
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

// Marks encodes the marks of a file's parts: of each, as unsigned varints, by how much its number and its start are higher than those of
// the one before. No marks are nil.
func Marks(marks []store.PartMark) []byte {
	var b []byte
	var last store.PartMark
	for _, m := range marks {
		b = binary.AppendUvarint(b, uint64(m.Number-last.Number))
		b = binary.AppendUvarint(b, uint64(m.Start-last.Start))
		last = m
	}
	return b
}

// ReadMarks decodes what Marks encoded. Internal where it did not.
func ReadMarks(b []byte) ([]store.PartMark, error) {
	var marks []store.PartMark
	var last store.PartMark
	for len(b) > 0 {
		number, n := binary.Uvarint(b)
		start, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 || number > store.MaxParts || start > store.MaxFileBytes {
			return nil, store.Errorf(store.Internal, "the marks of a file's parts are malformed")
		}
		last.Number += int(number)
		last.Start += int64(start)
		marks = append(marks, last)
		b = b[n+m:]
	}
	return marks, nil
}

// Checksums encodes checksums: of each one byte of algorithm, the number of parts as an unsigned varint, one byte of length, and the
// value. No checksums are nil.
func Checksums(all attr.Checksums) []byte {
	var b []byte
	for _, c := range all {
		b = append(b, byte(c.Algorithm))
		b = binary.AppendUvarint(b, uint64(c.Parts))
		b = append(append(b, byte(len(c.Value))), c.Value...)
	}
	return b
}

// ReadChecksums decodes what Checksums encoded. Internal where it did not.
func ReadChecksums(b []byte) (all attr.Checksums, err error) {
	for len(b) > 0 {
		parts, n := binary.Uvarint(b[1:])
		if n <= 0 || len(b) < 2+n || parts > store.MaxParts || len(b) < 2+n+int(b[1+n]) {
			return nil, store.Errorf(store.Internal, "the checksums of a part are malformed")
		}
		end := 2 + n + int(b[1+n])
		all = append(all, attr.Checksum{Algorithm: attr.ChecksumAlgorithm(b[0]), Parts: int(parts), Value: bytes.Clone(b[2+n : end])})
		b = b[end:]
	}
	if all.Validate() != nil {
		return nil, store.Errorf(store.Internal, "the checksums of a part are malformed")
	}
	return all, nil
}
