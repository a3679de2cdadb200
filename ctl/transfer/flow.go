package transfer

import (
	"context"
	"sync"
	"time"
)

// flow is what all transfers of a manager move together: the rate, and the bytes that were sent in parts that are not acknowledged
// yet, which an interruption costs. Its methods are safe for concurrent use.
type flow struct {
	mu     sync.Mutex // guards what follows
	freed  *sync.Cond // of mu: unsafe has become less, or a wait has ended
	moves  series     // bytes that were sent or received
	stored series     // bytes of parts that were acknowledged
	unsafe int64      // bytes in parts that are not acknowledged, those that were claimed for the next ones included
}

const (
	flowStep  = 100 * time.Millisecond
	flowRange = 2 * time.Second

	// A part ends at the first multiple of its unit after partTime.
	partTime = 750 * time.Millisecond
	// unsafeTime and unsafeLeast are what may be unsafe at any time: so many seconds of the transfer, or so many bytes if that is
	// less. Before the first acknowledgement it is unsafeBefore, of which partTime leaves less on a slow link.
	unsafeTime   = 1500 * time.Millisecond
	unsafeLeast  = 8 * mib
	unsafeBefore = 64 * mib
)

func newFlow() *flow {
	f := &flow{}
	f.freed = sync.NewCond(&f.mu)
	return f
}

// moved counts bytes that were sent or received.
func (f *flow) moved(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moves.add(n, time.Now())
}

// passed returns how many bytes were counted.
func (f *flow) passed() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moves.total
}

// rate returns the bytes a second of the last two seconds; 0 until it can be told.
func (f *flow) rate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moves.rate(time.Now())
}

// storedRate is rate by what was acknowledged, which no buffer on the way can make look faster than it is.
func (f *flow) storedRate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stored.rate(time.Now())
}

// series adds up numbers and remembers the sums of the last flowRange.
type series struct {
	total int64
	marks []flowMark // the oldest first
}

type flowMark struct {
	at    time.Time
	total int64
}

// add counts n; the first call only begins the time.
func (s *series) add(n int64, now time.Time) {
	s.total += n
	if len(s.marks) == 0 || now.Sub(s.marks[len(s.marks)-1].at) >= flowStep {
		s.forget(now)
		s.marks = append(s.marks, flowMark{now, s.total})
	}
}

// forget drops the marks that are too old, except the youngest of them, from which the time of the others is counted.
func (s *series) forget(now time.Time) {
	old := 0
	for old+1 < len(s.marks) && now.Sub(s.marks[old+1].at) > flowRange {
		old++
	}
	s.marks = append(s.marks[:0], s.marks[old:]...)
}

func (s *series) rate(now time.Time) float64 {
	s.forget(now)
	if len(s.marks) == 0 {
		return 0
	}
	took := now.Sub(s.marks[0].at)
	if took < flowStep {
		return 0
	}
	return float64(s.total-s.marks[0].total) / took.Seconds()
}

// room reports whether n more bytes may be unsafe. A first part may always begin. mu is held.
func (f *flow) room(n int64) bool {
	if f.unsafe == 0 {
		return true
	}
	bound := int64(unsafeBefore)
	if f.stored.total > 0 {
		bound = max(int64(f.stored.rate(time.Now())*unsafeTime.Seconds()), unsafeLeast)
	}
	return f.unsafe+n <= bound
}

// begin claims n bytes for a new part, and waits until there is room. Errors: the context's.
func (f *flow) begin(ctx context.Context, n int64) error {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.freed.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	for ctx.Err() == nil && !f.room(n) {
		f.freed.Wait()
	}
	if ctx.Err() == nil {
		f.unsafe += n
		f.stored.add(0, time.Now())
	}
	return ctx.Err()
}

// grow claims n more bytes for a part in progress, if there is room.
func (f *flow) grow(n int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.room(n) {
		return false
	}
	f.unsafe += n
	return true
}

// safe releases what a part has claimed, of which so many bytes were acknowledged.
func (f *flow) safe(n, stored int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsafe -= n
	f.stored.add(stored, time.Now())
	f.freed.Broadcast()
}
