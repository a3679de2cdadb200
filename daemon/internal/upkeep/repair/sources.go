package repair

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// source reads one chunk ahead of the stripe that is being rebuilt: one unit
// waits, one is being read.
type source struct {
	index int
	node  store.NodeID
	units chan reading // closed at the end of the chunk and of the source
	stop  context.CancelFunc
}

type reading struct {
	unit store.Unit
	err  error
}

// openSource starts to read a chunk from that stripe on.
func openSource(ctx context.Context, chunks store.Chunks, p *patient, index, stripe int) *source {
	ctx, cancel := context.WithCancel(ctx)
	s := &source{index: index, node: p.part.Chunks[index].Node, units: make(chan reading, 1), stop: cancel}
	go func() {
		defer close(s.units)
		defer cancel()
		r, err := chunks.Open(ctx, p.part.ChunkID(index), stripe, -1)
		if err != nil {
			s.send(ctx, reading{err: err})
			return
		}
		defer r.Close()
		for {
			u, err := r.Next()
			if errors.Is(err, io.EOF) || !s.send(ctx, reading{u, err}) || err != nil {
				return
			}
		}
	}()
	return s
}

func (s *source) send(ctx context.Context, r reading) bool {
	select {
	case s.units <- r:
		return true
	case <-ctx.Done():
		if r.err == nil {
			r.unit.Release()
		}
		return false
	}
}

// close ends the source and gives back what it has read.
func (s *source) close() {
	s.stop()
	for r := range s.units {
		if r.err == nil {
			r.unit.Release()
		}
	}
}

// next is the unit of the stripe, checked, of that length.
func (s *source) next(ctx context.Context, length int, stall time.Duration) (store.Unit, error) {
	timer := time.NewTimer(stall)
	defer timer.Stop()
	select {
	case r, more := <-s.units:
		if !more {
			return r.unit, store.Errorf(store.Corrupt, "the chunk ends too early")
		}
		if r.err != nil {
			return r.unit, r.err
		}
		err := r.unit.Check()
		if err == nil && len(r.unit.Data) != length {
			err = store.Errorf(store.Corrupt, "a unit has %d bytes instead of %d", len(r.unit.Data), length)
		}
		if err != nil {
			r.unit.Release()
			return store.Unit{}, err
		}
		return r.unit, nil
	case <-ctx.Done():
		return store.Unit{}, ctx.Err()
	case <-timer.C:
		return store.Unit{}, store.Errorf(store.Unavailable, "node %s gave nothing for %s", s.node, stall)
	}
}

// sources keeps as many sources open as a stripe needs, and replaces those that fail.
type sources struct {
	job    *Job
	p      *patient
	layout erasure.Layout
	need   int   // units of each stripe
	spare  []int // chunks not tried yet
	open   []*source
	causes []error
}

func (j *Job) newSources(p *patient, from []int) *sources {
	l := erasure.LayoutOf(p.part)
	s := &sources{job: j, p: p, layout: l, need: l.K, spare: from}
	if len(from) == 1 && from[0] == p.index {
		s.need = 1 // the chunk itself, to be moved
	}
	return s
}

// stripe reads need units of the stripe into units, by index. The caller releases them, also after an error.
func (s *sources) stripe(ctx context.Context, stripe int, units []store.Unit) error {
	length := s.layout.UnitLen(s.p.part.Size, stripe)
	for got := 0; got < s.need; {
		if err := s.top(ctx, stripe); err != nil {
			return err
		}
		for i := 0; i < len(s.open); i++ {
			k := s.open[i]
			if units[k.index].Data != nil {
				continue
			}
			u, err := k.next(ctx, length, s.job.cfg.Stall)
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				s.drop(ctx, i, err)
				i--
				continue
			}
			units[k.index] = u
			got++
		}
	}
	return nil
}

// top opens sources until there are as many as needed.
func (s *sources) top(ctx context.Context, stripe int) error {
	for len(s.open) < s.need {
		if len(s.spare) == 0 {
			err := store.Errorf(store.Unavailable, "chunk %s cannot be made again now: %d of the %d chunks that it takes can be read", s.p.id(), len(s.open), s.need)
			return errors.Join(append([]error{err}, s.causes...)...)
		}
		index := s.spare[0]
		s.spare = s.spare[1:]
		node := s.p.part.Chunks[index].Node
		if m, ok := s.p.view.Member(node); !ok || !m.Readable() {
			continue
		}
		chunks, err := s.job.cfg.Fleet.Chunks(node)
		if err != nil {
			s.causes = append(s.causes, err)
			continue
		}
		s.open = append(s.open, openSource(ctx, chunks, s.p, index, stripe))
	}
	return nil
}

// drop gives a source up, and tells who can mend it.
func (s *sources) drop(ctx context.Context, i int, err error) {
	k := s.open[i]
	s.open = append(s.open[:i], s.open[i+1:]...)
	k.close()
	id := s.p.part.ChunkID(k.index)
	s.causes = append(s.causes, &store.Error{Kind: store.KindOf(err), Item: "chunk " + id.String() + " on node " + k.node.String(), Err: err})
	switch store.KindOf(err) {
	case store.NotFound, store.Corrupt, store.OutOfRange:
		task := store.Task{Kind: store.Repair, Chunk: id, Node: k.node, Reason: err.Error()}
		if err := s.job.enqueue(ctx, task); err != nil {
			s.job.cfg.Log.Warn("a bad chunk could not be queued for repair", "chunk", id, "node", k.node, "error", err)
		}
	default:
		s.job.cfg.Fleet.Report(k.node, err)
	}
}

func (s *sources) close() {
	for _, k := range s.open {
		k.close()
	}
	s.open = nil
}

// buffers lends memory for rebuilt units.
type buffers struct{ pool sync.Pool }

// buffer is one unit's memory; it goes back when the unit is released.
type buffer struct {
	pool *sync.Pool
	data []byte
}

func (b *buffers) get(size int) *buffer {
	if k, ok := b.pool.Get().(*buffer); ok && cap(k.data) >= size {
		return k
	}
	return &buffer{pool: &b.pool, data: make([]byte, size)}
}

// Release implements store.Releaser.
func (b *buffer) Release() { b.pool.Put(b) }
