package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// spread sends the units of one striped part to the nodes of its chunks, each
// through a sink of its own, so that a slow node delays the others only until its
// queue is full, and never longer than Config.Stall.
type spread struct {
	e        *Engine
	part     store.Part
	required int
	sinks    []*sink
	label    store.Label // set before the queues are closed
	ctx      context.Context
	cancel   context.CancelFunc
	closed   bool
}

// sink is the way to one chunk. Its goroutine owns w; send and the watchdog use the rest.
type sink struct {
	index int
	node  store.NodeID
	queue chan store.Unit
	over  chan struct{}  // closed by fail: the sink takes nothing more
	sum   store.ChunkSum // of what was sent, kept by send
	since atomic.Int64   // Unix nanoseconds when the call that is under way began; 0: none is
	limit atomic.Int64   // nanoseconds that it may take

	mu     sync.Mutex // guards what follows
	cancel context.CancelFunc
	w      store.ChunkWriter
	err    error
	asked  bool // Commit was called: the chunk may be there
}

// spread opens the sinks of a part; size is the part's expected bytes or -1.
func (e *Engine) spread(ctx context.Context, part store.Part, required int, size int64) *spread {
	s := &spread{e: e, part: part, required: required}
	s.ctx, s.cancel = context.WithCancel(ctx)
	spec := store.ChunkSpec{UnitSize: part.UnitSize}
	if size > 0 {
		expected := part
		expected.Size = size
		spec.SizeHint = expected.ChunkSize()
	}
	for i, c := range part.Chunks {
		k := &sink{index: i, node: c.Node, queue: make(chan store.Unit, e.cfg.Window), over: make(chan struct{})}
		s.sinks = append(s.sinks, k)
		spec := spec
		spec.ID = part.ChunkID(i)
		if c.Node.IsZero() {
			k.fail(errNoNode)
		}
		// In the background, because a call that hangs in a node may outlive the put.
		e.background.Go(func() { s.run(k, spec) })
	}
	e.background.Go(s.watch)
	return s
}

// send hands one stripe's units to the sinks, by index. It takes them over.
func (s *spread) send(units []store.Unit) {
	for i, u := range units {
		k := s.sinks[i]
		k.sum = k.sum.Add(u.CRC)
		select {
		case k.queue <- u:
		case <-k.over:
			u.Release()
		case <-s.ctx.Done():
			u.Release()
		}
	}
}

// hopeless says, as soon as it is sure, that too many sinks failed.
func (s *spread) hopeless() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	alive := make([]store.Placement, len(s.sinks))
	for i, k := range s.sinks {
		if k.error() == nil {
			alive[i].Node = k.node
		}
	}
	if got := placement.Survives(s.part.K, alive); got < s.required {
		part := s.part
		part.Chunks = alive
		return notEnough(part, got, s.required, s.errors())
	}
	return nil
}

// commit ends the chunks and waits until each is durable or given up. It returns
// the placements, those of lost chunks without a node, or why they do not suffice.
func (s *spread) commit(label store.Label) ([]store.Placement, error) {
	s.label = label
	s.closeQueues()
	placed := make([]store.Placement, len(s.sinks))
	for i, k := range s.sinks {
		select {
		case <-k.over:
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
		placed[i].Sum = k.sum // also of a chunk that is lost: its repair is compared with it
		if k.error() == nil {
			placed[i].Node = k.node
		}
	}
	if got := placement.Survives(s.part.K, placed); got < s.required {
		part := s.part
		part.Chunks = placed
		return nil, notEnough(part, got, s.required, s.errors())
	}
	return placed, nil
}

// uncertain names the chunks that may be on their nodes although they were abandoned.
func (s *spread) uncertain() (tasks []store.Task) {
	for _, k := range s.sinks {
		if k.mayLinger() {
			tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: s.part.ChunkID(k.index), Node: k.node, Reason: "its write was given up"})
		}
	}
	return tasks
}

// abort ends what is not committed. It does not wait for a call that hangs.
func (s *spread) abort() {
	s.cancel()
	s.closeQueues()
}

