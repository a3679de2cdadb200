package format

import (
	"hash/crc32"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Sizes in bytes that the writer of a segment needs.
const (
	SegmentHeaderSize = 64                // the first record begins here
	TombstoneSize     = recordPrefix + 20 // a tombstone has a header and no data
	RecordAlign       = 8                 // records begin at multiples of it

	MaxPackBelow = 64 << 20 // bytes of the largest chunk that a record holds
	MaxPackUnits = 1 << 20  // units of a packed chunk, at most
)

// The format of a segment, see docs/format/segment.md: a header, records aligned
// to 8 bytes, and, once it is sealed, an index of them and a footer.
const (
	segmentMagic    = "RSsegmt\x00"
	segmentEndMagic = "RSsgend\x00"
	recordMagic     = 0x63725352 // "RSrc"

	segmentFooterSize = 64
	indexEntrySize    = 48
	recordPrefix      = 52 // bytes that all records begin with
	chunkFixed        = 80 // bytes of a chunk's header before its table
	maxRecordHeader   = chunkFixed + 4*MaxPackUnits + maxLabelBytes + 4
)

// Salt is the random number of a segment that each of its records carries. Clients do
// not know it, so they cannot store bytes that a scan would take for a record, and
// records of an earlier segment with the same number do not match either. Never 0.
type Salt uint64

// Kind is the type of a record.
type Kind uint8

// The kinds. The values are stored: append new ones, change none.
const (
	KindChunk     Kind = 1
	KindTombstone Kind = 2
)

// Place is the position of a record: the segment, numbered from 1, and the offset in bytes.
type Place struct {
	Seg uint32
	Off uint32
}

// Record is one entry of a segment, to be written or as it was read.
type Record struct {
	Kind       Kind
	Content             // of a chunk; of a tombstone the id alone
	Target     Place    // of a tombstone: the place of the deleted record
	TargetSalt Salt     // of a tombstone: the salt of Target's segment
	Data       [][]byte // of a chunk that is being written
	Batch      uint64   // number of the write that it was part of, within its segment
	At         Place    // set once the record was written
	Head       int64    // bytes of the header
	BadData    bool     // found by a scan: the header matches its checksum, the data does not
}

// Size is the number of bytes that the record occupies in its segment.
func (r *Record) Size() int64 { return RecordSize(r.Head, r.Info.Size) }

// RecordSize is the size of a record with a header and data of these sizes, in bytes.
func RecordSize(head, data int64) int64 { return (head + data + RecordAlign - 1) &^ (RecordAlign - 1) }

// AppendHeader encodes the header for the place r.At and the batch r.Batch in a segment
// with that salt, and sets r.Head.
func (r *Record) AppendHeader(b []byte, salt Salt) []byte {
	at := len(b)
	b = le.AppendUint32(b, recordMagic)
	b = append(b, byte(r.Kind), 0, 0, 0)
	b = le.AppendUint32(b, 0) // the header's length, set below
	b = le.AppendUint32(b, r.At.Off)
	b = le.AppendUint64(b, r.Batch)
	b = le.AppendUint64(b, uint64(salt))
	b = appendID(b, r.Info.ID)
	b = append(b, 0, 0, 0)
	if r.Kind == KindTombstone {
		b = le.AppendUint32(b, r.Target.Seg)
		b = le.AppendUint32(b, r.Target.Off)
		b = le.AppendUint64(b, uint64(r.TargetSalt))
	} else {
		b = le.AppendUint32(b, uint32(r.Info.UnitSize))
		b = le.AppendUint64(b, uint64(r.Info.Size))
		b = le.AppendUint64(b, uint64(r.Info.StoredAt))
		b = le.AppendUint32(b, uint32(r.Info.Sum))
		mark := len(b)
		b = le.AppendUint32(b, 0)
		b = appendCRCs(b, r.CRCs)
		label := len(b)
		b = appendLabel(b, r.Info.Label, r.Ext)
		le.PutUint32(b[mark:], uint32(len(b)-label))
	}
	r.Head = int64(len(b) - at + 4)
	le.PutUint32(b[at+8:], uint32(r.Head))
	return le.AppendUint32(b, recordCRC(r.At.Seg, b[at:]))
}

// recordCRC is the checksum of a record's header, bound to the segment's number.
func recordCRC(seg uint32, b []byte) uint32 {
	number := uint32(store.ChunkSum(0).Add(seg)) // the CRC of the number's four bytes, without an allocation
	return crc32.Update(number, castagnoli, b)
}

// headerLength decodes the length of the header from the first bytes of a record;
// 0 when no record of a segment with that salt begins there with that offset.
func headerLength(b []byte, off uint32, salt Salt) int64 {
	if len(b) < recordPrefix || le.Uint32(b) != recordMagic || le.Uint32(b[12:]) != off || saltOf(b) != salt {
		return 0
	}
	n := int64(le.Uint32(b[8:]))
	if n < TombstoneSize || n > maxRecordHeader {
		return 0
	}
	return n
}

// saltOf decodes the salt from a record's first bytes.
func saltOf(b []byte) Salt { return Salt(le.Uint64(b[24:])) }

// ParseHeader decodes a whole header. ok is false for anything that AppendHeader would
// not have written for that place and salt.
func ParseHeader(b []byte, at Place, salt Salt) (r Record, ok bool) {
	if headerLength(b, at.Off, salt) != int64(len(b)) || recordCRC(at.Seg, b[:len(b)-4]) != le.Uint32(b[len(b)-4:]) {
		return r, false
	}
	r.parsePrefix(b, at)
	switch r.Kind {
	case KindTombstone:
		return r, len(b) == TombstoneSize
	case KindChunk:
		return r, len(b) > chunkFixed && r.parseChunk(b)
	}
	return r, false
}

// parsePrefix decodes the fields that all headers have, and a tombstone's target.
// b has at least TombstoneSize bytes.
func (r *Record) parsePrefix(b []byte, at Place) {
	r.Kind, r.At, r.Head = Kind(b[4]), at, int64(len(b))
	r.Batch = le.Uint64(b[16:])
	r.Info.ID = parseID(b[32:])
	if r.Kind == KindTombstone {
		r.Target = Place{Seg: le.Uint32(b[52:]), Off: le.Uint32(b[56:])}
		r.TargetSalt = Salt(le.Uint64(b[60:]))
	}
}

// suspect decodes a header that does not match its checksum. Its fields are unproven, but
// the salt shows that a record was written there, and clients cannot forge the salt.
func suspect(b []byte, at Place, salt Salt) (r Record, ok bool) {
	if len(b) < TombstoneSize || saltOf(b) != salt || (le.Uint32(b) != recordMagic && le.Uint32(b[12:]) != at.Off) {
		return r, false
	}
	r.parsePrefix(b[:TombstoneSize], at)
	return r, true
}

func (r *Record) parseChunk(b []byte) (ok bool) {
	r.Info.UnitSize = int(le.Uint32(b[52:]))
	r.Info.Size = int64(le.Uint64(b[56:]))
	r.Info.StoredAt = int64(le.Uint64(b[64:]))
	r.Info.Sum = store.ChunkSum(le.Uint32(b[72:]))
	if r.Info.UnitSize < 1 || r.Info.UnitSize > chunk.MaxUnitSize || r.Info.Size < 1 || r.Info.Size > MaxPackBelow {
		return false
	}
	table := 4 * UnitsIn(r.Info.Size, r.Info.UnitSize)
	label := int64(le.Uint32(b[76:]))
	if chunkFixed+table+label+4 != int64(len(b)) {
		return false
	}
	r.CRCs = parseCRCs(b[chunkFixed : chunkFixed+table])
	r.Info.Label, r.Ext, ok = parseLabel(b[chunkFixed+table : int64(len(b))-4])
	return ok && SumOf(r.CRCs) == r.Info.Sum
}

// SegmentHeader encodes the first SegmentHeaderSize bytes of a segment.
func SegmentHeader(number uint32, salt Salt) []byte {
	b := append(make([]byte, 0, SegmentHeaderSize), segmentMagic...)
	b = le.AppendUint32(b, Version)
	b = le.AppendUint32(b, number)
	b = le.AppendUint64(b, uint64(salt))
	b = append(b, make([]byte, SegmentHeaderSize-4-len(b))...)
	return sealCRC(b)
}

// parseSegmentHeader decodes a header; ok is false for anything but a header of this version.
func parseSegmentHeader(b []byte) (number uint32, salt Salt, ok bool) {
	if string(b[:8]) != segmentMagic || !sealed(b) || le.Uint32(b[8:]) != Version {
		return 0, 0, false
	}
	return le.Uint32(b[12:]), Salt(le.Uint64(b[16:])), true
}

// AppendIndexEntry encodes a record's entry of the index.
func AppendIndexEntry(b []byte, r *Record) []byte {
	b = appendID(b, r.Info.ID)
	b = append(b, byte(r.Kind), 0, 0)
	if r.Kind == KindTombstone {
		b = le.AppendUint32(b, r.Target.Seg)
		b = le.AppendUint32(b, r.At.Off)
		b = le.AppendUint32(b, r.Target.Off)
		b = le.AppendUint64(b, uint64(r.TargetSalt))
		return append(b, make([]byte, 8)...)
	}
	b = le.AppendUint32(b, uint32(r.Head))
	b = le.AppendUint32(b, r.At.Off)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(r.Info.Size))
	b = le.AppendUint32(b, uint32(r.Info.Sum))
	return append(b, 0, 0, 0, 0)
}

