package transfer

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

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
