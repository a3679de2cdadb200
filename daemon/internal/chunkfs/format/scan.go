package format

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"iter"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

const (
	scanWindow = 1 << 20 // bytes of a segment that are read at once
	blockSize  = 4096    // bytes that are read at once near an unreadable block
)

// Segment is the decoded content of a segment's file.
type Segment struct {
	Salt    Salt     // 0 when it cannot be determined
	Records []Record // those that a scan found, in order, including those with BadData; none if Whole
	Whole   bool     // the records come from an intact index, and All decodes them
	Foreign bool     // the file is a segment with another number; nothing else is set
	End     int64    // where the last record ends

	// Torn are the parts of a write that was interrupted and therefore never acknowledged:
	// behind End, and before it where a later record of the same write is intact. They must
	// be zeroed before records follow, so that a later scan does not report them as damage.
	Torn   []Span
	Damage Damage

	number  uint32
	entries []byte // the encoded index if Whole: a seventh of the memory of decoded records
}

// Len is the number of records.
func (s *Segment) Len() int { return len(s.Records) + len(s.entries)/indexEntrySize }

// All yields the records in order. A record is valid until the next one.
func (s *Segment) All() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for i := range s.Records {
			if !yield(&s.Records[i]) {
				return
			}
		}
		var r Record
		for rest := s.entries; len(rest) > 0; rest = rest[indexEntrySize:] {
			r = parseIndexEntry(rest, s.number)
			if !yield(&r) {
				return
			}
		}
	}
}

// Span is a range of a file, in bytes; To is exclusive.
type Span struct{ From, To int64 }

// Damage lists what is not as it was written. The zero Damage means an intact segment.
type Damage struct {
	Unreadable int64    // bytes that the disk cannot read
	Lost       int      // gaps between or behind the records that hold something that cannot be decoded
	BadData    int      // records whose data does not match its checksums
	Cause      error    // the first error of the disk
	Suspects   []Record // decoded headers that do not match their checksum: kind, id, and a tombstone's target
}

// Any reports whether there is damage.
func (d *Damage) Any() bool { return d.Unreadable > 0 || d.Lost > 0 || d.BadData > 0 }

// LoadSegment decodes a segment: from its index where that is intact, otherwise by scanning
// the whole file and skipping blocks that the disk cannot read. What does not match its checksum was acknowledged and is Damage.
//
// The error is that of determining the file's size; every other problem is Damage.
func LoadSegment(f File, number uint32) (Segment, error) { return loadSegment(f, number, false) }

// LoadNewestSegment is LoadSegment for the newest segment, the only one whose last write may have been interrupted.
//
// An interrupted write leaves a last batch of which any part may be missing. Its intact
// records are kept; the rest was never acknowledged and is reported as Torn.
func LoadNewestSegment(f File, number uint32) (Segment, error) { return loadSegment(f, number, true) }

func loadSegment(f File, number uint32, mayBeTorn bool) (Segment, error) {
	size, err := f.Size()
	if err != nil {
		return Segment{}, err
	}
	if s, ok := readIndex(f, number, size); ok {
		return s, nil
	}
	w := &window{f: f, size: size, number: number}
	if !w.findSalt() {
		return Segment{Foreign: true}, nil
	}
	return w.scan(mayBeTorn), nil
}

// readIndex decodes a sealed segment from its index; ok is false without an intact one.
func readIndex(f io.ReaderAt, number uint32, size int64) (s Segment, ok bool) {
	if size < SegmentHeaderSize+segmentFooterSize {
		return s, false
	}
	foot := make([]byte, segmentFooterSize)
	if ReadFull(f, foot, size-segmentFooterSize) != nil || string(foot[:8]) != segmentEndMagic || !sealed(foot) ||
		le.Uint32(foot[8:]) != Version || le.Uint32(foot[12:]) != number {
		return s, false
	}
	count, at := int64(le.Uint64(foot[16:])), int64(le.Uint64(foot[24:]))
	if at < SegmentHeaderSize || at > size || count < 1 || count > size || at+count*indexEntrySize+segmentFooterSize != size {
		return s, false
	}
	lines := make([]byte, count*indexEntrySize)
	if ReadFull(f, lines, at) != nil || chunk.CRC32C(lines) != le.Uint32(foot[40:]) {
		return s, false
	}
	last := parseIndexEntry(lines[(count-1)*indexEntrySize:], number)
	return Segment{
		Salt: Salt(le.Uint64(foot[32:])), Whole: true, End: int64(last.At.Off) + last.Size(), number: number, entries: lines,
	}, true
}

// window reads a segment's file in large blocks and remembers the last one.
type window struct {
	f      io.ReaderAt
	size   int64
	number uint32
	salt   Salt
	buf    []byte
	at     int64  // of buf in the file
	bad    []Span // ranges that the disk could not read, in order; they read as zeros
	cause  error  // the first error
}

