package engine

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// source reads one chunk's units in a goroutine of its own, ahead of who takes them.
type source struct {
	from, to int             // stripes
	units    chan sourceUnit // in order; an error is the last
	cancel   context.CancelFunc
}

type sourceUnit struct {
	unit store.Unit
	err  error
}

// crowd is the number of gets from which on sources run ahead less, so that
// many downloads together do not hold too much memory.
const crowd = 16

func (e *Engine) startSource(ctx context.Context, p store.Part, index, from, to int) *source {
	ahead := 2
	if e.reading.Load() > crowd {
		ahead = 0
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &source{from: from, to: to, units: make(chan sourceUnit, ahead), cancel: cancel}
	e.background.Go(func() {
		defer s.end(ctx)
		if err := e.readChunk(ctx, s, p, index); err != nil {
			s.give(ctx, sourceUnit{err: err})
		}
	})
	return s
}

// end closes the source from its goroutine's side. A unit that was put into the
// channel while stop emptied it is released here.
func (s *source) end(ctx context.Context) {
	close(s.units)
	if ctx.Err() != nil {
		s.empty()
	}
}

// readChunk gives the chunk's units to the source until its range is through.
func (e *Engine) readChunk(ctx context.Context, s *source, p store.Part, index int) error {
	chunks, err := e.fleet.Chunks(p.Chunks[index].Node)
	if err != nil {
		return err
	}
	r, err := chunks.Open(ctx, p.ChunkID(index), s.from, s.to-s.from+1)
	if err != nil {
		return err
	}
	defer r.Close()
	for range s.to - s.from + 1 {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return store.Errorf(store.Corrupt, "the chunk is shorter than its part says")
		}
		if err != nil {
			return err
		}
		if !s.give(ctx, sourceUnit{unit: u}) {
			return nil
		}
	}
	return nil
}

// give hands a unit on; false when nobody wants it any more.
func (s *source) give(ctx context.Context, u sourceUnit) bool {
	select {
	case s.units <- u:
		return true
	case <-ctx.Done():
		if u.err == nil {
			u.unit.Release()
		}
		return false
	}
}

// stop ends the source and releases what it had ready. It does not wait for a
// node that hangs: what still comes is released by end.
func (s *source) stop() {
	s.cancel()
	s.empty()
}

func (s *source) empty() {
	for {
		select {
		case got, open := <-s.units:
			if !open {
				return
			}
			if got.err == nil {
				got.unit.Release()
			}
		default:
			return
		}
	}
}

// latency remembers how long units made their readers wait, to tell what is slow.
type latency struct {
	mu     sync.Mutex // guards what follows
	waits  [256]time.Duration
	count  int
	cached atomic.Int64 // the 95th percentile, nanoseconds
}

func (l *latency) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[l.count%len(l.waits)] = d
	l.count++
	if l.count%64 == 0 {
		sorted := slices.Clone(l.waits[:min(l.count, len(l.waits))])
		slices.Sort(sorted)
		l.cached.Store(int64(sorted[len(sorted)*95/100]))
	}
}

// hedge is how long to wait for a unit before it is called slow: well over
// what 95 of 100 take, and never under the floor.
func (l *latency) hedge(floor time.Duration) time.Duration {
	return max(floor, 4*time.Duration(l.cached.Load()))
}
