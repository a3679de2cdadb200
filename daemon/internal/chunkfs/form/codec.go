package form

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// le is the byte order of every number on disk.
var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Version is the version of both forms. A program refuses what is newer.
const Version = 2

const (
	idSize        = 17                     // a chunk id: 16 bytes of the part, one of the index
	labelFixed    = 74                     // a label without its three texts
	maxExtension  = 64 << 10               // the most bytes of a label's extension
	maxLabelBytes = 4*65535 + maxExtension // more than any label that CheckLabel lets pass
)

func appendID(b []byte, id store.ChunkID) []byte { return append(append(b, id.Part[:]...), id.Index) }

func parseID(b []byte) (id store.ChunkID) {
	copy(id.Part[:], b)
	id.Index = b[16]
	return id
}

// CheckLabel reports a label that the format cannot hold, as Invalid.
func CheckLabel(l store.Label) error {
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"bucket", len(l.Bucket), math.MaxUint16},
		{"key", len(l.Key), math.MaxUint16},
		{"content type", len(l.ContentType), math.MaxUint16},
		{"part number", l.PartNumber, math.MaxUint32},
		{"unit size", l.UnitSize, math.MaxUint32},
		{"k", l.K, math.MaxUint16},
		{"m", l.M, math.MaxUint16},
	} {
		if f.value < 0 || f.value > f.most {
			return store.Errorf(store.Invalid, "label: the %s is %d (long), not within 0..%d", f.name, f.value, f.most)
		}
	}
	return nil
}

// appendLabel writes a label and behind it the extension, which is kept as it was read.
func appendLabel(b []byte, l store.Label, ext []byte) []byte {
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

// parseLabel reads what appendLabel wrote; anything else is not ok. ext is a copy.
func parseLabel(b []byte) (l store.Label, ext []byte, ok bool) {
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
		return store.Label{}, nil, false
	}
	l.Bucket = store.BucketName(texts[:bucket])
	l.Key = store.Key(texts[bucket : bucket+key])
	l.ContentType = string(texts[bucket+key : bucket+key+kind])
	rest := texts[bucket+key+kind:]
	if !soundExtension(rest) {
		return store.Label{}, nil, false
	}
	return l, append([]byte(nil), rest...), true
}

// soundExtension reports whether b is a sequence of fields: a type and a length of
// two bytes each, then so many bytes. What a type means is for later versions; a
// program keeps and copies those that it does not know.
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

// SumOf is the chunk's sum by its units' checksums: store.ChunkSum.Add for each, in one go.
func SumOf(crcs []uint32) store.ChunkSum {
	b := make([]byte, 0, 4*len(crcs))
	for _, c := range crcs {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	return store.ChunkSum(store.CRC32C(b))
}

// UnitsIn is the number of units of a chunk.
func UnitsIn(size int64, unitSize int) int64 {
	return (size + int64(unitSize) - 1) / int64(unitSize)
}

// sealCRC appends the checksum of b.
func sealCRC(b []byte) []byte { return le.AppendUint32(b, store.CRC32C(b)) }

// sealed reports whether the last four bytes are the checksum of the rest.
func sealed(b []byte) bool {
	n := len(b) - 4
	return n >= 0 && store.CRC32C(b[:n]) == le.Uint32(b[n:])
}

// Content is what both forms know of a chunk besides its data.
type Content struct {
	Info store.ChunkInfo
	CRCs []uint32
	Ext  []byte // fields of the label that this version does not know, as they were read
}
