package chunkfs

import (
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// idLocks serializes the changes of a chunk: commit, delete, and move.
type idLocks struct {
	mu   sync.Mutex // guards held
	held map[store.ChunkID]chan struct{}
}

// lock waits until no other goroutine holds the chunk's lock.
func (l *idLocks) lock(id store.ChunkID) {
	for {
		l.mu.Lock()
		busy, ok := l.held[id]
		if !ok {
			l.held[id] = nil
			l.mu.Unlock()
			return
		}
		if busy == nil { // the first waiter creates the channel
			busy = make(chan struct{})
			l.held[id] = busy
		}
		l.mu.Unlock()
		<-busy
	}
}

// tryLock takes the chunk's lock if no other goroutine holds it.
func (l *idLocks) tryLock(id store.ChunkID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, busy := l.held[id]; busy {
		return false
	}
	l.held[id] = nil
	return true
}

func (l *idLocks) unlock(id store.ChunkID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy := l.held[id]; busy != nil {
		close(busy)
	}
	delete(l.held, id)
}
