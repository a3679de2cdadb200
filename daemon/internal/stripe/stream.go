package stripe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// stream is one attempt to write one chunk to one node. Its goroutine makes the calls to the node; the writer and the
// timer may end it at any time.
type stream struct {
	w     *Writer
	index int
	node  store.NodeID
	queue chan chunk.Unit // nil: the chunk is one unit and is sent in one call
	over  chan struct{}   // closed by end: the stream takes no more units
	timer *time.Timer     // ends the stream when a call takes too long; of the stream's goroutine
	late  bool            // a spare node was given the chunk; used by the writer's goroutine only

	ctx    context.Context    // of the calls to the node
	cancel context.CancelFunc // nil: they end with the write

	mu    sync.Mutex // guards the fields below
	out   chunk.Writer
	err   error
	asked bool // to make the chunk durable: it may be stored
}

var (
	errNoNode = store.Errorf(store.Unavailable, "no storage node can take the chunk now")
	errLate   = store.Errorf(store.Unavailable, "the node was slower than the others, and the write did not wait for it")
)

// start starts a stream. Its goroutine belongs to the IO, because a call that hangs may outlive the write.
func (w *Writer) start(index int, node store.NodeID, queue chan chunk.Unit) *stream {
	s := &stream{w: w, index: index, node: node, queue: queue, over: make(chan struct{})}
	w.streams = append(w.streams, s)
	var unit chunk.Unit
	if queue == nil {
		unit = share(w.chunks[index].unit)
	} else {
		s.ctx, s.cancel = context.WithCancel(w.ctx)
	}
	w.pending.Add(1)
	w.io.background.Go(func() {
		if queue == nil {
			s.end(s.put(unit))
			return
		}
		s.end(s.write())
		for u := range queue { // until the writer closes it, so that every unit is released
			u.Release()
		}
	})
	return s
}

// retainer is memory of which further references can be made.
type retainer interface{ Retain(n int) }

// share returns a second reference to the unit.
func share(u chunk.Unit) chunk.Unit {
	switch owner := u.Owner.(type) {
	case nil:
	case retainer:
		owner.Retain(1)
	default:
		return chunk.Unit{Data: slices.Clone(u.Data), CRC: u.CRC}
	}
	return u
}

// put writes a chunk of one unit. It takes the unit over. The writer limits its time.
func (s *stream) put(u chunk.Unit) error {
	o := s.w.io
	chunks, err := o.cfg.Fleet.Chunks(s.node)
	if err != nil {
		u.Release()
		return err
	}
	size, sum := int64(len(u.Data)), store.ChunkSum(0).Add(u.CRC)
	spec := chunk.Spec{ID: s.w.spec.Part.ChunkID(s.index), UnitSize: s.w.spec.Part.UnitSize, SizeHint: size}
	s.ask()
	began := time.Now()
	info, err := chunk.PutSmall(s.w.ctx, chunks, spec, u, s.w.label)
	if err != nil {
		return err
	}
	o.smalls.add(time.Since(began))
	return compare(info, size, sum)
}

// write creates the chunk, appends the units from the queue, and commits it when the writer has closed the queue.
func (s *stream) write() error {
	defer s.cancel()
	cfg := &s.w.io.cfg
	chunks, err := cfg.Fleet.Chunks(s.node)
	if err != nil {
		return err
	}
	s.begin(cfg.Stall)
	out, err := s.create(chunks)
	s.pause()
	if err != nil {
		return err
	}
	defer out.Abort()
	for u := range s.queue {
		s.timer.Reset(cfg.Stall)
		err := out.Append(u)
		s.pause()
		if err != nil {
			return err
		}
	}
	if err := s.w.ctx.Err(); err != nil {
		return err // the queue was closed by Abort, not by Commit
	}
	return s.commit(out)
}

func (s *stream) create(c chunk.Store) (chunk.Writer, error) {
	part := s.w.spec.Part
	spec := chunk.Spec{ID: part.ChunkID(s.index), UnitSize: part.UnitSize}
	if part.Size = s.w.spec.Size; part.Size > 0 {
		spec.SizeHint = part.ChunkSize()
	}
	out, err := c.Create(s.ctx, spec)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = out
	return out, nil
}

func (s *stream) commit(out chunk.Writer) error {
	s.ask()
	s.begin(s.w.io.cfg.SyncStall)
	info, err := out.Commit(s.w.label)
	s.pause()
	if err != nil {
		return err
	}
	part := s.w.spec.Part
	part.Size = s.w.label.PartSize
	return compare(info, part.ChunkSize(), s.w.chunks[s.index].sum)
}

// compare checks what a node reports that it stored against what was sent.
func compare(info chunk.Info, size int64, sum store.ChunkSum) error {
	if info.Size != size || info.Sum != sum {
		return store.Errorf(store.Corrupt, "the node stored %d bytes with sum %08x, %d bytes with sum %08x were sent",
			info.Size, uint32(info.Sum), size, uint32(sum))
	}
	return nil
}

// begin starts the time limit of the call that follows; pause ends it.
func (s *stream) begin(limit time.Duration) {
	s.timer = time.AfterFunc(limit, func() {
		s.end(store.Errorf(store.Unavailable, "the node made no progress for %v", limit))
	})
}

func (s *stream) pause() { s.timer.Stop() }

// abandon ends the stream, unless it has ended, because its node is slower than the others.
func (s *stream) abandon() {
	if s.finish(errLate) {
		s.w.io.noteLate(s.node)
	}
}

// end ends the stream with its result, if it has not ended, and reports that of the node.
func (s *stream) end(err error) {
	if !s.finish(err) || s.w.ctx.Err() != nil {
		return
	}
	if err == nil {
		s.w.io.noteDone(s.node)
	}
	s.w.io.cfg.Fleet.Report(s.node, err)
}

// finish sets the result; false: the stream had one.
func (s *stream) finish(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done() {
		return false
	}
	s.err = err
	if err != nil {
		if s.cancel != nil {
			s.cancel()
		}
		if s.out != nil {
			s.out.Abort() // frees an Append that is blocked
		}
	}
	close(s.over)
	s.w.streamEnded(err)
	return true
}

func (s *stream) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
}

// mayBeStored reports whether the node may have the chunk.
func (s *stream) mayBeStored() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, store.NoSpace) || errors.Is(s.err, store.Invalid) {
		return false // refused before anything was written
	}
	return s.asked
}

// durable reports whether the node has acknowledged the chunk.
func (s *stream) durable() bool { return s.done() && s.error() == nil }

func (s *stream) error() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *stream) done() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}
