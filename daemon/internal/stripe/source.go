package stripe

import (
	"context"
	"errors"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// source reads the units of one chunk in its own goroutine, ahead of the reader.
type source struct {
	from, to int             // stripes, both included
	units    chan sourceUnit // in order; after an error there are no more
	cancel   context.CancelFunc
}

type sourceUnit struct {
	unit chunk.Unit
	err  error
}

// crowd is the number of open readers above which sources do not read ahead, so that
// many downloads together hold a bounded amount of memory.
const crowd = 16

func (o *IO) startSource(ctx context.Context, p store.Part, index, from, to int) *source {
	ahead := o.cfg.Ahead
	if o.readers.Load() > crowd {
		ahead = 0
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &source{from: from, to: to, units: make(chan sourceUnit, ahead), cancel: cancel}
	o.background.Go(func() {
		defer s.end(ctx)
		if err := o.readChunk(ctx, s, p, index); err != nil {
			s.send(ctx, sourceUnit{err: err})
		}
	})
	return s
}

// end closes the channel. It releases a unit that was sent while stop emptied the channel.
func (s *source) end(ctx context.Context) {
	close(s.units)
	if ctx.Err() != nil {
		s.empty()
	}
}

// readChunk sends the units of the source's range.
func (o *IO) readChunk(ctx context.Context, s *source, p store.Part, index int) error {
	chunks, err := o.cfg.Fleet.Chunks(p.Chunks[index].Node)
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
			return store.Errorf(store.Corrupt, "the chunk is shorter than its part requires")
		}
		if err != nil {
			return err
		}
		if !s.send(ctx, sourceUnit{unit: u}) {
			return nil
		}
	}
	return nil
}

// send passes a unit to the reader; false when the source was stopped, and the unit is released.
func (s *source) send(ctx context.Context, u sourceUnit) bool {
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

// stop ends the source and releases the units that it has read ahead. It does not wait for a call to the node that is in
// progress: end releases its result.
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
