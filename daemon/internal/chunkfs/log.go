package chunkfs

import (
	"errors"
	"slices"
	"sync"

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
	done   func(*form.Record) // called by the leader once a record is durable, before its writer continues
	disk   *health
	sealed func() // a segment was sealed
	salt   func() form.Salt

	mu      sync.Mutex // guards the next two fields
	waiting []*request
	led     bool // a caller leads

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
	spare  spare
}

// request is some records that become durable together, or a job for the leader.
type request struct {
	recs []*form.Record
	job  func() error // run in place of a write
	size int64        // bytes of data
	err  error
	lead bool // set before wake: no one leads any more, so the one that waits does
	wake chan struct{}
}

var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

// append makes records durable, all or (on an error) none to be relied on.
// They may not be touched before it returns; it sets At, Head and Batch.
func (l *log) append(recs ...*form.Record) error {
	q := requests.Get().(*request)
	q.recs, q.job, q.size, q.err, q.lead = recs, nil, 0, nil, false
	for _, r := range recs {
		q.size += r.Info.Size
	}
	return l.enter(q)
}

// exclusively runs a job as the leader, alone with what is the leader's.
func (l *log) exclusively(job func() error) error {
	q := requests.Get().(*request)
	q.recs, q.job, q.size, q.err, q.lead = nil, job, 0, nil, false
	return l.enter(q)
}

// enter waits until the request was handled, as the leader where no one else leads.
func (l *log) enter(q *request) error {
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
	q.recs, q.job = nil, nil
	requests.Put(q)
	return err
}

// leadFor writes one batch, which begins with q, and hands the lead to the
// first of those that came meanwhile.
func (l *log) leadFor(q *request) {
	batch := l.take()
	l.handle(batch)
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

// handle writes the requests of a batch, runs its jobs, and sets the outcome of each.
func (l *log) handle(batch []*request) {
	writes := batch[:0] // the batch again, unless there are jobs in it
	if slices.ContainsFunc(batch, func(q *request) bool { return q.job != nil }) {
		writes = nil
	}
	for _, q := range batch {
		if q.job != nil {
			q.err = q.job()
		} else {
			writes = append(writes, q)
		}
	}
	if len(writes) == 0 {
		return
	}
	err := l.write(writes)
	for _, q := range writes {
		if q.err = err; err != nil && isFull(err) && onlyTombstones(q.recs) {
			q.err = l.writeSpare(q.recs)
		}
	}
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
	err := l.put(end, end > l.zeroed && end-l.end < zeroBelow && end < l.limit && !l.disk.troubled.Load())
	if err != nil {
		return err
	}
	l.space.add(end - l.end)
	l.end = end
	for _, q := range batch {
		l.show(l.active, q.recs)
	}
	return nil
}

// show accounts for records that are durable now.
func (l *log) show(seg *segment, recs []*form.Record) {
	for _, r := range recs {
		if seg == l.active {
			l.index = form.AppendIndexEntry(l.index, r)
		}
		l.table.wrote(seg, r)
		l.done(r)
	}
}

// put writes l.vec, which ends at end, and syncs it; with zeros behind it where
// that is wanted and the disk has room for them.
func (l *log) put(end int64, withZeros bool) error {
	vec := l.vec
	if withZeros {
		vec = append(vec, l.zeroesFrom(end))
		l.vec = vec
	}
	n, err := l.active.file.WritevAt(vec, l.end)
	if err == nil {
		// What follows cannot be undone where the disk is not just full: a failed
		// sync leaves it in doubt.
		err = l.active.file.Datasync()
	}
	if err == nil {
		clear(vec)
		l.zeroed = max(l.zeroed, l.end+n)
		return nil
	}
	undone := l.undo(err)
	if withZeros && errors.Is(undone, store.NoSpace) {
		l.vec = vec[:len(vec)-1]
		return l.put(end, false)
	}
	clear(vec)
	return undone
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
			l.heads = r.AppendHeader(l.heads, l.active.salt)
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
	salt := l.salt()
	f, err := createSegment(l.fs, l.next, salt, nil)
	if err != nil {
		return l.disk.judge(store.ChunkID{}, err)
	}
	if err := l.fs.SyncDir("segments"); err != nil {
		_ = f.Close()
		if isFull(err) {
			_ = l.fs.Remove(segmentName(l.next)) // else the next start does
			l.next++
			return l.disk.full(store.ChunkID{}, err)
		}
		return l.disk.fail(err)
	}
	l.active = newSegment(l.next, salt, f)
	l.active.size = form.SegmentHeaderSize
	l.table.add(l.active)
	l.space.add(form.SegmentHeaderSize)
	l.next++
	l.end, l.zeroed, l.batch, l.index = form.SegmentHeaderSize, form.SegmentHeaderSize, 0, l.index[:0]
	return nil
}

// createSegment makes a segment's file with its header and, behind that, the
// given bytes. Nothing is left where it fails.
func createSegment(fs vfs.FS, number uint32, salt form.Salt, rest [][]byte) (vfs.File, error) {
	f, err := fs.Create(segmentName(number))
	if err != nil {
		return nil, err
	}
	if _, err := f.WritevAt(append([][]byte{form.SegmentHeader(number, salt)}, rest...), 0); err != nil {
		_ = f.Close()
		_ = fs.Remove(segmentName(number)) // else the next start does: nothing in it was acknowledged
		return nil, err
	}
	return f, nil
}

// seal ends the active segment with its index, so that the next start reads only
// that. On a full disk it stays without: then it is scanned at the next start.
func (l *log) seal() error {
	if err := writeSegmentEnd(l.active, l.active.file, l.index, l.end); err != nil && !isFull(err) {
		return l.disk.fail(err)
	}
	l.close()
	return nil
}

// close ends the active segment as it is.
func (l *log) close() {
	l.table.seal(l.active)
	l.active = nil
	l.sealed()
}

// retire closes the active segment when no chunk in it is live, so that it can be
// removed. It writes nothing: that works on a full disk, too.
func (l *log) retire() error {
	if l.active == nil || !l.table.isDead(l.active) {
		return nil
	}
	l.close()
	return nil
}

// writeSegmentEnd cuts what lies behind the last record and writes index and
// footer there. All records are durable before, so that a full disk costs the
// index and nothing else: the cut is synced in any case.
func writeSegmentEnd(s *segment, f vfs.File, index []byte, end int64) error {
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err := f.WritevAt([][]byte{index, form.SegmentFooter(s.number, s.salt, index, end)}, end)
	if err != nil && !isFull(err) {
		return err
	}
	if err != nil {
		if cut := f.Truncate(end); cut != nil { // a part of the index may be there
			return cut
		}
	}
	if synced := f.Datasync(); synced != nil {
		return synced
	}
	return err
}

// undo takes a batch back that could not be written whole or synced, durably, so
// that no part of it is found at the next start. Only a full disk can be undone:
// what was acknowledged was synced before, and stays.
func (l *log) undo(err error) error {
	if !isFull(err) {
		return l.disk.fail(err)
	}
	cut := l.active.file.Truncate(l.end)
	if cut == nil {
		cut = l.active.file.Datasync()
	}
	l.zeroed = l.end
	switch {
	case cut == nil:
		return l.disk.full(store.ChunkID{}, err)
	case isFull(cut):
		// Nothing is written behind what may come back at the next start.
		_ = l.disk.full(store.ChunkID{}, err)
		l.close()
		return openOutcome(err)
	}
	return l.disk.fail(cut)
}

// shut seals the active segment. No one may call append any more.
func (l *log) shut() error {
	if l.active == nil {
		return nil
	}
	return l.seal()
}
