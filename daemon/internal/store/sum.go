package store

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ChunkSum identifies the content of a chunk: the CRC32C over its units'
// CRC32Cs, each as four big-endian bytes, in order. It needs no second
// pass over the data, and covers every byte, the number of units and their order.
type ChunkSum uint32

// Add returns the sum with the next unit's CRC32C appended; begin with 0.
func (s ChunkSum) Add(unitCRC uint32) ChunkSum {
	// Byte by byte: a slice passed to hash/crc32 would be allocated for every unit.
	crc := ^uint32(s)
	for shift := 24; shift >= 0; shift -= 8 {
		crc = castagnoli[byte(crc)^byte(unitCRC>>shift)] ^ crc>>8
	}
	return ChunkSum(^crc)
}
