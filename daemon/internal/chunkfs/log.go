package chunkfs

import (
	"errors"
	"sync"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

const (
	// maxBatch bounds one write, in bytes of data; a single request may be larger.
	maxBatch = 8 << 20

	// zeroAhead bytes are written behind a batch shorter than zeroBelow, when the
	// zeros of the time before are used up. A sync that neither moves the end of
	// the file nor maps new blocks leaves the file system's journal alone and
	// takes half the time; long batches are bound by the disk's bandwidth
	// instead, and would pay double. Measured in docs/adr/0020.
	zeroAhead = 256 << 10
	zeroBelow = 64 << 10
)

// log appends records to the active segment: all that wait, with one write and one sync.
type log struct {
	fs     vfs.FS
	limit  int64 // bytes after which a segment is sealed
	table  *segments
	space  *space
	done   func(*form.Record) // called by the leader once a record is durable, before its writer goes on
	disk   *health
	sealed func() // a segment was sealed

	mu      sync.Mutex // guards the next two fields
	waiting []*request
	led     bool // somebody leads

	// Of the leader alone:
	next   uint32   // number of the next segment
	active *segment // nil before the first record
	end    int64    // where the next record goes
	zeroed int64    // up to here the file holds bytes, zeros from end on
	batch  uint64   // number of the last batch
	index  []byte   // of the active segment, as it will be sealed
	heads  []byte   // headers of a batch
	vec    [][]byte // buffers of a batch
	zeros  []byte
}

// request is some records that become durable together.
type request struct {
	recs []*form.Record
	size int64 // bytes of data
	err  error
	lead bool // set before wake: nobody led any more, so the one that waits does
	wake chan struct{}
}

var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

// append makes records durable, all or (on an error) none to be relied on.
// They may not be touched before it returns; it sets at, head and batch.
func (l *log) append(recs ...*form.Record) error {
	q := requests.Get().(*request)
	q.recs, q.size, q.err, q.lead = recs, 0, nil, false
	for _, r := range recs {
		q.size += r.Info.Size
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, q)
	follow := l.led
	l.led = true
	l.mu.Unlock()
	if follow {
		<-q.wake
	}
	if !follow || q.lead {
		l.leadFor(q)
	}
	err := q.err
	q.recs = nil
	requests.Put(q)
	return err
}

// leadFor writes one batch, which begins with q, and hands the lead to the
// first of those that came meanwhile.
func (l *log) leadFor(q *request) {
	batch := l.take()
	err := l.write(batch)
	l.mu.Lock()
	var next *request
	if len(l.waiting) > 0 {
		next = l.waiting[0]
		next.lead = true
	} else {
		l.led = false
	}
	l.mu.Unlock()
	if next != nil {
		next.wake <- struct{}{}
	}
	for _, r := range batch {
		r.err = err
		if r != q {
			r.wake <- struct{}{}
		}
	}
}

// take picks the requests of the next batch, in the order in which they came.
func (l *log) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, int64(0)
	for n < len(l.waiting) && (n == 0 || size+l.waiting[n].size <= maxBatch) {
		size += l.waiting[n].size
		n++
	}
	batch := append([]*request(nil), l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	return batch
}

// write makes the requests durable and visible.
func (l *log) write(batch []*request) error {
	if err := l.disk.check(); err != nil {
		return err
	}
	var size int64
	for _, q := range batch {
		size += q.size
	}
	if err := l.room(size); err != nil {
		return err
	}
	end := l.layOut(batch)
	if end > l.zeroed && end-l.end < zeroBelow && end < l.limit {
		l.vec = append(l.vec, l.zeroesFrom(end))
	}
	n, err := l.active.file.WritevAt(l.vec, l.end)
	clear(l.vec)
	if err != nil {
		return l.undo(err)
	}
	// What follows cannot be undone: a failed sync leaves the disk in doubt.
	if err := l.active.file.Datasync(); err != nil {
		return l.disk.fail(err)
	}
	l.zeroed = max(l.zeroed, l.end+n)
	l.space.add(end - l.end)
	l.end = end
	for _, q := range batch {
		for _, r := range q.recs {
			l.index = form.AppendIndexEntry(l.index, r)
			l.table.wrote(l.active, r)
			l.done(r)
		}
	}
	return nil
}

// layOut gives every record its place, fills l.vec, and returns the new end.
func (l *log) layOut(batch []*request) int64 {
	l.batch++
	l.vec, l.heads = l.vec[:0], l.heads[:0]
	end := l.end
	pad := l.zeros[:form.RecordAlign]
	for _, q := range batch {
		for _, r := range q.recs {
			r.At, r.Batch = form.Place{Seg: l.active.number, Off: uint32(end)}, l.batch
			from := len(l.heads)
			l.heads = r.AppendHeader(l.heads)
			// Where heads moved to a larger array, the buffers before keep the old one.
			l.vec = append(l.vec, l.heads[from:])
			l.vec = append(l.vec, r.Data...)
			end += r.Size()
			if rest := r.Size() - r.Head - r.Info.Size; rest > 0 {
				l.vec = append(l.vec, pad[:rest])
			}
		}
	}
	return end
}

// zeroesFrom gives the zeros to write behind a batch that ends at end: up to a
// whole page, and not beyond where the segment will be sealed.
func (l *log) zeroesFrom(end int64) []byte {
	const page = 4096
	return l.zeros[:min(zeroAhead-end%page, l.limit-end)]
}

// room sees to a segment that takes size more bytes.
func (l *log) room(size int64) error {
	if l.active != nil && l.end+size > l.limit && l.end > form.SegmentHeaderSize {
		if err := l.seal(); err != nil {
			return err
		}
	}
	if l.active != nil {
		return nil
	}
	return l.start()
}

// start makes the next segment. Its name is durable before the first record is,
// and so is every removal of a segment that the process before did not live to sync.
func (l *log) start() error {
	f, err := l.fs.Create(segmentName(l.next))
	if err != nil {
		return l.disk.judge(store.ChunkID{}, err)
	}
	if _, err := f.WriteAt(form.SegmentHeader(l.next), 0); err != nil {
		_ = f.Close()
		if gone := l.fs.Remove(segmentName(l.next)); gone != nil {
			err = gone
		}
		return l.orFull(err)
	}
	if err := l.fs.SyncDir("segments"); err != nil {
		_ = f.Close()
		return l.disk.fail(err)
	}
	l.active = newSegment(l.next, f)
	l.active.size = form.SegmentHeaderSize
	l.table.add(l.active)
	l.space.add(form.SegmentHeaderSize)
	l.next++
	l.end, l.zeroed, l.batch, l.index = form.SegmentHeaderSize, form.SegmentHeaderSize, 0, l.index[:0]
	return nil
}

// seal ends the active segment with its index, so that the next start reads only that.
func (l *log) seal() error {
	err := writeSegmentEnd(l.active, l.index, l.end)
	if errors.Is(err, syscall.ENOSPC) {
		err = nil // it is whole without: then it is scanned at the next start
	}
	if err != nil {
		return l.disk.fail(err)
	}
	l.table.seal(l.active)
	l.active = nil
	l.sealed()
	return nil
}

// writeSegmentEnd cuts what lies behind the last record and writes index and footer there.
func writeSegmentEnd(s *segment, index []byte, end int64) error {
	if err := s.file.Truncate(end); err != nil {
		return err
	}
	if _, err := s.file.WritevAt([][]byte{index, form.SegmentFooter(s.number, index, end)}, end); err != nil {
		return err
	}
	return s.file.Datasync()
}

// undo takes a batch back that could not be written whole, so that no part of
// it is found at the next start. Only a full disk can be undone.
func (l *log) undo(err error) error {
	if full := l.orFull(err); store.KindOf(full) != store.NoSpace {
		return full
	}
	if cut := l.active.file.Truncate(l.end); cut != nil {
		return l.disk.fail(cut)
	}
	l.zeroed = l.end
	return translate("append", store.ChunkID{}, err)
}

// orFull tells a full disk, which passes, from a bad one.
func (l *log) orFull(err error) error {
	if full := translate("append", store.ChunkID{}, err); store.KindOf(full) == store.NoSpace {
		return full
	}
	return l.disk.fail(err)
}

// close seals the active segment. Nobody may call append any more.
func (l *log) close() error {
	if l.active == nil {
		return nil
	}
	return l.seal()
}
