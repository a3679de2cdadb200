package writemem

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Upload is the use of the pool by one upload: one open stripe at a time, and the rate at
// which its client sends. It is used by one goroutine.
type Upload struct {
	pool   *Pool
	client Client
	small  bool
	behind time.Duration // how far the client is behind the minimum rate

	slowAt  atomic.Int64  // when the client will be too slow if no byte arrives, since pool.epoch; 0 while nothing is read
	cause   atomic.Value  // error: why the upload was ended
	alive   sync.Mutex    // held across Interrupt; guards closed
	closed  bool          // Interrupt must no longer be called
	stripe  stripe        // guarded by pool.mu
	ended   bool          // it was selected to be ended; guarded by pool.mu
	want    int64         // bytes that it waits for; guarded by pool.mu
	granted chan struct{} // has room for one
}

// stripe is the account of an open stripe.
type stripe struct {
	need     int64 // bytes in total
	taken    int64
	promised int64 // of those not yet taken
	promise  int64 // bytes when the promise was made; 0: no promise was made
	order    uint64
	area     *area // nil until something is taken
	who      *caller
}

// Close ends the account. Buffers that were lent may return later.
func (u *Upload) Close() {
	u.Finish()
	u.alive.Lock()
	u.closed = true
	u.alive.Unlock()
}

// Begin begins a stripe that will take up to need bytes, the sizes of its buffers rounded up
// to their classes. Error: TooLarge when it exceeds the budget.
func (u *Upload) Begin(need int) error {
	p := u.pool
	u.Finish()
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit := p.large.reserve; int64(need) > limit && !p.fitsSmall(u, int64(need)) {
		return store.Errorf(store.TooLarge, "a stripe of %d bytes is larger than the %d bytes of write memory that it may use", need, limit).
			WithLimit("write_memory", 0).WithHint("Raise the gateway's --write-memory.")
	}
	u.stripe = stripe{need: int64(need)}
	return nil
}

// Take waits for a buffer of n bytes for the open stripe. Errors: the context's; Unavailable
// after Config.Wait.
func (u *Upload) Take(ctx context.Context, n int) (*Buffer, error) {
	if err := u.lend(ctx, int64(Class(n))); err != nil {
		return nil, err
	}
	return u.buffer(n), nil
}

// Grow waits until b can be replaced by a buffer of n bytes, which begins with b's
// data. b is returned to the pool, except on an error. Errors: those of Take.
func (u *Upload) Grow(ctx context.Context, b *Buffer, n int) (*Buffer, error) {
	if err := u.lend(ctx, int64(Class(n)-len(b.Data))); err != nil {
		return nil, err
	}
	larger := u.buffer(n)
	copy(larger.Data, b.Data)
	u.pool.free.put(b) // its bytes are counted with the larger one
	return larger, nil
}

func (u *Upload) buffer(n int) *Buffer {
	b := u.pool.free.get(n)
	b.pool, b.area, b.who = u.pool, u.stripe.area, u.stripe.who
	b.refs.Store(1)
	return b
}

// Finish ends the open stripe: it takes no more memory. Its buffers return by Release. It may
// be called at any time.
func (u *Upload) Finish() {
	p := u.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := u.stripe.area; a != nil {
		a.close(u)
	}
	u.stripe = stripe{}
}

func (u *Upload) lend(ctx context.Context, n int64) error {
	p := u.pool
	p.mu.Lock()
	s := &u.stripe
	if s.taken+n > s.need {
		p.mu.Unlock()
		panic("writemem: a stripe took more than it announced")
	}
	if s.area == nil {
		p.began++
		s.order = p.began
		p.choose(u, n).open(u)
	}
	a := s.area
	granted := a.ask(u, n)
	p.mu.Unlock()
	if granted {
		return nil
	}
	return p.wait(ctx, u, a)
}

// choose returns the area of a stripe.
func (p *Pool) choose(u *Upload, n int64) *area {
	switch {
	case !p.fitsSmall(u, u.stripe.need):
		return p.large
	case p.small.spare(n) || !p.large.spare(u.stripe.need):
		return p.small
	}
	return p.large
}

func (p *Pool) fitsSmall(u *Upload, need int64) bool {
	return u.small && p.small != nil && need <= p.small.reserve
}

// Read reads from r and counts the elapsed time towards the client's rate. If the upload was
// ended for its rate, that is the error; io.EOF is never replaced.
func (u *Upload) Read(r io.Reader, p []byte) (int, error) {
	cfg := &u.pool.cfg
	began := u.pool.now()
	u.slowAt.Store(max(1, began+int64(cfg.Lag-u.behind)))
	n, err := r.Read(p)
	u.slowAt.Store(0)
	took := time.Duration(u.pool.now() - began)
	earned := time.Duration(float64(n) / float64(cfg.MinRate) * float64(time.Second))
	u.behind = max(0, u.behind+took-earned)
	if err != nil && err != io.EOF {
		if cause, ok := u.cause.Load().(error); ok {
			return n, cause
		}
	}
	return n, err
}

// interrupt ends the upload from another goroutine.
func (u *Upload) interrupt(cause error) {
	u.alive.Lock()
	defer u.alive.Unlock()
	if u.closed {
		return
	}
	u.cause.Store(cause)
	u.client.Interrupt(cause)
}
