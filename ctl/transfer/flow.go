package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/ctl/pace"
)

// flow is what all transfers of a manager move together: the rate, and the bytes that were sent in parts that are not acknowledged
// yet, which an interruption costs. Its methods are safe for concurrent use.
type flow struct {
	mu         sync.Mutex // guards what follows
	freed      *sync.Cond // of mu: unsafe has become less, or a wait has ended
	total      int64      // bytes that were sent or received
	moves      pace.Pace  // of total
	stored     int64      // bytes of parts that were acknowledged
	storedPace pace.Pace
	unsafe     int64 // bytes in parts that are not acknowledged, those that were claimed for the next ones included
}

const (
	// A part ends at the first multiple of its unit after partTime.
	partTime = 750 * time.Millisecond
	// unsafeTime and unsafeLeast are what may be unsafe at any time: so many seconds of the transfer, or so many bytes if that is
	// less. Before the first acknowledgement it is unsafeBefore, of which partTime leaves less on a slow link.
	unsafeTime   = 1500 * time.Millisecond
	unsafeLeast  = 8 * mib
	unsafeBefore = 64 * mib
)

func newFlow() *flow {
	recent := pace.Pace{Range: 2 * time.Second, Step: 100 * time.Millisecond}
	f := &flow{moves: recent, storedPace: recent}
	f.freed = sync.NewCond(&f.mu)
	return f
}

// moved counts bytes that were sent or received.
func (f *flow) moved(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total += n
	f.moves.See(f.total, time.Now())
}

// rate returns the bytes a second of the last two seconds; 0 until it can be told.
func (f *flow) rate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moves.Rate(f.total, time.Now())
}

// storedRate is rate by what was acknowledged, which no buffer on the way can make look faster than it is.
func (f *flow) storedRate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.storedPace.Rate(f.stored, time.Now())
}

// room reports whether n more bytes may be unsafe. A first part may always begin. mu is held.
func (f *flow) room(n int64) bool {
	if f.unsafe == 0 {
		return true
	}
	bound := int64(unsafeBefore)
	if f.stored > 0 {
		bound = max(int64(f.storedPace.Rate(f.stored, time.Now())*unsafeTime.Seconds()), unsafeLeast)
	}
	return f.unsafe+n <= bound
}

// begin claims n bytes for a new part, and waits until there is room. Errors: the context's.
func (f *flow) begin(ctx context.Context, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := waitFor(ctx, f.freed, func() bool { return f.room(n) })
	if err == nil {
		f.unsafe += n
		f.storedPace.See(f.stored, time.Now()) // the time of the first acknowledgement counts from here
	}
	return err
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
	f.stored += stored
	f.storedPace.See(f.stored, time.Now())
	f.freed.Broadcast()
}
