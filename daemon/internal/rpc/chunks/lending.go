package chunks

import (
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// lending tracks the units of one call that the transport holds by reference.
//
// gRPC drops a buffer without freeing it when the buffer is queued for a stream or connection
// that breaks, and does not tell when it stops reading it. So the end of the call abandons the
// units that are still lent: their owners count them as returned at once, and do not reuse
// their memory. docs/adr/0102 compares the alternatives.
type lending struct {
	mu    sync.Mutex    // guards the fields below
	lent  []*lentBuffer // those that were returned are removed by the next lend
	ended bool
}

// lend returns u as a buffer for the transport, which releases u when it frees the buffer. It
// takes over u. Only the bytes of an owner that can abandon them are lent by reference; others
// are copied into a buffer of the garbage collector, as all are after the end of the call.
//
// A nil *lending tracks nothing, for a server that sends the units of a chunk store: those of
// chunkfs are pool memory, and the garbage collector frees the ones that the transport drops.
func (l *lending) lend(u chunk.Unit) mem.Buffer {
	owner, ok := u.Owner.(chunk.Abandoner)
	if u.Owner == nil {
		return mem.SliceBuffer(u.Data)
	}
	if ok {
		b := &lentBuffer{data: u.Data, owner: owner}
		if l == nil || l.add(b) {
			return mem.NewBuffer(&b.data, b)
		}
	}
	defer u.Release()
	return mem.SliceBuffer(slices.Clone(u.Data))
}

// add tracks a buffer, unless the call has ended.
func (l *lending) add(b *lentBuffer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.lent = append(slices.DeleteFunc(l.lent, (*lentBuffer).isReturned), b)
	return true
}

// end abandons the units that the transport has not freed. It is called when the call's
// context has ended or its answer has arrived.
func (l *lending) end() {
	l.mu.Lock()
	lent := l.lent
	l.lent, l.ended = nil, true
	l.mu.Unlock()
	for _, b := range lent {
		b.abandon()
	}
}

// lentBuffer is a unit that the transport holds. It is the "pool" of a mem.Buffer: Put is how
// gRPC frees the buffer.
type lentBuffer struct {
	data     []byte
	owner    chunk.Abandoner
	returned atomic.Bool // Release or Abandon of the owner was called
}

func (b *lentBuffer) isReturned() bool { return b.returned.Load() }

// Get is never called: gRPC gets no memory from a lent buffer.
func (b *lentBuffer) Get(n int) *[]byte { s := make([]byte, n); return &s }

// Put releases the unit, unless it was abandoned before.
func (b *lentBuffer) Put(*[]byte) {
	if !b.returned.Swap(true) {
		b.owner.Release()
	}
}

func (b *lentBuffer) abandon() {
	if !b.returned.Swap(true) {
		b.owner.Abandon()
	}
}
