package chunkfs

import (
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// spareBit marks the numbers of spare segments. They hold tombstones only.
const spareBit = 1 << 31

// spare is a segment whose bytes were written, as zeros, while there was space, so
// that a full disk can still delete: overwriting takes no new block. It is used
// when a tombstone finds no room in the active segment, and is replaced when half
// of it is used up and there is space again. It belongs to the leader of the log.
type spare struct {
	seg   *segment // nil when none could be made
	file  vfs.File // the same file, open for writing
	size  int64    // bytes of a whole one; 0 for none at all
	end   int64    // where the next record goes
	batch uint64
	index []byte // as it will be sealed
	next  uint32 // number of the next, with spareBit
}

func onlyTombstones(recs []*form.Record) bool {
	for _, r := range recs {
		if r.Kind != form.KindTombstone {
			return false
		}
	}
	return len(recs) > 0
}

// writeSpare makes tombstones durable in the spare segment.
func (l *log) writeSpare(recs []*form.Record) error {
	if err := l.disk.check(); err != nil {
		return err
	}
	sp := &l.spare
	if sp.seg == nil || sp.end+int64(len(recs))*form.RecordSize(form.TombstoneSize, 0) > sp.size {
		return store.Errorf(store.NoSpace, "the disk is full, and so is what is kept for deletions").
			WithHint("Free space on the node's disk; deletions of whole segments and of large chunks are still possible.")
	}
	sp.batch++
	end, heads := sp.end, []byte(nil)
	for _, r := range recs {
		r.At, r.Batch = form.Place{Seg: sp.seg.number, Off: uint32(end)}, sp.batch
		heads = r.AppendHeader(heads, sp.seg.salt)
		end += r.Size()
		heads = append(heads, make([]byte, end-sp.end-int64(len(heads)))...)
	}
	_, err := sp.file.WriteAt(heads, sp.end)
	if err == nil {
		err = sp.file.Datasync()
	}
	switch {
	case err == nil:
	case isFull(err): // a file system that never overwrites in place
		sp.close(l)
		return openOutcome(err)
	default:
		return l.disk.fail(err)
	}
	sp.end = end
	for _, r := range recs {
		sp.index = form.AppendIndexEntry(sp.index, r)
	}
	l.show(sp.seg, recs)
	return nil
}

// close ends the spare segment: from now on it is one like the others.
func (sp *spare) close(l *log) {
	l.space.add(sp.end)
	l.table.seal(sp.seg)
	if sp.file != sp.seg.file {
		_ = sp.file.Close() // what counts was synced
	}
	sp.seg, sp.file = nil, nil
}

// renewSpare replaces a spare segment that is half used, or makes the first. A
// full disk is no error: the one that is there stays.
func (l *log) renewSpare() error {
	sp := &l.spare
	if sp.size == 0 || (sp.seg != nil && sp.end < sp.size/2) {
		return nil
	}
	if err := l.disk.check(); err != nil {
		return err
	}
	number, salt := sp.next, l.salt()
	f, err := createSegment(l.fs, number, salt, zeroPieces(l.zeros, sp.size-form.SegmentHeaderSize))
	if err == nil {
		if err = f.Datasync(); err == nil {
			err = l.fs.SyncDir("segments")
		}
		if err != nil {
			_ = f.Close()
			_ = l.fs.Remove(segmentName(number))
		}
	}
	sp.next++
	if err != nil {
		if isFull(err) || passes(err) {
			return nil
		}
		return l.disk.judge(store.ChunkID{}, err)
	}
	if sp.seg != nil {
		if err := writeSegmentEnd(sp.seg, sp.file, sp.index, sp.end); err != nil && !isFull(err) {
			_ = f.Close()
			return l.disk.fail(err)
		}
		sp.close(l)
	}
	seg := newSegment(number, salt, f)
	seg.size = form.SegmentHeaderSize
	l.table.add(seg)
	sp.seg, sp.file, sp.end, sp.batch, sp.index = seg, f, form.SegmentHeaderSize, 0, nil
	return nil
}

// zeroPieces gives n bytes of zeros as buffers.
func zeroPieces(zeros []byte, n int64) (pieces [][]byte) {
	for n > 0 {
		piece := zeros[:min(int64(len(zeros)), n)]
		pieces = append(pieces, piece)
		n -= int64(len(piece))
	}
	return pieces
}
