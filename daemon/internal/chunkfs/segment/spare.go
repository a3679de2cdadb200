package segment

import (
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// spareBit marks the numbers of spare segments, which hold tombstones only.
const spareBit = 1 << 31

// spare is a segment that was filled with zeros while there was space, so that a full disk
// can still delete: overwriting takes no new block. It is used when a tombstone finds no
// room in the active segment, and is replaced when half of it is used and there is space
// again. Only the leader of the log uses it.
type spare struct {
	seg   *Segment // nil when none could be created; acquired
	file  vfs.File // its file, for reading and writing
	size  int64    // bytes of a spare segment; 0: spare segments are disabled
	end   int64    // offset of the next record
	batch uint64
	index []byte // encoded index, written when it is sealed
	next  uint32 // number of the next, with spareBit
}

func onlyTombstones(recs []*format.Record) bool {
	for _, r := range recs {
		if r.Kind != format.KindTombstone {
			return false
		}
	}
	return len(recs) > 0
}

// writeSpare makes tombstones durable in the spare segment.
func (l *Log) writeSpare(recs []*format.Record) error {
	if err := l.disk.Check(); err != nil {
		return err
	}
	sp := &l.spare
	if sp.seg == nil || sp.end+int64(len(recs))*format.RecordSize(format.TombstoneSize, 0) > sp.size {
		return store.Errorf(store.NoSpace, "the disk is full, and so is the segment that is reserved for deletions").
			WithHint("Free space on the node's disk; deletions of whole segments and of large chunks are still possible.")
	}
	sp.batch++
	end, heads := sp.end, []byte(nil)
	for _, r := range recs {
		r.At, r.Batch = format.Place{Seg: sp.seg.Number, Off: uint32(end)}, sp.batch
		heads = r.AppendHeader(heads, sp.seg.Salt)
		end += r.Size()
		heads = append(heads, make([]byte, end-sp.end-int64(len(heads)))...)
	}
	_, err := sp.file.WriteAt(heads, sp.end)
	if err == nil {
		err = sp.file.Datasync()
	}
	switch {
	case err == nil:
	case disk.IsFull(err): // possible on a file system that never overwrites in place
		sp.close(l)
		return disk.OutcomeOpen(err)
	default:
		return l.disk.Fail(err)
	}
	sp.end = end
	for _, r := range recs {
		sp.index = format.AppendIndexEntry(sp.index, r)
	}
	l.show(sp.seg, recs)
	return nil
}

// close ends the spare segment: from now on it is an ordinary closed segment.
func (sp *spare) close(l *Log) {
	l.space.Add(sp.end)
	l.table.Seal(sp.seg)
	sp.release()
}

func (sp *spare) release() {
	sp.seg.Release()
	sp.seg, sp.file = nil, nil
}

// RenewSpare replaces a spare segment that is half used, or creates the first. A full disk
// is no error: the present one stays in use.
func (l *Log) RenewSpare() error { return l.exclusively(l.renewSpare) }

func (l *Log) renewSpare() error {
	sp := &l.spare
	if sp.size == 0 || (sp.seg != nil && sp.end < sp.size/2) {
		return nil
	}
	if err := l.disk.Check(); err != nil {
		return err
	}
	number, salt := sp.next, l.salt()
	f, err := l.table.files.openWith(func() (vfs.File, error) {
		return createSegment(l.fs, number, salt, zeroPieces(l.zeros, sp.size-format.SegmentHeaderSize))
	})
	if err == nil {
		if err = f.Datasync(); err == nil {
			err = l.fs.SyncDir("segments")
		}
		if err != nil {
			_ = f.Close()
			l.table.files.forget()
			_ = l.fs.Remove(Name(number))
		}
	}
	sp.next++
	if err != nil {
		if disk.IsFull(err) || disk.Passes(err) {
			return nil
		}
		return l.disk.Judge(store.ChunkID{}, err)
	}
	if sp.seg != nil {
		if err := writeSegmentEnd(sp.seg, sp.file, sp.index, sp.end); err != nil && !disk.IsFull(err) {
			_ = f.Close()
			l.table.files.forget()
			return l.disk.Fail(err)
		}
		sp.close(l)
	}
	seg := New(number, salt)
	seg.size = format.SegmentHeaderSize
	l.table.addOpen(seg, f)
	sp.seg, sp.file, sp.end, sp.batch, sp.index = seg, f, format.SegmentHeaderSize, 0, nil
	return nil
}

// zeroPieces returns n bytes of zeros as buffers.
func zeroPieces(zeros []byte, n int64) (pieces [][]byte) {
	for n > 0 {
		piece := zeros[:min(int64(len(zeros)), n)]
		pieces = append(pieces, piece)
		n -= int64(len(piece))
	}
	return pieces
}
