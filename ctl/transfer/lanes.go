package transfer

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/time/rate"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Lanes bounds the concurrent requests that carry file bytes, over all files together: many small files and the
// parts of one large file share them. The bound adapts to the server as TCP's congestion window does (additive increase,
// multiplicative decrease): a refusal because the server is busy or unreachable halves it, each success
// raises it slightly, up to most.
// Its methods are safe for concurrent use.
type Lanes struct {
	most int
	flow *flow

	mu    sync.Mutex // guards what follows
	freed *sync.Cond // of mu: a lane may be free, or a wait has ended
	open  float64    // how many requests may be in progress now, 1..most
	busy  int
	cuts  int // halvings so far
}

// NewLanes allows at most so many concurrent requests.
func NewLanes(most int) *Lanes {
	most = max(most, 1)
	l := &Lanes{most: most, flow: newFlow(), open: max(float64(most)/2, 1)}
	l.freed = sync.NewCond(&l.mu)
	return l
}

// lane is the permission for one request that carries bytes.
type lane struct {
	of   *Lanes
	cuts int  // of.cuts when it was taken
	free bool // no longer counted as busy; guarded by of.mu
}

// take waits for a lane. Errors: the context's, also if a lane is free.
func (l *Lanes) take(ctx context.Context) (*lane, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := waitFor(ctx, l.freed, func() bool { return l.busy < int(l.open) }); err != nil {
		return nil, err
	}
	l.busy++
	return &lane{of: l, cuts: l.cuts}, nil
}

// waitFor waits on a condition variable, whose lock is held, until ready or the end of ctx. Errors: the context's, also if it is
// ready.
func waitFor(ctx context.Context, changed *sync.Cond, ready func() bool) error {
	defer context.AfterFunc(ctx, func() {
		changed.L.Lock() // otherwise the signal could come between the check of ctx and the wait
		defer changed.L.Unlock()
		changed.Broadcast()
	})()
	for ctx.Err() == nil && !ready() {
		changed.Wait()
	}
	return ctx.Err()
}

// sent frees the lane before its request is answered: once the last byte is sent, other requests can use
// the connection's bandwidth while the server makes the bytes durable. It may be called more than once, and concurrently with give.
func (ln *lane) sent() {
	ln.of.mu.Lock()
	defer ln.of.mu.Unlock()
	ln.release()
}

// release frees the lane; mu is held.
func (ln *lane) release() {
	if !ln.free {
		ln.free = true
		ln.of.busy--
	}
	ln.of.freed.Broadcast()
}

// give reports the outcome of the lane's request and frees it. Concurrent requests that fail together count as one
// sign of congestion: only those that began after the last halving can halve the bound again.
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

// congested reports whether fewer concurrent requests could have succeeded.
func congested(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && (e.Kind == problem.Unavailable || e.Kind == problem.NoQuorum || e.Kind == problem.Canceled)
}

// limitPiece is the most bytes that pass the rate limit at once; a limiter's burst is at least this.
const limitPiece = 64 << 10

// pieceOf is how many bytes pass the limit at once: few if the limit is low, because several connections take
// turns and each would otherwise wait so long that both ends consider it dead.
func pieceOf(l *rate.Limiter) int {
	return int(min(max(l.Limit()/16, 1<<10), limitPiece))
}

// NewLimit limits a Manager to so many bytes a second.
func NewLimit(bytesPerSecond int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytesPerSecond), limitPiece)
}

// limited restricts a reader to the manager's rate limit.
func (m *Manager) limited(ctx context.Context, r io.Reader) io.Reader {
	if m.Limit == nil {
		return r
	}
	return &limitedReader{ctx, r, m.Limit, pieceOf(m.Limit)}
}

type limitedReader struct {
	ctx   context.Context //nolint:containedctx // of the one request that reads
	r     io.Reader
	limit *rate.Limiter
	piece int
}

// Read implements io.Reader.
func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), l.piece)])
	if n > 0 {
		if waited := l.limit.WaitN(l.ctx, n); waited != nil {
			return n, waited
		}
	}
	return n, err
}