// findSalt decodes the segment's header. Where that is damaged, the salt is taken from the
// records: the one under which most of them match their checksum. False for a segment with
// another number.
func (w *window) findSalt() bool {
	if head := w.bytes(0, SegmentHeaderSize); head != nil {
		if number, salt, ok := parseSegmentHeader(head); ok {
			w.salt = salt
			return number == w.number
		}
	}
	votes := map[Salt]int{}
	for off := int64(SegmentHeaderSize); off+TombstoneSize <= w.size; off += RecordAlign {
		b := w.bytes(off, recordPrefix)
		if le.Uint32(b) != recordMagic {
			continue
		}
		salt := saltOf(b)
		if r := w.header(Place{Seg: w.number, Off: uint32(off)}, salt); r != nil {
			votes[salt]++
			off += r.Size() - RecordAlign
		}
	}
	for salt, n := range votes {
		if n > votes[w.salt] {
			w.salt = salt
		}
	}
	return true
}

// bytes returns n bytes from off on, valid until the next call; nil when the file ends before.
func (w *window) bytes(off, n int64) []byte {
	if off+n > w.size {
		return nil
	}
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		want := min(max(n, scanWindow), w.size-off)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.at = w.buf[:want], off
		if err := ReadFull(w.f, w.buf, off); err != nil {
			w.readAround()
		}
	}
	return w.buf[off-w.at:][:n]
}

// readAround fills the buffer block by block, and records the blocks that cannot be read.
func (w *window) readAround() {
	for from := int64(0); from < int64(len(w.buf)); {
		to := min(from+blockSize-(w.at+from)%blockSize, int64(len(w.buf)))
		piece := w.buf[from:to]
		if err := ReadFull(w.f, piece, w.at+from); err != nil {
			clear(piece)
			w.cause = cmp.Or(w.cause, err)
			w.addBad(Span{w.at + from, w.at + to})
		}
		from = to
	}
}

func (w *window) addBad(s Span) {
	if n := len(w.bad); n > 0 && s.From <= w.bad[n-1].To { // the same block again, or the next one
		w.bad[n-1].From = min(w.bad[n-1].From, s.From)
		w.bad[n-1].To = max(w.bad[n-1].To, s.To)
		return
	}
	w.bad = append(w.bad, s)
}

// isBad reports whether any byte of the range could not be read.
func (w *window) isBad(s Span) bool {
	for _, b := range w.bad {
		if b.From < s.To && s.From < b.To {
			return true
		}
	}
	return false
}

// header decodes the header at a place; nil where no record begins.
func (w *window) header(at Place, salt Salt) *Record {
	b := w.bytes(int64(at.Off), recordPrefix)
	n := headerLength(b, at.Off, salt)
	if n == 0 {
		return nil
	}
	if b = w.bytes(int64(at.Off), n); b == nil {
		return nil
	}
	r, ok := ParseHeader(b, at, salt)
	if !ok {
		return nil
	}
	return &r
}

// found is one finding of a scan: a record, or a gap that holds bytes but no record.
// gap is zero for a record.
type found struct {
	Record
	gap      Span
	bad      bool // part of it cannot be read
	suspects []Record
}

// scan decodes the records one after the other, without the index.
func (w *window) scan(mayBeTorn bool) Segment {
	var all []found
	var gap found // the current gap, where gap.To > 0
	closeGap := func() {
		if gap.gap.To > 0 {
			gap.bad = w.isBad(gap.gap)
			all = append(all, gap)
		}
		gap = found{}
	}
	off := int64(SegmentHeaderSize)
	for off+TombstoneSize <= w.size {
		at := Place{Seg: w.number, Off: uint32(off)}
		if r := w.header(at, w.salt); r != nil {
			closeGap()
			f := found{Record: *r}
			f.BadData = w.hasBadData(r)
			f.bad = f.BadData && w.isBad(Span{off, off + r.Size()})
			f.CRCs, f.Ext, f.Info.Label = nil, nil, chunk.Label{} // not kept in the index
			all = append(all, f)
			off += r.Size()
			continue
		}
		if b := w.bytes(off, blockSize); b != nil && zero(b) && !w.isBad(Span{off, off + blockSize}) {
			off += blockSize
			continue
		}
		w.addToGap(&gap, at)
		off += RecordAlign
	}
	if rest := w.size - off; rest > 0 && !zero(w.bytes(off, rest)) {
		gap.extend(Span{off, w.size})
	}
	closeGap()
	return w.judge(all, mayBeTorn)
}

