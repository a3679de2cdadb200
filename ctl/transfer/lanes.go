package transfer

import (
	"context"
	"errors"
	"sync"

	"github.com/ringstore/ringstore/ctl/fault"
)

// Lanes bounds how many requests that carry bytes are under way at once, over
// all files together: many small files and the parts of one large one share them
// alike. How many there are follows what the server can take: a refusal because
// it is busy or away halves them, and each success adds a little, up to the
// most (additive increase and multiplicative decrease, as TCP does it).
// Its methods may be called at once from many goroutines.
type Lanes struct {
	most int

	mu      sync.Mutex // guards what follows
	open    float64    // how many may be under way now, 1..most
	busy    int
	cuts    int // halvings so far
	waiting []chan struct{}
}

// NewLanes makes lanes for at most so many requests at once.
func NewLanes(most int) *Lanes {
	most = max(most, 1)
	return &Lanes{most: most, open: max(float64(most)/2, 1)}
}

// lane is the right to one request that carries bytes.
type lane struct {
	of   *Lanes
	cuts int  // of the lanes when it was taken
	free bool // somebody else may have it; guarded by of.mu
}

// take waits for a lane. Errors: the context's.
func (l *Lanes) take(ctx context.Context) (*lane, error) {
	l.mu.Lock()
	if l.busy < int(l.open) && len(l.waiting) == 0 {
		defer l.mu.Unlock()
		l.busy++
		return &lane{of: l, cuts: l.cuts}, nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn: // the lane was counted as busy by whoever gave it
		l.mu.Lock()
		defer l.mu.Unlock()
		return &lane{of: l, cuts: l.cuts}, nil
	case <-ctx.Done():
		l.leave(turn)
		return nil, ctx.Err()
	}
}

// leave ends a wait. A lane that was given in the same moment goes to the next.
func (l *Lanes) leave(turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
	l.busy--
	l.wake()
}

// through frees the lane before its request has its answer: the last byte is on its way, and while the
// server makes it durable others can use the line. May be called often, and beside give.
func (ln *lane) through() {
	ln.of.mu.Lock()
	defer ln.of.mu.Unlock()
	ln.release()
}

func (ln *lane) release() {
	if !ln.free {
		ln.free = true
		ln.of.busy--
	}
	ln.of.wake()
}

// give says how the request of a lane went, and frees it. Requests that were under way
// together and failed together are one sign of trouble, not many: only those that
// began after the last halving count.
func (ln *lane) give(err error) {
	l := ln.of
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.open = min(l.open+1/l.open, float64(l.most))
	case congested(err) && ln.cuts == l.cuts:
		l.open = max(l.open/2, 1)
		l.cuts++
	}
	ln.release()
}

func (l *Lanes) wake() {
	for l.busy < int(l.open) && len(l.waiting) > 0 {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.busy++
	}
}

// congested says whether fewer requests at once could have gone better.
func congested(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && (e.Kind == "unavailable" || e.Kind == "no_quorum" || e.Kind == "canceled")
}
