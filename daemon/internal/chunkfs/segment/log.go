package segment

import (
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/space"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

const (
	// maxBatch bounds one write, in bytes of data; only a single request may exceed it.
	maxBatch = 8 << 20

	// zeroAhead bytes of zeros are written behind a batch shorter than zeroBelow when the
	// previous zeros are used up. A sync that neither extends the file nor maps new blocks
	// does not touch the file system's journal and takes half the time. Long batches are
	// limited by the disk's bandwidth and would pay twice. Measured in docs/adr/0020.
	zeroAhead = 256 << 10
	zeroBelow = 64 << 10
)

// Config is what a Log is made of.
type Config struct {
	FS     vfs.FS
	Limit  int64 // bytes after which a segment is sealed
	Spare  int64 // bytes preallocated for deletions on a full disk; 0: none
	Table  *Table
	Space  *space.Account
	Disk   *disk.Health
	Done   func(*format.Record) // called when a record is durable, before its Append returns, one at a time
	Sealed func()               // called when a segment was sealed
	Salt   func() format.Salt   // of a new segment
	Log    *slog.Logger
}

// Log appends records to the active segment: all waiting requests with one write and one sync. Append, RenewSpare and Retire
// are safe for concurrent use; Recover comes before them, and Close after.
type Log struct {
	fs     vfs.FS
	limit  int64
	table  *Table
	space  *space.Account
	done   func(*format.Record)
	disk   *disk.Health
	sealed func()
	salt   func() format.Salt
	log    *slog.Logger

	mu      sync.Mutex // guards the next three fields
	waiting []*request
	taken   int  // requests in the batch that the leader writes
	led     bool // there is a leader

	// Used by the leader only:
	next   uint32   // number of the next segment
	active *Segment // nil before the first record; acquired
	file   vfs.File // of the active segment, for reading and writing
	end    int64    // offset of the next record
	zeroed int64    // the file's bytes from end to here are zeros
	batch  uint64   // number of the last batch
	index  []byte   // encoded index of the active segment, written when it is sealed
	heads  []byte   // headers of a batch
	vec    [][]byte // buffers of a batch
	zeros  []byte
	spare  spare
}

// NewLog returns a log that has recovered nothing yet.
func NewLog(c Config) *Log {
	return &Log{
		fs: c.FS, limit: c.Limit, table: c.Table, space: c.Space, done: c.Done, disk: c.Disk, sealed: c.Sealed, salt: c.Salt, log: c.Log,
		zeros: make([]byte, zeroAhead), spare: spare{size: c.Spare, next: spareBit},
	}
}

// request is a group of records that become durable together, or a job for the leader.
type request struct {
	recs []*format.Record
	job  func() error // run in place of a write
	size int64        // bytes of data
	err  error
	lead bool // set before wake: the receiver becomes the leader
	wake chan struct{}
}

var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

// Append makes records durable. On an error none of them may be relied on. The records
// belong to the log until it returns; it sets At, Head and Batch.
func (l *Log) Append(recs ...*format.Record) error {
	q := requests.Get().(*request)
	q.recs, q.job, q.size, q.err, q.lead = recs, nil, 0, nil, false
	for _, r := range recs {
		q.size += r.Info.Size
	}
	return l.enter(q)
}

// exclusively runs a job as the leader, with exclusive use of the leader's fields.
func (l *Log) exclusively(job func() error) error {
	q := requests.Get().(*request)
	q.recs, q.job, q.size, q.err, q.lead = nil, job, 0, nil, false
	return l.enter(q)
}

// enter returns when the request was handled. The caller becomes the leader if no other is.
func (l *Log) enter(q *request) error {
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

// leadFor writes one batch, which begins with q, and makes the first request that arrived
// in the meantime the next leader.
func (l *Log) leadFor(q *request) {
	runtime.Gosched() // callers that are about to enter run first, and share the batch
	batch := l.take()
	l.handle(batch)
	l.mu.Lock()
	l.taken = 0
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

// take removes the requests of the next batch from the queue, in order of arrival.
func (l *Log) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, int64(0)
	for n < len(l.waiting) && (n == 0 || size+l.waiting[n].size <= maxBatch) {
		size += l.waiting[n].size
		n++
	}
	batch := append([]*request(nil), l.waiting[:n]...)
	l.waiting, l.taken = append(l.waiting[:0], l.waiting[n:]...), n
	return batch
}

// handle writes the requests of a batch, runs its jobs, and sets the outcome of each.
func (l *Log) handle(batch []*request) {
	writes := batch[:0] // the same array, unless the batch contains jobs
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
		if q.err = err; err != nil && disk.IsFull(err) && onlyTombstones(q.recs) {
			q.err = l.writeSpare(q.recs)
		}
	}
}

// write makes the requests durable and visible.
func (l *Log) write(batch []*request) error {
	if err := l.disk.Check(); err != nil {
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
	err := l.put(end, end > l.zeroed && end-l.end < zeroBelow && end < l.limit && !l.disk.Troubled())
	if err != nil {
		return err
	}
	l.space.Add(end - l.end)
	l.end = end
	for _, q := range batch {
		l.show(l.active, q.recs)
	}
	return nil
}

// show counts durable records and makes them visible.
func (l *Log) show(seg *Segment, recs []*format.Record) {
	for _, r := range recs {
		if seg == l.active {
			l.index = format.AppendIndexEntry(l.index, r)
		}
		l.table.Wrote(r)
		l.done(r)
	}
}

// put writes l.vec, which ends at end, and syncs it. withZeros asks for zeros behind it,
// which are left out when the disk has no room for them.
func (l *Log) put(end int64, withZeros bool) error {
	vec := l.vec
	if withZeros {
		vec = append(vec, l.zeroesFrom(end))
		l.vec = vec
	}
	n, err := l.file.WritevAt(vec, l.end)
	if err == nil {
		// A failed sync cannot be undone unless the disk is merely full: what reached the
		// disk is unknown.
		err = l.file.Datasync()
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

// layOut assigns every record its place, fills l.vec, and returns the new end.
func (l *Log) layOut(batch []*request) int64 {
	l.batch++
	l.vec, l.heads = l.vec[:0], l.heads[:0]
	end := l.end
	pad := l.zeros[:format.RecordAlign]
	for _, q := range batch {
		for _, r := range q.recs {
			r.At, r.Batch = format.Place{Seg: l.active.Number, Off: uint32(end)}, l.batch
			from := len(l.heads)
			l.heads = r.AppendHeader(l.heads, l.active.Salt)
			// When heads is reallocated, earlier buffers keep referring to the old array.
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

// zeroesFrom returns the zeros to write behind a batch that ends at end: up to a page
// boundary, and not beyond the size at which the segment is sealed.
func (l *Log) zeroesFrom(end int64) []byte {
	const page = 4096
	return l.zeros[:min(zeroAhead-end%page, l.limit-end)]
}

// room ensures an active segment that has room for size more bytes.
func (l *Log) room(size int64) error {
	if l.active != nil && l.end+size > l.limit && l.end > format.SegmentHeaderSize {
		if err := l.seal(); err != nil {
			return err
		}
	}
	if l.active != nil {
		return nil
	}
	return l.start()
}

// start creates the next segment. Its name is durable before its first record, and so is
// every removal of a segment that a killed process did not sync.
func (l *Log) start() error {
	salt := l.salt()
	f, err := l.table.files.openWith(func() (vfs.File, error) { return createSegment(l.fs, l.next, salt, nil) })
	if err != nil {
		return l.disk.Judge(store.ChunkID{}, err)
	}
	if err := l.fs.SyncDir("segments"); err != nil {
		_ = f.Close()
		l.table.files.forget()
		if disk.IsFull(err) {
			_ = l.fs.Remove(Name(l.next)) // if that fails, the next start removes it
			l.next++
			return l.disk.Full(store.ChunkID{}, err)
		}
		return l.disk.Fail(err)
	}
	l.active, l.file = New(l.next, salt), f
	l.active.size = format.SegmentHeaderSize
	l.table.addOpen(l.active, f)
	l.space.Add(format.SegmentHeaderSize)
	l.next++
	l.end, l.zeroed, l.batch, l.index = format.SegmentHeaderSize, format.SegmentHeaderSize, 0, l.index[:0]
	return nil
}

// createSegment creates a segment's file with its header, followed by rest. It leaves no
// file when it fails.
func createSegment(fs vfs.FS, number uint32, salt format.Salt, rest [][]byte) (vfs.File, error) {
	f, err := fs.Create(Name(number))
	if err != nil {
		return nil, err
	}
	if _, err := f.WritevAt(append([][]byte{format.SegmentHeader(number, salt)}, rest...), 0); err != nil {
		_ = f.Close()
		_ = fs.Remove(Name(number)) // if that fails, the next start removes it: nothing in it was acknowledged
		return nil, err
	}
	return f, nil
}

// Seal ends the active segment with its index, so that the next start reads only that.
// On a full disk the segment stays without an index, and the next start scans it.
func (l *Log) seal() error {
	if err := writeSegmentEnd(l.active, l.file, l.index, l.end); err != nil && !disk.IsFull(err) {
		return l.disk.Fail(err)
	}
	l.close()
	return nil
}

// close ends the active segment without writing to it.
func (l *Log) close() {
	l.table.Seal(l.active)
	l.release()
	l.sealed()
}

// release ends the log's use of the active segment.
func (l *Log) release() {
	l.active.Release()
	l.active, l.file = nil, nil
}

// Retire closes the active segment when nothing in it is live, so that it can be removed.
// It writes nothing, so it works on a full disk.
func (l *Log) Retire() error { return l.exclusively(l.retire) }

func (l *Log) retire() error {
	if l.active == nil || !l.table.IsDead(l.active) {
		return nil
	}
	l.close()
	return nil
}

// writeSegmentEnd truncates the file behind the last record and appends index and footer.
// All records are durable already, so a full disk costs only the index: the truncation is
// synced in any case.
func writeSegmentEnd(s *Segment, f vfs.File, index []byte, end int64) error {
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err := f.WritevAt([][]byte{index, format.SegmentFooter(s.Number, s.Salt, index, end)}, end)
	if err != nil && !disk.IsFull(err) {
		return err
	}
	if err != nil {
		if cut := f.Truncate(end); cut != nil { // part of the index may have been written
			return cut
		}
	}
	if synced := f.Datasync(); synced != nil {
		return synced
	}
	return err
}

// undo durably removes a batch that could not be written or synced completely, so that the
// next start finds no part of it. This is possible on a full disk only; after other errors
// the store becomes read-only. Acknowledged records were synced before and are not affected.
func (l *Log) undo(err error) error {
	if !disk.IsFull(err) {
		return l.disk.Fail(err)
	}
	cut := l.file.Truncate(l.end)
	if cut == nil {
		cut = l.file.Datasync()
	}
	l.zeroed = l.end
	switch {
	case cut == nil:
		return l.disk.Full(store.ChunkID{}, err)
	case disk.IsFull(cut):
		// The batch may reappear at the next start, so nothing may be written behind it.
		_ = l.disk.Full(store.ChunkID{}, err)
		l.close()
		return disk.OutcomeOpen(err)
	}
	return l.disk.Fail(cut)
}

// Close seals the active segment. Append must not be called afterwards.
func (l *Log) Close() error {
	if l.active == nil {
		return nil
	}
	return l.seal()
}

// Free ends the log's use of its files, without writing to them.
func (l *Log) Free() {
	if l.active != nil {
		l.release()
	}
	if l.spare.seg != nil {
		l.spare.release()
	}
}

// Waiting is the number of callers that wait for this batch or the next.
func (l *Log) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) + l.taken
}