// addToGap extends the gap by the eight bytes at a place, if anything was written there.
func (w *window) addToGap(gap *found, at Place) {
	off := int64(at.Off)
	here := Span{off, off + RecordAlign}
	if zero(w.bytes(off, RecordAlign)) && !w.isBad(here) {
		return
	}
	gap.extend(here)
	if r, ok := suspect(w.bytes(off, TombstoneSize), at, w.salt); ok {
		gap.suspects = append(gap.suspects, r)
	}
}

func (g *found) extend(s Span) {
	if g.gap.To == 0 {
		g.gap.From = s.From
	}
	g.gap.To = s.To
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// hasBadData compares a record's data with its checksums.
func (w *window) hasBadData(r *Record) bool {
	off, left := int64(r.At.Off)+r.Head, r.Info.Size
	for _, crc := range r.CRCs {
		n := min(left, int64(r.Info.UnitSize))
		if b := w.bytes(off, n); b == nil || chunk.CRC32C(b) != crc {
			return true
		}
		off, left = off+n, left-n
	}
	return false
}

// judge distinguishes an interrupted write from damage.
func (w *window) judge(all []found, mayBeTorn bool) Segment {
	s := Segment{Salt: w.salt, End: SegmentHeaderSize}
	last := uint64(0) // the newest batch: earlier ones were synced before it was written
	for i := range all {
		last = max(last, all[i].Batch)
	}
	firm := 0 // everything before a record of an earlier batch belongs to an earlier batch, too
	for i := range all {
		if all[i].gap.To == 0 && all[i].Batch < last {
			firm = i
		}
	}
	newest := mayBeTorn
	mayBeTorn = mayBeTorn && !w.wasSealed()
	for i := range all {
		f := &all[i]
		torn := mayBeTorn && i >= firm && !f.bad && !f.isOlder(last)
		switch {
		case f.gap.To > 0 && torn:
			s.Torn = append(s.Torn, f.gap)
		case f.gap.To > 0:
			if i == len(all)-1 && !f.bad && w.isIndex(&s, f.gap, newest) {
				continue // an incomplete index, or one with a damaged footer
			}
			s.Damage.Lost++
			s.Damage.Suspects = append(s.Damage.Suspects, f.suspects...)
		case f.BadData && torn && f.Batch >= last:
			s.Torn = append(s.Torn, Span{int64(f.At.Off), min(int64(f.At.Off)+f.Size(), w.size)})
		default:
			if f.BadData {
				s.Damage.BadData++
			}
			s.Records = append(s.Records, f.Record)
			s.End = int64(f.At.Off) + f.Size()
		}
	}
	s.Damage.Cause = w.cause
	for _, b := range w.bad {
		s.Damage.Unreadable += b.To - b.From
	}
	return s
}

// isOlder reports whether a gap holds a header of an earlier batch than the last. Its salt
// proves that it was written to this segment.
func (g *found) isOlder(last uint64) bool {
	for _, r := range g.suspects {
		if r.Batch > 0 && r.Batch < last {
			return true
		}
	}
	return false
}

// wasSealed reports whether the file ends with a footer, damaged or not.
func (w *window) wasSealed() bool {
	foot := make([]byte, segmentFooterSize)
	if w.size < SegmentHeaderSize+segmentFooterSize {
		return false
	}
	if ReadFull(w.f, foot, w.size-segmentFooterSize) != nil {
		return false
	}
	return string(foot[:8]) == segmentEndMagic ||
		le.Uint32(foot[8:]) == Version && le.Uint32(foot[12:]) == w.number && Salt(le.Uint64(foot[32:])) == w.salt
}

// isIndex reports whether the bytes behind the records are the index of exactly these
// records: complete with any footer, or a prefix of what sealing would write. A power cut during the sealing of the newest segment may
// also have kept any of its sectors, with previous content of the disk in the others: then the length and a footer at the end tell.
// A record that is lost would make the bytes longer, by itself and by its line.
func (w *window) isIndex(s *Segment, gap Span, newest bool) bool {
	if len(s.Records) == 0 || gap.From < s.End || gap.To-s.End > int64(len(s.Records)+2)*indexEntrySize+segmentFooterSize {
		return false
	}
	got := bytes.Clone(w.bytes(s.End, gap.To-s.End))
	var lines []byte
	for i := range s.Records {
		lines = AppendIndexEntry(lines, &s.Records[i])
	}
	if bytes.HasPrefix(got, lines) {
		return true
	}
	lines = append(lines, SegmentFooter(w.number, w.salt, lines, s.End)...)
	if newest && len(got) == len(lines) && gap.To == w.size && w.wasSealed() {
		return true
	}
	for i, b := range got {
		if b != 0 && (i >= len(lines) || b != lines[i]) {
			return false
		}
	}
	return true
}

// ReadFull fills b; less than that is io.ErrUnexpectedEOF.
func ReadFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
