package writemem

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Class is the number of bytes that a buffer of n bytes has: the next of four
// steps to each power of two, so that free buffers come in few sizes.
func Class(n int) int {
	_, size := classOf(n)
	return size
}

const smallestClass = 64

// classOf returns the index of the class of n bytes, and its size in bytes.
func classOf(n int) (index, size int) {
	if n <= smallestClass {
		return 0, smallestClass
	}
	power := bits.Len(uint(n-1)) - 1 // 2^power < n <= 2^(power+1)
	step := 1 << (power - 2)
	quarter := (n - 1<<power + step - 1) / step // 1..4
	return (power-bits.Len(smallestClass)+1)*4 + quarter, 1<<power + quarter*step
}

// Buffer is lent memory. It is counted: the caller that received it releases it once.
type Buffer struct {
	Data []byte // as long as its class
	refs atomic.Int32
	read atomic.Bool // something may still read Data after the last reference; see Abandon
	pool *Pool
	area *area
	who  *caller
}

// Retain adds n references.
func (b *Buffer) Retain(n int) { b.refs.Add(int32(n)) }

// Abandon is Release for a reference under which something may still read the memory. The
// memory counts as returned with the last reference, and is then left to the garbage collector
// instead of being lent again. It implements chunk.Abandoner.
func (b *Buffer) Abandon() {
	b.read.Store(true)
	b.Release()
}

// Release returns one reference; the last one returns the memory. Safe for concurrent use.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		p, a, c, size := b.pool, b.area, b.who, len(b.Data)
		if !b.read.Load() {
			p.free.put(b)
		}
		p.mu.Lock()
		a.returned(c, int64(size))
		p.mu.Unlock()
	case n < 0:
		panic("writemem: a buffer was released more often than it was retained")
	}
}

// freeList keeps buffers that are not lent, by class.
type freeList struct{ classes [128]sync.Pool }

func (f *freeList) get(n int) *Buffer {
	index, size := classOf(n)
	if b, ok := f.classes[index].Get().(*Buffer); ok {
		return b
	}
	return &Buffer{Data: make([]byte, size)}
}

func (f *freeList) put(b *Buffer) {
	index, _ := classOf(len(b.Data))
	b.area, b.who = nil, nil
	f.classes[index].Put(b)
}
