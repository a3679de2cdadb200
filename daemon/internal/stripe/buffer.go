package stripe

import "sync"

// buffers is a pool of memory for reconstructed units.
type buffers struct{ pool sync.Pool }

// buffer is the memory of one unit. It returns to its pool when it is released.
type buffer struct {
	pool *sync.Pool
	data []byte
}

func (b *buffers) get(size int) *buffer {
	if k, ok := b.pool.Get().(*buffer); ok && cap(k.data) >= size {
		k.data = k.data[:size]
		return k
	}
	return &buffer{pool: &b.pool, data: make([]byte, size)}
}

// Release implements store.Releaser.
func (b *buffer) Release() { b.pool.Put(b) }
