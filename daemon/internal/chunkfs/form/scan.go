package form

import (
	"io"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// scanWindow is how much of a segment is read at once, in bytes.
const scanWindow = 1 << 20

// LoadSegment gives the records of a segment, from its index where it has a
// sound one (whole is true), otherwise by reading everything.
func LoadSegment(f File, number uint32) (recs []Record, whole bool, err error) {
	size, err := f.Size()
	if err != nil {
		return nil, false, err
	}
	if recs, err = readIndex(f, number, size); err != nil || recs != nil {
		return recs, recs != nil, err
	}
	recs, err = scanSegment(f, number, size)
	return recs, false, err
}

// readIndex reads the index of a sealed segment; nil when there is no sound one.
func readIndex(f io.ReaderAt, number uint32, size int64) ([]Record, error) {
	if size < SegmentHeaderSize+segmentFooterSize {
		return nil, nil
	}
	foot := make([]byte, segmentFooterSize)
	if err := ReadFull(f, foot, size-segmentFooterSize); err != nil {
		return nil, err
	}
	if string(foot[:8]) != segmentEndMagic || !sealed(foot) ||
		le.Uint32(foot[8:]) != Version || le.Uint32(foot[12:]) != number {
		return nil, nil
	}
	count, at := int64(le.Uint64(foot[16:])), int64(le.Uint64(foot[24:]))
	if at < SegmentHeaderSize || at > size || count < 1 || count > size || at+count*indexEntrySize+segmentFooterSize != size {
		return nil, nil
	}
	lines := make([]byte, count*indexEntrySize)
	if err := ReadFull(f, lines, at); err != nil {
		return nil, err
	}
	if store.CRC32C(lines) != le.Uint32(foot[32:]) {
		return nil, nil
	}
	recs := make([]Record, 0, count)
	for ; len(lines) > 0; lines = lines[indexEntrySize:] {
		recs = append(recs, parseIndexEntry(lines, number))
	}
	return recs, nil
}

// scanSegment finds the records of a segment without its index. A cut in the
// middle of a write leaves a last batch of which any part may be missing; what
// of it is whole is kept, the rest was never acknowledged. A record that does
// not verify although later batches do was acknowledged and rotted since: it is
// kept as rotten, so that it is reported and not just gone.
func scanSegment(f io.ReaderAt, number uint32, size int64) ([]Record, error) {
	w := &window{f: f, size: size}
	var recs []Record
	var last uint64 // the newest batch with a whole record
	for off := int64(SegmentHeaderSize); off+TombstoneSize <= size; {
		r, err := w.record(Place{Seg: number, Off: uint32(off)})
		if err != nil {
			return nil, err
		}
		if r == nil {
			off += RecordAlign
			continue
		}
		if !r.Rotten {
			last = max(last, r.Batch)
		}
		recs = append(recs, *r)
		off += r.Size()
	}
	kept := recs[:0]
	for _, r := range recs {
		if !r.Rotten || r.Batch < last {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// window reads a file in large pieces.
type window struct {
	f    io.ReaderAt
	size int64
	buf  []byte
	at   int64 // of buf in the file
}

// bytes gives n bytes from off on, valid until the next call; nil when the file ends before.
func (w *window) bytes(off, n int64) ([]byte, error) {
	if off+n > w.size {
		return nil, nil
	}
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		want := min(max(n, scanWindow), w.size-off)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.at = w.buf[:want], off
		if err := ReadFull(w.f, w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.at:][:n], nil
}

// record reads what lies at a place; nil when no header is there.
func (w *window) record(at Place) (*Record, error) {
	b, err := w.bytes(int64(at.Off), recordPrefix)
	if err != nil || b == nil {
		return nil, err
	}
	n := headerLength(b, at)
	if n == 0 {
		return nil, nil
	}
	if b, err = w.bytes(int64(at.Off), n); err != nil || b == nil {
		return nil, err
	}
	r, ok := ParseHeader(b, at)
	if !ok {
		return nil, nil
	}
	r.Rotten, err = w.rotten(&r)
	r.CRCs, r.Info.Label = nil, store.Label{} // the index does without
	return &r, err
}

// rotten compares the data with the checksums.
func (w *window) rotten(r *Record) (bool, error) {
	off, left := int64(r.At.Off)+r.Head, r.Info.Size
	for _, crc := range r.CRCs {
		n := min(left, int64(r.Info.UnitSize))
		b, err := w.bytes(off, n)
		if err != nil {
			return false, err
		}
		if b == nil || store.CRC32C(b) != crc {
			return true, nil
		}
		off, left = off+n, left-n
	}
	return false, nil
}
