package chunkfs

import (
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// buffers is a pool of unit buffers in a few sizes, so that no unit costs an allocation.
type buffers struct {
	pools [len(bufferSizes)]sync.Pool
}

// bufferSizes are in ascending order, up to the largest unit.
var bufferSizes = [...]int{8 << 10, 64 << 10, store.DefaultUnitSize, store.MaxUnitSize}

// buffer is memory of a pool. It is the Releaser of the unit in it.
type buffer struct {
	data []byte
	home *sync.Pool
}

// get returns n bytes with undefined content.
func (b *buffers) get(n int) *buffer {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		buf, ok := b.pools[i].Get().(*buffer)
		if !ok {
			buf = &buffer{data: make([]byte, size), home: &b.pools[i]}
		}
		buf.data = buf.data[:n]
		return buf
	}
	return &buffer{data: make([]byte, n)} // larger than any unit: not pooled
}

// Release returns the memory to its pool. It implements store.Releaser.
func (b *buffer) Release() {
	if b.home != nil {
		b.home.Put(b)
	}
}