func (s *spread) closeQueues() {
	if s.closed {
		return
	}
	s.closed = true
	for _, k := range s.sinks {
		close(k.queue)
	}
}

func (s *spread) errors() (errs []error) {
	for _, k := range s.sinks {
		if err := k.error(); err != nil {
			errs = append(errs, &store.Error{Kind: store.KindOf(err), Item: "node " + k.node.String(), Err: err})
		}
	}
	return errs
}

// errNoNode: the plan has no node for the chunk now. It is left to repair.
var errNoNode = store.Errorf(store.Unavailable, "no storage node can take the chunk now")

// run is a sink's goroutine: create, append what comes, commit. Whatever
// happens it empties its queue, so that no unit is left unreleased.
func (s *spread) run(k *sink, spec store.ChunkSpec) {
	err := error(errNoNode)
	if !k.node.IsZero() {
		err = s.write(k, spec)
	}
	if err != nil && s.ctx.Err() == nil && !k.node.IsZero() {
		s.e.fleet.Report(k.node, err)
	}
	k.fail(err)
	for u := range k.queue {
		u.Release()
	}
}

func (s *spread) write(k *sink, spec store.ChunkSpec) error {
	chunks, err := s.e.fleet.Chunks(k.node)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	k.begin(s.e.cfg.Stall)
	w, err := k.create(ctx, cancel, chunks, spec)
	k.end()
	if err != nil {
		return err
	}
	defer w.Abort()
	for u := range k.queue {
		k.begin(s.e.cfg.Stall)
		err := w.Append(u)
		k.end()
		if err != nil {
			return err
		}
	}
	if err := s.ctx.Err(); err != nil {
		return err // the queue was closed by abort, not by commit
	}
	return s.finish(k, w)
}

func (s *spread) finish(k *sink, w store.ChunkWriter) error {
	k.mu.Lock()
	k.asked = true
	k.mu.Unlock()
	k.begin(s.e.cfg.SyncStall)
	info, err := w.Commit(s.label)
	k.end()
	if err != nil {
		return err
	}
	part := s.part
	part.Size = s.label.PartSize
	return compare(info, part.ChunkSize(), k.sum)
}

// watch gives up sinks whose node makes no progress. It ends with the last sink.
func (s *spread) watch() {
	tick := time.NewTicker(max(s.e.cfg.Stall/8, time.Millisecond))
	defer tick.Stop()
	for {
		left := false
		for _, k := range s.sinks {
			if k.done() {
				continue
			}
			left = true
			if k.stalled(time.Now()) {
				k.fail(store.Errorf(store.Unavailable, "the node made no progress for %v", time.Duration(k.limit.Load())))
			}
		}
		if !left {
			return
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

func (k *sink) begin(limit time.Duration) {
	k.limit.Store(int64(limit))
	k.since.Store(time.Now().UnixNano())
}

func (k *sink) end() { k.since.Store(0) }

func (k *sink) stalled(now time.Time) bool {
	since := k.since.Load()
	return since != 0 && now.UnixNano()-since > k.limit.Load()
}

// create opens the writer, and lets fail end it from then on.
func (k *sink) create(ctx context.Context, cancel context.CancelFunc, c store.Chunks, spec store.ChunkSpec) (store.ChunkWriter, error) {
	k.mu.Lock()
	k.cancel = cancel
	k.mu.Unlock()
	w, err := c.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.w = w
	return w, nil
}

// fail ends the sink with the first error; nil ends it well.
func (k *sink) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.over:
		return
	default:
	}
	k.err = err
	close(k.over)
	if err == nil {
		return
	}
	if k.cancel != nil {
		k.cancel()
	}
	if k.w != nil {
		k.w.Abort() // frees an Append that is blocked
	}
}

// mayLinger reports whether the chunk may be on its node without being counted on.
func (k *sink) mayLinger() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked && k.err != nil
}

func (k *sink) error() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func (k *sink) done() bool {
	select {
	case <-k.over:
		return true
	default:
		return false
	}
}
