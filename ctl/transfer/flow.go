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
	total  int64      // bytes so far
	marks  []flowMark // the oldest first
	unsafe int64      // bytes in parts that are not acknowledged, those that were claimed for the next ones included
}

type flowMark struct {
	at    time.Time
	total int64
}

const (
	flowStep  = 100 * time.Millisecond
	flowRange = 2 * time.Second

	// A part ends at the first multiple of its unit after partTime.
	partTime = 750 * time.Millisecond
	// unsafeTime and unsafeLeast are what may be unsafe at any time: so many seconds of the transfer, or so many bytes if that is
	// less. Before the rate is known, partTime alone bounds it.
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
	now := time.Now()
	f.total += n
	if len(f.marks) == 0 || now.Sub(f.marks[len(f.marks)-1].at) >= flowStep {
		f.forget(now)
		f.marks = append(f.marks, flowMark{now, f.total})
	}
}

// passed returns how many bytes were counted.
func (f *flow) passed() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

func (f *flow) forget(now time.Time) {
	old := 0
	for old < len(f.marks) && now.Sub(f.marks[old].at) > flowRange {
		old++
	}
	f.marks = append(f.marks[:0], f.marks[old:]...)
}

// rate returns the bytes a second of the last two seconds; 0 until it can be told.
func (f *flow) rate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rateNow()
}

func (f *flow) rateNow() float64 {
	now := time.Now()
	f.forget(now)
	if len(f.marks) == 0 {
		return 0
	}
	took := now.Sub(f.marks[0].at)
	if took < 3*flowStep {
		return 0
	}
	return float64(f.total-f.marks[0].total) / took.Seconds()
}

// room reports whether n more bytes may be unsafe. A first part may always begin. mu is held.
func (f *flow) room(n int64) bool {
	if f.unsafe == 0 {
		return true
	}
	bound := int64(unsafeBefore)
	if rate := f.rateNow(); rate > 0 {
		bound = max(int64(rate*unsafeTime.Seconds()), unsafeLeast)
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

// safe gives up what a part has claimed: it was acknowledged, or has failed.
func (f *flow) safe(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsafe -= n
	f.freed.Broadcast()
}
