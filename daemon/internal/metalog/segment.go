package metalog

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	magic      = "RSmetlog"
	version    = 1
	headerSize = 120 // bytes before the compressed records
	sumSize    = 4   // CRC32C of all that is before it, at the end

	// MaxRecords bounds the records of a segment in bytes, before they are compressed. A file with as many parts as it may have, each with as many
	// chunks as it may have, fits.
	MaxRecords = 16 << 20
	// MaxSegment bounds a segment in bytes. Compression makes records that it cannot shrink a little larger.
	MaxSegment = MaxRecords + 64<<10
)

var le = binary.LittleEndian

// Header says what a segment holds and where it belongs.
type Header struct {
	Cluster store.ClusterID
	Log     store.LogID
	Kind    store.LogSegmentKind
	Term    uint64         // of the lease under which it was written
	Number  uint64         // ascending in the log, but where two gateways wrote at the same time
	Group   uint64         // of a snapshot: the Number of its first piece
	Piece   uint64         // of a snapshot: from 0; the last piece tells how many there are
	First   store.Revision // of a tail segment: it holds all changes after First
	Last    store.Revision // up to Last; of a snapshot: the changes after Last bring it up to date
	Written time.Time      // microseconds, UTC, by the clock of the gateway that wrote it
}

// Segment is a parsed segment.
type Segment struct {
	Header
	Records []store.LogRecord
}

// Encode returns the bytes of a segment. Invalid when the records take more than MaxRecords bytes, or one cannot be stored.
func Encode(s Segment) ([]byte, error) {
	raw, err := appendRecords(nil, s.Records)
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxRecords {
		return nil, store.Errorf(store.Invalid, "the records of a segment take %d bytes, more than %d", len(raw), MaxRecords)
	}
	out := bytes.NewBuffer(appendHeader(make([]byte, 0, headerSize+len(raw)/2), s.Header, len(raw)))
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, store.Errorf(store.Internal, "compressing a segment: %w", err)
	}
	return le.AppendUint32(out.Bytes(), chunk.CRC32C(out.Bytes())), nil
}

func appendHeader(b []byte, h Header, raw int) []byte {
	b = append(b, magic...)
	b = le.AppendUint32(b, version)
	b = append(b, byte(h.Kind), 0, 0, 0)
	b = append(b, h.Cluster[:]...)
	b = append(b, h.Log[:]...)
	for _, n := range [...]uint64{h.Term, h.Number, h.Group, h.Piece, uint64(h.First), uint64(h.Last), uint64(h.Written.UnixMicro())} {
		b = le.AppendUint64(b, n)
	}
	b = le.AppendUint32(b, uint32(raw))
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// Decode parses a segment. Corrupt for anything that Encode of this version would not have written; what later versions add to
// a record, and kinds of records that this one does not know, are skipped.
func Decode(b []byte) (Segment, error) {
	h, raw, err := decodeHeader(b)
	if err != nil {
		return Segment{}, err
	}
	records := make([]byte, raw)
	r := flate.NewReader(bytes.NewReader(b[headerSize : len(b)-sumSize]))
	if _, err := io.ReadFull(r, records); err != nil {
		return Segment{}, damaged("its records end early")
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return Segment{}, damaged("it has more records than its header says")
	}
	s := Segment{Header: h}
	s.Records, err = parseRecords(records)
	return s, err
}

// decodeHeader parses the header of a whole segment and checks the checksum of all of it. raw is the size of the records.
func decodeHeader(b []byte) (h Header, raw int, err error) {
	switch {
	case len(b) < headerSize+sumSize || len(b) > MaxSegment || string(b[:8]) != magic:
		return h, 0, damaged("it does not begin like one, or is too short or too long")
	case chunk.CRC32C(b[:len(b)-sumSize]) != le.Uint32(b[len(b)-sumSize:]):
		return h, 0, damaged("its checksum does not match")
	case le.Uint32(b[8:]) != version:
		return h, 0, damaged("its version is not %d", version)
	}
	h.Kind = store.LogSegmentKind(b[12])
	copy(h.Cluster[:], b[16:])
	copy(h.Log[:], b[32:])
	var n [7]uint64
	for i := range n {
		n[i] = le.Uint64(b[48+8*i:])
	}
	h.Term, h.Number, h.Group, h.Piece = n[0], n[1], n[2], n[3]
	h.First, h.Last, h.Written = store.Revision(n[4]), store.Revision(n[5]), time.UnixMicro(int64(n[6])).UTC()
	raw = int(le.Uint32(b[104:]))
	if h.Kind < store.TailSegment || h.Kind > store.SnapshotEnd || raw > MaxRecords || h.First > h.Last {
		return h, 0, damaged("its header is not valid")
	}
	return h, raw, nil
}

func damaged(format string, args ...any) error {
	e := store.Errorf(store.Corrupt, format, args...)
	e.Item = "segment of the metadata log"
	return e
}
