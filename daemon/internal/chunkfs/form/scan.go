package form

import (
	"bytes"
	"cmp"
	"errors"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	scanWindow = 1 << 20 // how much of a segment is read at once, in bytes
	blockSize  = 4096    // how much is read at once around what the disk does not give
)

// Segment is what a segment's file says.
type Segment struct {
	Salt    Salt     // 0 when it cannot be known
	Records []Record // in order, damaged ones (Rotten) included
	Whole   bool     // the records come from a sound index
	Foreign bool     // it is the segment of another number; nothing else is set
	End     int64    // where the last record ends

	// Torn are the parts that belong to a write that was cut, which no one was
	// told of: behind End, and before it where a later record of the same write is
	// whole. They must not be taken for damage when records follow.
	Torn   []Span
	Damage Damage
}

// Span is a part of a file.
type Span struct{ From, To int64 }

// Damage is what is not as it was written. The zero Damage is none.
type Damage struct {
	Unreadable int64    // bytes that the disk does not give
	Lost       int      // places between records, or behind them, where something was written that cannot be read
	Rotten     int      // records whose data does not verify
	Cause      error    // the first that the disk gave instead of bytes
	Suspects   []Record // what headers say that do not verify: kind, id, and of a tombstone the target
}

// Any reports whether there is damage.
func (d *Damage) Any() bool { return d.Unreadable > 0 || d.Lost > 0 || d.Rotten > 0 }

// LoadSegment reads a segment: from its index where it has a sound one, otherwise
// by reading everything, around what the disk does not give. mayBeTorn tells that
// the last write to it may have been cut: so it is with the newest segment only.
//
// A cut in the middle of a write leaves a last batch of which any part may be
// missing; what of it is whole is kept, the rest was never acknowledged (Torn).
// Everything else that does not verify was acknowledged and is Damage.
//
// The error is that of finding out the file's size; anything else is Damage.
func LoadSegment(f File, number uint32, mayBeTorn bool) (Segment, error) {
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

// readIndex reads a sealed segment; not ok without a sound index.
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
	if ReadFull(f, lines, at) != nil || store.CRC32C(lines) != le.Uint32(foot[40:]) {
		return s, false
	}
	s = Segment{Salt: Salt(le.Uint64(foot[32:])), Records: make([]Record, 0, count), Whole: true}
	for ; len(lines) > 0; lines = lines[indexEntrySize:] {
		s.Records = append(s.Records, parseIndexEntry(lines, number))
	}
	last := &s.Records[count-1]
	s.End = int64(last.At.Off) + last.Size()
	return s, true
}

// window reads a segment's file in large pieces.
type window struct {
	f      io.ReaderAt
	size   int64
	number uint32
	salt   Salt
	buf    []byte
	at     int64  // of buf in the file
	bad    []Span // what the disk did not give, in order; it reads as zeros
	cause  error  // why, the first time
}

// findSalt reads the header. Where that is damaged the salt is the one that most
// records name that verify with it. False for a segment of another number.
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

// bytes gives n bytes from off on, valid until the next call; nil when the file ends before.
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

// readAround fills the buffer block by block, and notes the blocks that the disk does not give.
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
	if n := len(w.bad); n > 0 && s.From <= w.bad[n-1].To { // read again, or the next block
		w.bad[n-1].From = min(w.bad[n-1].From, s.From)
		w.bad[n-1].To = max(w.bad[n-1].To, s.To)
		return
	}
	w.bad = append(w.bad, s)
}

// isBad reports whether any byte of the part could not be read.
func (w *window) isBad(s Span) bool {
	for _, b := range w.bad {
		if b.From < s.To && s.From < b.To {
			return true
		}
	}
	return false
}

// header reads the header at a place; nil when none is there.
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

// found is what a scan meets: a record, or a gap where none begins although
// something is there. gap is zero for a record.
type found struct {
	Record
	gap      Span
	bad      bool // the disk does not give all of it
	suspects []Record
}

// scan finds the records one after the other.
func (w *window) scan(mayBeTorn bool) Segment {
	var all []found
	var gap found // the one that is open, where gap.To > 0
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
			f.Rotten = w.rotten(r)
			f.bad = f.Rotten && w.isBad(Span{off, off + r.Size()})
			f.CRCs, f.Ext, f.Info.Label = nil, nil, store.Label{} // the index does without
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

// addToGap takes the eight bytes at a place into the gap, if anything was written there.
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

// rotten compares the data with the checksums.
func (w *window) rotten(r *Record) bool {
	off, left := int64(r.At.Off)+r.Head, r.Info.Size
	for _, crc := range r.CRCs {
		n := min(left, int64(r.Info.UnitSize))
		if b := w.bytes(off, n); b == nil || store.CRC32C(b) != crc {
			return true
		}
		off, left = off+n, left-n
	}
	return false
}

// judge tells a write that was cut from damage.
func (w *window) judge(all []found, mayBeTorn bool) Segment {
	s := Segment{Salt: w.salt, End: SegmentHeaderSize}
	last := uint64(0) // the newest batch: those before it were synced before it was written
	for i := range all {
		last = max(last, all[i].Batch)
	}
	firm := 0 // what stands before a record of an earlier batch is of such a batch, too
	for i := range all {
		if all[i].gap.To == 0 && all[i].Batch < last {
			firm = i
		}
	}
	mayBeTorn = mayBeTorn && !w.wasSealed()
	for i := range all {
		f := &all[i]
		torn := mayBeTorn && i >= firm && !f.bad && !f.isOlder(last)
		switch {
		case f.gap.To > 0 && torn:
			s.Torn = append(s.Torn, f.gap)
		case f.gap.To > 0:
			if i == len(all)-1 && !f.bad && w.isIndex(&s, f.gap) {
				continue // the beginning of the index, or one with a damaged footer
			}
			s.Damage.Lost++
			s.Damage.Suspects = append(s.Damage.Suspects, f.suspects...)
		case f.Rotten && torn && f.Batch >= last:
			s.Torn = append(s.Torn, Span{int64(f.At.Off), min(int64(f.At.Off)+f.Size(), w.size)})
		default:
			if f.Rotten {
				s.Damage.Rotten++
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

// isOlder reports whether a gap holds a header of an earlier batch than the last.
// The salt shows that it was written to this segment.
func (g *found) isOlder(last uint64) bool {
	for _, r := range g.suspects {
		if r.Batch > 0 && r.Batch < last {
			return true
		}
	}
	return false
}

// wasSealed reports whether the file ends as a sealed segment does, damaged or not.
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

// isIndex reports whether what lies behind the records is the index of exactly
// these: whole, whatever the footer is, or a part of what sealing would write.
func (w *window) isIndex(s *Segment, gap Span) bool {
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
