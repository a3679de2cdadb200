package attr

import (
	"bytes"
	"fmt"
	"slices"
)

// MaxParts is the most parts that a file may have, and a composite checksum may cover.
const MaxParts = 10000

// ChecksumAlgorithm is how a checksum is computed. Values are stored: add at the end.
type ChecksumAlgorithm uint8

// The algorithms.
const (
	ChecksumCRC32 ChecksumAlgorithm = iota + 1
	ChecksumCRC32C
	ChecksumCRC64NVME
	ChecksumSHA1
	ChecksumSHA256
	ChecksumMD5
)

var checksumSizes = [...]int{0, 4, 4, 8, 20, 32, 16} // bytes

// Checksum is a checksum that a client sent and that was compared with the data.
type Checksum struct {
	Algorithm ChecksumAlgorithm
	Parts     int    // of a composite checksum, the number of parts whose checksums it was computed of; 0: it is of the data itself
	Value     []byte // as the algorithm gives it, numbers in big endian
}

func (c Checksum) equal(o Checksum) bool {
	return c.Algorithm == o.Algorithm && c.Parts == o.Parts && bytes.Equal(c.Value, o.Value)
}

// Checksums are the checksums of the same data, ascending by algorithm, and of one algorithm that of the data before the composite one.
type Checksums []Checksum

// Clone returns a copy that shares nothing with all.
func (all Checksums) Clone() Checksums {
	all = slices.Clone(all)
	for i := range all {
		all[i].Value = bytes.Clone(all[i].Value)
	}
	return all
}

// Validate reports the first checksum that has an unknown algorithm or a wrong length, is there twice or is not in order.
func (all Checksums) Validate() error {
	last := 0
	for _, c := range all {
		place := 2*int(c.Algorithm) + min(c.Parts, 1)
		if c.Algorithm == 0 || int(c.Algorithm) >= len(checksumSizes) || len(c.Value) != checksumSizes[c.Algorithm] || c.Parts < 0 || c.Parts > MaxParts || place <= last {
			return fmt.Errorf("checksum of %d bytes with algorithm %d is not valid, or not in order", len(c.Value), c.Algorithm)
		}
		last = place
	}
	return nil
}
