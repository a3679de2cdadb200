package noderpc

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// lend wraps the bytes of u for the transport, which frees the buffer when they are written;
// u is released then. pending, unless nil, counts the units that the transport holds.
//
// gRPC drops buffers without freeing them when they were queued for a stream or connection
// that broke. Such a unit is released when the garbage collector finds the buffer unreachable:
// then the transport cannot read it any more.
func lend(u store.Unit, pending *atomic.Int64) mem.Buffer {
	if u.Owner == nil {
		return mem.SliceBuffer(u.Data)
	}
	if pending != nil {
		pending.Add(1)
	}
	l := &loan{data: u.Data, debt: &debt{unit: u, pending: pending}}
	l.lost = runtime.AddCleanup(l, (*debt).settle, l.debt)
	return mem.NewBuffer(&l.data, l)
}

// loan is a unit that the transport holds. It is the "pool" of a mem.Buffer,
// whose Put is how gRPC says that it is done.
type loan struct {
	data []byte
	debt *debt
	lost runtime.Cleanup
}

// Get is never called: nothing is taken from a loan.
func (l *loan) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put takes the unit back.
func (l *loan) Put(*[]byte) {
	l.lost.Stop()
	l.debt.settle()
}

// debt outlives its loan, so that it can be settled when the loan is lost. It must not refer to it.
type debt struct {
	unit    store.Unit
	pending *atomic.Int64
	settled atomic.Bool
}

func (d *debt) settle() {
	if d.settled.Swap(true) {
		return
	}
	d.unit.Release()
	if d.pending != nil {
		d.pending.Add(-1)
	}
}

// collector ensures that the units of ended streams are released soon,
// also when gRPC dropped them while little else is allocated: without it a memory budget
// that counts units could wait minutes for a garbage collection.
type collector struct {
	mu     sync.Mutex
	owing  []*atomic.Int64 // of streams that ended with units in flight
	timer  *time.Timer     // nil when nothing is owed
	wait   time.Duration
	closed bool
}

const (
	firstCollection = 500 * time.Millisecond // time for the transport to free what it still knows
	lastCollection  = 30 * time.Second
)

// watch is called with the counter of a stream that ended.
func (c *collector) watch(pending *atomic.Int64) {
	if pending.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owing = append(c.owing, pending)
	if c.timer == nil && !c.closed {
		c.wait = firstCollection
		c.timer = time.AfterFunc(c.wait, c.collect)
	}
}

func (c *collector) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	owing := c.owing[:0]
	for _, pending := range c.owing {
		if pending.Load() > 0 {
			owing = append(owing, pending)
		}
	}
	c.owing = owing
	if len(owing) == 0 || c.closed {
		c.timer = nil
		return
	}
	go runtime.GC() // waits for a whole cycle; the next round sees what it found
	c.wait = min(2*c.wait, lastCollection)
	c.timer.Reset(c.wait)
}

// close ends the watch; what is owed still comes back with the next collection.
func (c *collector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