// parseIndexEntry decodes an index entry: a record without its label and checksums.
func parseIndexEntry(b []byte, seg uint32) Record {
	r := Record{Kind: Kind(b[17]), At: Place{Seg: seg, Off: le.Uint32(b[24:])}}
	r.Info.ID = parseID(b)
	if r.Kind == KindTombstone {
		r.Head = TombstoneSize
		r.Target = Place{Seg: le.Uint32(b[20:]), Off: le.Uint32(b[28:])}
		r.TargetSalt = Salt(le.Uint64(b[32:]))
		return r
	}
	r.Head = int64(le.Uint32(b[20:]))
	r.Info.Size = int64(le.Uint64(b[32:]))
	r.Info.Sum = store.ChunkSum(le.Uint32(b[40:]))
	return r
}

// SegmentFooter encodes the end of a sealed segment. entries is its whole encoded index,
// which begins at indexAt.
func SegmentFooter(number uint32, salt Salt, entries []byte, indexAt int64) []byte {
	b := append(make([]byte, 0, segmentFooterSize), segmentEndMagic...)
	b = le.AppendUint32(b, Version)
	b = le.AppendUint32(b, number)
	b = le.AppendUint64(b, uint64(len(entries)/indexEntrySize))
	b = le.AppendUint64(b, uint64(indexAt))
	b = le.AppendUint64(b, uint64(salt))
	b = le.AppendUint32(b, chunk.CRC32C(entries))
	b = append(b, make([]byte, segmentFooterSize-4-len(b))...)
	return sealCRC(b)
}
