// Package bufpool is a pool of byte slices of a few sizes, from small messages to whole units.
// The chunk stores, the gRPC protocols and the readers of stripes share one pool per process, which its main function makes,
// so that a buffer which one of them returns serves the others. Where a configuration has none, as in tests, its owner makes one.
//
// A pool bounds nothing and counts nothing: its free buffers are left to the garbage collector
// after two collections. Memory with a budget is package writemem.
package bufpool

import "sync"

// slack is room for the encoded fields before a unit's bytes, so that a message with a unit
// whose size is a power of two does not need a buffer of twice that size.
const slack = 4 << 10

// tiers are the sizes of pooled slices in bytes, ascending: small messages, HTTP/2 frames as
// gRPC reads them, then units with their fields, up to chunk.MaxUnitSize.
var tiers = [...]int{2 << 10, 8 << 10, 16 << 10, 32<<10 + slack, 64<<10 + slack, 128<<10 + slack, 256<<10 + slack, 512<<10 + slack, 1<<20 + slack}

// Pool is a pool of byte slices. Safe for concurrent use. It does not clear slices, which
// would cost a pass over all memory. It implements the BufferPool of gRPC's package mem.
type Pool struct {
	slices [len(tiers)]sync.Pool // of *[]byte whose capacity is the tier's
	unused sync.Pool             // of *Buffer without memory
}

// New returns an empty pool.
func New() *Pool { return &Pool{} }

// Get returns a slice of n bytes with undefined content. Slices beyond the largest tier are
// allocated, and not pooled by Put.
func (p *Pool) Get(n int) *[]byte {
	for i, size := range tiers {
		if n > size {
			continue
		}
		if b, ok := p.slices[i].Get().(*[]byte); ok {
			*b = (*b)[:n]
			return b
		}
		b := make([]byte, n, size)
		return &b
	}
	b := make([]byte, n)
	return &b
}

// Put returns a slice of Get to the pool; its length may have changed. Slices with the
// capacity of no tier are ignored.
func (p *Pool) Put(b *[]byte) {
	for i, size := range tiers {
		if cap(*b) == size {
			p.slices[i].Put(b)
			return
		}
	}
}

// Buffer is memory of a pool that owns a unit: it implements chunk.Releaser and
// chunk.Abandoner. Exactly one of the two methods is called, once, unless the buffer becomes
// unreachable, in which case the garbage collector frees it.
type Buffer struct {
	Data  []byte
	slice *[]byte
	pool  *Pool
}

// Lend returns a buffer of n bytes with undefined content.
func (p *Pool) Lend(n int) *Buffer {
	b, ok := p.unused.Get().(*Buffer)
	if !ok {
		b = &Buffer{pool: p}
	}
	b.slice = p.Get(n)
	b.Data = *b.slice
	return b
}

// Release returns the memory to the pool.
func (b *Buffer) Release() {
	slice := b.slice
	b.Data, b.slice = nil, nil
	b.pool.Put(slice)
	b.pool.unused.Put(b)
}

// Abandon leaves the memory to the garbage collector, because something may still read it.
func (b *Buffer) Abandon() {}
