package chunkfs

import (
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// buffers lends memory for units in a few sizes, so that no unit costs an allocation.
type buffers struct {
	pools [len(bufferSizes)]sync.Pool
}

// bufferSizes ascend to the largest unit.
var bufferSizes = [...]int{8 << 10, 64 << 10, store.DefaultUnitSize, store.MaxUnitSize}

// buffer is lent memory. It is the Releaser of the unit in it.
type buffer struct {
	data []byte
	home *sync.Pool
}

// get lends n bytes, n up to store.MaxUnitSize. What is in them is undefined.
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
	return &buffer{data: make([]byte, n)} // larger than any unit: for the garbage collector
}

// Release gives the memory back. It implements store.Releaser.
func (b *buffer) Release() {
	if b.home != nil {
		b.home.Put(b)
	}
}
