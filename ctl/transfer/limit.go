package transfer

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// limitPiece is the most bytes that pass a limit at once, and the least that a limiter's burst must be.
const limitPiece = 64 << 10

// pieceOf is how many bytes pass a limit at once: little where it is low, or each of several
// connections would wait so long for its turn that both ends take it for dead.
func pieceOf(l *rate.Limiter) int {
	return int(min(max(l.Limit()/16, 1<<10), limitPiece))
}

// NewLimit makes a limit of so many bytes a second for a Mover.
func NewLimit(bytesPerSecond int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytesPerSecond), limitPiece)
}

// limited slows a reader down to the mover's limit.
func (m *Mover) limited(ctx context.Context, r io.Reader) io.Reader {
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
