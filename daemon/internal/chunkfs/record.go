package chunkfs

import (
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The form of a segment, see docs/format/segment.md: a header, records aligned
// to 8 bytes, and, once it is sealed, an index of them and a footer.
const (
	segmentMagic    = "RSsegmt\x00"
	segmentEndMagic = "RSsgend\x00"
	recordMagic     = 0x63725352 // "RSrc"

	segmentHeaderSize = 64
	segmentFooterSize = 64
	indexEntrySize    = 48

	recordPrefix  = 52                // what all records begin with
	chunkFixed    = 80                // of a chunk's header, before its table
	tombstoneSize = recordPrefix + 16 // of a tombstone, its checksum included
	recordAlign   = 8

	maxRecordHeader = chunkFixed + 4*maxPackUnits + maxLabelBytes + 4
	maxPackUnits    = 1 << 20
	maxPackBelow    = 64 << 20
)

type recordKind uint8

const (
	kindChunk     recordKind = 1
	kindTombstone recordKind = 2
)

// place is where a record lies. Segments are numbered from 1.
type place struct {
	seg uint32
	off uint32
}

// record is one entry of a segment, on its way in or out.
type record struct {
	kind    recordKind
	content          // of a chunk; of a tombstone the id alone
	target  place    // of a tombstone: what is dead
	data    [][]byte // of a chunk that is being written
	batch   uint64   // number of the write that it came with, within its segment
	at      place    // where it lies, once it was written
	head    int64    // bytes of the header
	rotten  bool     // found by a scan: the header is sound, the data is not
}

// size is the bytes that the record takes in its segment.
func (r *record) size() int64 { return recordSize(r.head, r.info.Size) }

func recordSize(head, data int64) int64 { return (head + data + recordAlign - 1) &^ (recordAlign - 1) }

// appendHeader writes the header for the place r.at and the batch r.batch, and sets r.head.
func (r *record) appendHeader(b []byte) []byte {
	at := len(b)
	b = le.AppendUint32(b, recordMagic)
	b = append(b, byte(r.kind), 0, 0, 0)
	b = le.AppendUint32(b, r.at.seg)
	b = le.AppendUint32(b, 0) // the header's length, known below
	b = le.AppendUint64(b, uint64(r.at.off))
	b = le.AppendUint64(b, r.batch)
	b = appendID(b, r.info.ID)
	b = append(b, 0, 0, 0)
	if r.kind == kindTombstone {
		b = le.AppendUint32(b, r.target.seg)
		b = le.AppendUint64(b, uint64(r.target.off))
	} else {
		b = le.AppendUint32(b, uint32(r.info.UnitSize))
		b = le.AppendUint64(b, uint64(r.info.Size))
		b = le.AppendUint64(b, uint64(r.info.StoredAt))
		b = le.AppendUint32(b, uint32(r.info.Sum))
		mark := len(b)
		b = le.AppendUint32(b, 0)
		b = appendCRCs(b, r.crcs)
		label := len(b)
		b = appendLabel(b, r.info.Label)
		le.PutUint32(b[mark:], uint32(len(b)-label))
	}
	r.head = int64(len(b) - at + 4)
	le.PutUint32(b[at+12:], uint32(r.head))
	return le.AppendUint32(b, store.CRC32C(b[at:]))
}

// headerLength reads from the first bytes of a record how long its header is;
// 0 when they are not the beginning of one at that place.
func headerLength(b []byte, at place) int64 {
	if len(b) < recordPrefix || le.Uint32(b) != recordMagic ||
		le.Uint32(b[8:]) != at.seg || le.Uint64(b[16:]) != uint64(at.off) {
		return 0
	}
	n := int64(le.Uint32(b[12:]))
	if n < tombstoneSize || n > maxRecordHeader {
		return 0
	}
	return n
}

// parseHeader reads a whole header. Anything that appendHeader would not have
// written for that place is not ok.
func parseHeader(b []byte, at place) (r record, ok bool) {
	if headerLength(b, at) != int64(len(b)) || !sealed(b) {
		return r, false
	}
	r.kind, r.at, r.head = recordKind(b[4]), at, int64(len(b))
	r.batch = le.Uint64(b[24:])
	r.info.ID = parseID(b[32:])
	switch r.kind {
	case kindTombstone:
		r.target = place{seg: le.Uint32(b[52:]), off: uint32(le.Uint64(b[56:]))}
		return r, len(b) == tombstoneSize
	case kindChunk:
		return r, len(b) > chunkFixed && r.parseChunk(b)
	}
	return r, false
}

func (r *record) parseChunk(b []byte) (ok bool) {
	r.info.UnitSize = int(le.Uint32(b[52:]))
	r.info.Size = int64(le.Uint64(b[56:]))
	r.info.StoredAt = int64(le.Uint64(b[64:]))
	r.info.Sum = store.ChunkSum(le.Uint32(b[72:]))
	if r.info.UnitSize < 1 || r.info.UnitSize > store.MaxUnitSize || r.info.Size < 1 || r.info.Size > maxPackBelow {
		return false
	}
	table := 4 * unitsIn(r.info.Size, r.info.UnitSize)
	label := int64(le.Uint32(b[76:]))
	if chunkFixed+table+label+4 != int64(len(b)) {
		return false
	}
	r.crcs = parseCRCs(b[chunkFixed : chunkFixed+table])
	r.info.Label, ok = parseLabel(b[chunkFixed+table : int64(len(b))-4])
	return ok && sumOf(r.crcs) == r.info.Sum
}

func segmentHeader(number uint32) []byte {
	b := append(make([]byte, 0, segmentHeaderSize), segmentMagic...)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint32(b, number)
	b = append(b, make([]byte, segmentHeaderSize-4-len(b))...)
	return sealCRC(b)
}

// appendIndexEntry writes a record's line of the index.
func appendIndexEntry(b []byte, r *record) []byte {
	b = appendID(b, r.info.ID)
	b = append(b, byte(r.kind), 0, 0)
	if r.kind == kindTombstone {
		b = le.AppendUint32(b, r.target.seg)
		b = le.AppendUint64(b, uint64(r.at.off))
		b = le.AppendUint64(b, uint64(r.target.off))
		return append(b, make([]byte, 8)...)
	}
	b = le.AppendUint32(b, uint32(r.head))
	b = le.AppendUint64(b, uint64(r.at.off))
	b = le.AppendUint64(b, uint64(r.info.Size))
	b = le.AppendUint32(b, uint32(r.info.Sum))
	return append(b, 0, 0, 0, 0)
}

// parseIndexEntry gives a record with what the index says of it.
func parseIndexEntry(b []byte, seg uint32) record {
	r := record{kind: recordKind(b[17]), at: place{seg: seg, off: uint32(le.Uint64(b[24:]))}}
	r.info.ID = parseID(b)
	if r.kind == kindTombstone {
		r.head = tombstoneSize
		r.target = place{seg: le.Uint32(b[20:]), off: uint32(le.Uint64(b[32:]))}
		return r
	}
	r.head = int64(le.Uint32(b[20:]))
	r.info.Size = int64(le.Uint64(b[32:]))
	r.info.Sum = store.ChunkSum(le.Uint32(b[40:]))
	return r
}

func segmentFooter(number uint32, entries []byte, indexAt int64) []byte {
	b := append(make([]byte, 0, segmentFooterSize), segmentEndMagic...)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint32(b, number)
	b = le.AppendUint64(b, uint64(len(entries)/indexEntrySize))
	b = le.AppendUint64(b, uint64(indexAt))
	b = le.AppendUint32(b, store.CRC32C(entries))
	b = append(b, make([]byte, segmentFooterSize-4-len(b))...)
	return sealCRC(b)
}
