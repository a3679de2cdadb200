package format

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// le is the byte order of every number on the disk.
var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Version is the version of both formats. A program refuses newer ones.
const Version = 2

const (
	idSize        = 17                     // a chunk id: 16 bytes of the part, one of the index
	labelFixed    = 74                     // bytes of a label without its three strings
	maxExtension  = 64 << 10               // bytes of a label's extension, at most
	maxLabelBytes = 4*65535 + maxExtension // upper bound of every label that CheckLabel accepts
)

func appendID(b []byte, id store.ChunkID) []byte { return append(append(b, id.Part[:]...), id.Index) }

func parseID(b []byte) (id store.ChunkID) {
	copy(id.Part[:], b)
	id.Index = b[16]
	return id
}

// CheckLabel is Invalid for a label that the format cannot hold.
func CheckLabel(l chunk.Label) error {
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"length of the bucket", len(l.Bucket), math.MaxUint16},
		{"length of the key", len(l.Key), math.MaxUint16},
		{"length of the content type", len(l.ContentType), math.MaxUint16},
		{"part number", l.PartNumber, math.MaxUint32},
		{"unit size", l.UnitSize, math.MaxUint32},
		{"k", l.K, math.MaxUint16},
		{"m", l.M, math.MaxUint16},
	} {
		if f.value < 0 || f.value > f.most {
			return store.Errorf(store.Invalid, "label: %s is %d, not within 0..%d", f.name, f.value, f.most)
		}
	}
	return nil
}

// appendLabel encodes a label, followed by the extension bytes as they are.
func appendLabel(b []byte, l chunk.Label, ext []byte) []byte {
	b = append(b, l.File[:]...)
	b = le.AppendUint64(b, uint64(l.CreatedAt))
	b = le.AppendUint64(b, uint64(l.FileSize))
	b = le.AppendUint64(b, uint64(l.PartOffset))
	b = le.AppendUint64(b, uint64(l.PartSize))
	b = le.AppendUint64(b, l.PartCRC64)
	b = le.AppendUint32(b, uint32(l.PartNumber))
	b = le.AppendUint32(b, uint32(l.UnitSize))
	b = le.AppendUint16(b, uint16(l.K))
	b = le.AppendUint16(b, uint16(l.M))
	for _, s := range []string{string(l.Bucket), string(l.Key), l.ContentType} {
		b = le.AppendUint16(b, uint16(len(s)))
	}
	b = append(b, l.Bucket...)
	b = append(b, l.Key...)
	b = append(b, l.ContentType...)
	return append(b, ext...)
}

// parseLabel decodes what appendLabel encoded; ok is false for anything else. ext is a copy.
func parseLabel(b []byte) (l chunk.Label, ext []byte, ok bool) {
	if len(b) < labelFixed {
		return l, nil, false
	}
	copy(l.File[:], b)
	l.CreatedAt = int64(le.Uint64(b[16:]))
	l.FileSize = int64(le.Uint64(b[24:]))
	l.PartOffset = int64(le.Uint64(b[32:]))
	l.PartSize = int64(le.Uint64(b[40:]))
	l.PartCRC64 = le.Uint64(b[48:])
	l.PartNumber = int(le.Uint32(b[56:]))
	l.UnitSize = int(le.Uint32(b[60:]))
	l.K, l.M = int(le.Uint16(b[64:])), int(le.Uint16(b[66:]))
	bucket, key, kind := int(le.Uint16(b[68:])), int(le.Uint16(b[70:])), int(le.Uint16(b[72:]))
	texts := b[labelFixed:]
	if len(texts) < bucket+key+kind {
		return chunk.Label{}, nil, false
	}
	l.Bucket = store.BucketName(texts[:bucket])
	l.Key = store.Key(texts[bucket : bucket+key])
	l.ContentType = string(texts[bucket+key : bucket+key+kind])
	rest := texts[bucket+key+kind:]
	if !soundExtension(rest) {
		return chunk.Label{}, nil, false
	}
	return l, append([]byte(nil), rest...), true
}

// soundExtension reports whether b is a sequence of type-length-value fields: a type and a
// length of two bytes each, then the value. A program preserves the fields that it does not
// know when it copies a chunk.
func soundExtension(b []byte) bool {
	if len(b) > maxExtension {
		return false
	}
	for len(b) > 0 {
		if len(b) < 4 || len(b)-4 < int(le.Uint16(b[2:])) {
			return false
		}
		b = b[4+int(le.Uint16(b[2:])):]
	}
	return true
}

func appendCRCs(b []byte, crcs []uint32) []byte {
	for _, c := range crcs {
		b = le.AppendUint32(b, c)
	}
	return b
}

func parseCRCs(b []byte) []uint32 {
	crcs := make([]uint32, len(b)/4)
	for i := range crcs {
		crcs[i] = le.Uint32(b[4*i:])
	}
	return crcs
}

// SumOf computes the chunk's sum from its units' checksums: store.ChunkSum.Add for each of them.
func SumOf(crcs []uint32) store.ChunkSum {
	b := make([]byte, 0, 4*len(crcs))
	for _, c := range crcs {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	return store.ChunkSum(chunk.CRC32C(b))
}

// UnitsIn is the number of units of a chunk of size bytes.
func UnitsIn(size int64, unitSize int) int64 {
	return (size + int64(unitSize) - 1) / int64(unitSize)
}

// sealCRC appends the checksum of all of b.
func sealCRC(b []byte) []byte { return le.AppendUint32(b, chunk.CRC32C(b)) }

// sealed reports whether the last four bytes are the checksum of the rest.
func sealed(b []byte) bool {
	n := len(b) - 4
	return n >= 0 && chunk.CRC32C(b[:n]) == le.Uint32(b[n:])
}

// Content is what both formats store of a chunk besides its data.
type Content struct {
	Info chunk.Info
	CRCs []uint32
	Ext  []byte // the label's extension, as it was read
}
