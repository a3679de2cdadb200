package tus

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// lockWait is how long a request waits for the one before it on the same upload.
const lockWait = 10 * time.Second

// locks let one request at a time work on an upload. A new request interrupts the one
// before it, which is mostly a dead connection of the same client.
type locks struct {
	mu   sync.Mutex // guards what follows
	held map[store.FileID]*held
}

type held struct {
	interrupt func()
	released  chan struct{}
}

// take waits for the upload. interrupt is called when another request wants it. The caller calls release.
// Errors: Conflict (the request before does not end, or ctx ended).
func (l *locks) take(ctx context.Context, id store.FileID, interrupt func()) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	mine := &held{interrupt: interrupt, released: make(chan struct{})}
	for {
		other := l.try(id, mine)
		if other == nil {
			return func() { l.release(id, mine) }, nil
		}
		other.interrupt()
		select {
		case <-other.released:
		case <-ctx.Done():
			return nil, store.Errorf(store.Conflict, "another request is working on upload %s", id).WithHint("Try again.")
		}
	}
}

// try locks the upload for mine, or returns the holder.
func (l *locks) try(id store.FileID, mine *held) *held {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, taken := l.held[id]; taken {
		return other
	}
	if l.held == nil {
		l.held = map[store.FileID]*held{}
	}
	l.held[id] = mine
	return nil
}

func (l *locks) release(id store.FileID, mine *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, id)
	close(mine.released)
}
