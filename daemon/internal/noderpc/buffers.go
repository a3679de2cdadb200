package noderpc

import "sync"

// slack is room for the encoded fields before a unit's bytes, so that a unit whose size is a
// power of two does not need a buffer of twice that size.
const slack = 4 << 10

// tiers are the sizes of pooled buffers in bytes: small messages, HTTP/2 frames
// as gRPC reads them, then messages that hold a unit.
var tiers = [...]int{2 << 10, 8 << 10, 16 << 10, 32<<10 + slack, 64<<10 + slack, 128<<10 + slack, 256<<10 + slack, 512<<10 + slack, 1<<20 + slack}

// Buffers is a pool of byte slices that all servers and clients of a process may share.
// Safe for concurrent use. Unlike gRPC's own pools it does not clear slices, which would
// cost a pass over all memory.
type Buffers struct {
	pools [len(tiers)]sync.Pool // of *[]byte whose capacity is the tier's
}

// NewBuffers returns an empty pool.
func NewBuffers() *Buffers { return &Buffers{} }

// Get returns a slice of n bytes with undefined content.
func (b *Buffers) Get(n int) *[]byte {
	for i, size := range tiers {
		if n > size {
			continue
		}
		if p, ok := b.pools[i].Get().(*[]byte); ok {
			*p = (*p)[:n]
			return p
		}
		s := make([]byte, n, size)
		return &s
	}
	s := make([]byte, n)
	return &s
}

// Put returns a slice of Get to the pool; its length may have changed.
func (b *Buffers) Put(p *[]byte) {
	for i, size := range tiers {
		if cap(*p) == size {
			b.pools[i].Put(p)
			return
		}
	}
}
