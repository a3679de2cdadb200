package stripe

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// WriteSpec is what a Writer writes.
type WriteSpec struct {
	Part     store.Part // Chunks names the node of each chunk; the zero node: the chunk is not written
	Size     int64      // expected bytes of the part, -1 if unknown; for preallocation
	Required int        // node failures that the durable chunks must survive; -1: any result will do
	// All: no node is abandoned because others are faster, only one that fails or stalls.
	All bool
	// Whole: each chunk is one unit. It is sent by Commit in one call, and kept until then, so
	// that it can be sent to a spare node when the first one fails or is late.
	Whole  bool
	Spares []store.NodeID // nodes for chunks whose node fails or is late, in order of preference; Whole only
	Share  int            // the most chunks of the part that a spare may hold
}

// Writer sends the chunks of one part to their nodes, each in a stream of its own, so that a slow node
// delays the others only until its queue is full. How long a write waits for its slowest node is described at Commit.
//
// Send, Err, Commit and Uncertain are called by one goroutine. Abort must be called in all cases.
type Writer struct {
	io      *IO
	spec    WriteSpec
	ctx     context.Context
	cancel  context.CancelFunc
	chunks  []sentChunk
	streams []*stream         // in the order of their start
	pending atomic.Int32      // streams that have not ended
	failed  atomic.Int32      // streams that ended with an error
	began   time.Time         // of Commit
	first   atomic.Int64      // when the first chunk became durable, nanoseconds after began; 0: none is
	eager   atomic.Bool       // Commit waits for each stream that ends, not only for the last
	ended   chan struct{}     // wakes Commit; holds one signal
	label   chunk.Label       // set before the queues are closed
	result  []store.Placement // of Commit; nil before, and where it failed
	closed  bool              // the queues are
	sent    int64             // bytes of the part
}

// sentChunk is what the writer knows of one chunk of the part.
type sentChunk struct {
	sum    store.ChunkSum // of the units that were sent, also where its node failed: its repair is compared with it
	unit   chunk.Unit     // Whole: the chunk
	stream *stream        // the first one; nil: there is no node for it, or Commit was not called yet
}

// Write starts to write a part. Unless the spec says Whole, its nodes are called at once. ctx covers the whole write.
func (o *IO) Write(ctx context.Context, spec WriteSpec) *Writer {
	w := &Writer{io: o, spec: spec, chunks: make([]sentChunk, len(spec.Part.Chunks)), ended: make(chan struct{}, 1)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	if spec.Whole {
		return w
	}
	for i, c := range spec.Part.Chunks {
		if !c.Node.IsZero() {
			w.chunks[i].stream = w.start(i, c.Node, make(chan chunk.Unit, o.cfg.Window))
		}
	}
	return w
}

// Send passes the units of one stripe to the streams, by index. It takes them over. Where one node delays the
// others for too long (see lag), and the part survives enough without it, its chunks are abandoned.
func (w *Writer) Send(units []chunk.Unit) {
	for i, u := range units {
		c := &w.chunks[i]
		c.sum = c.sum.Add(u.CRC)
		if i < w.spec.Part.K {
			w.sent += int64(len(u.Data))
		}
		switch {
		case w.spec.Whole:
			c.unit = u
		case c.stream == nil:
			u.Release()
		default:
			w.push(c.stream, u)
		}
	}
}

func (w *Writer) push(s *stream, u chunk.Unit) {
	select {
	case s.queue <- u: // the usual case
		return
	default:
	}
	late := time.NewTimer(w.lag())
	defer late.Stop()
	for {
		select {
		case s.queue <- u:
			return
		case <-s.over:
			u.Release()
			return
		case <-w.ctx.Done():
			u.Release()
			return
		case <-late.C:
			if w.canSpare(s.node) {
				w.abandon(s.node)
			}
		}
	}
}

// abandon ends the streams to the node.
func (w *Writer) abandon(node store.NodeID) {
	for _, s := range w.streams {
		if s.node == node {
			s.abandon()
		}
	}
}

// canSpare reports whether the part survives enough without the node's chunks.
func (w *Writer) canSpare(node store.NodeID) bool {
	if w.spec.All {
		return false
	}
	left := w.placed(func(s *stream) bool { return s.node != node && s.error() == nil })
	return placement.Survives(w.spec.Part.K, left) >= max(w.spec.Required, 0)
}

// Err returns, as soon as it is certain, why the write cannot succeed.
func (w *Writer) Err() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.failed.Load() == 0 {
		return nil
	}
	return w.enough(w.placed(func(s *stream) bool { return s.error() == nil }))
}

// Commit ends the chunks and makes them durable with the label. It returns the placements of the chunks, those that are not durable
// without a node, or the error that too few are durable (NoQuorum, NoSpace, Canceled).
//
// It waits for all chunks as long as is usual: once the first is durable, the others have as much time again, at least
// a few times what nodes usually need (see patience). After that, spare nodes get the chunks that are still missing, where that is
// possible, and as much time again. After that Commit returns as soon as the durable chunks survive enough. Until then it
// waits for each node up to Config.SyncStall.
func (w *Writer) Commit(label chunk.Label) ([]store.Placement, error) {
	w.label, w.began = label, time.Now()
	w.closeQueues()
	if w.spec.Whole {
		for i, c := range w.spec.Part.Chunks {
			if !c.Node.IsZero() {
				w.chunks[i].stream = w.start(i, c.Node, nil)
			}
		}
	}
	w.await()
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	for _, s := range w.streams {
		s.abandon()
	}
	placed := w.placed((*stream).durable)
	for i := range placed {
		placed[i].Sum = w.chunks[i].sum
	}
	if err := w.enough(placed); err != nil {
		return nil, err
	}
	w.result = placed
	return placed, nil
}

// placed returns where the chunks are, by the streams that count.
func (w *Writer) placed(counts func(*stream) bool) []store.Placement {
	placed := make([]store.Placement, len(w.chunks))
	for _, s := range w.streams {
		if placed[s.index].Node.IsZero() && counts(s) {
			placed[s.index].Node = s.node
		}
	}
	return placed
}

// enough is nil when the placed chunks survive what is required.
func (w *Writer) enough(placed []store.Placement) error {
	got := placement.Survives(w.spec.Part.K, placed)
	if got >= w.spec.Required {
		return nil
	}
	return notEnough(placed, got, w.spec.Required, w.Errors())
}

// Uncertain returns tasks that reclaim the chunks which may be on nodes where Commit's result does not have them: their
// write failed or was abandoned after the node was asked to make it durable, another node has the chunk too, or
// Commit failed. It is called after Commit.
func (w *Writer) Uncertain() (tasks []store.Task) {
	for _, s := range w.streams {
		if s.mayBeStored() && (w.result == nil || w.result[s.index].Node != s.node) {
			tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: w.spec.Part.ChunkID(s.index), Node: s.node, Reason: "its write was not completed"})
		}
	}
	return tasks
}

// Errors returns why streams failed, each with its node.
func (w *Writer) Errors() (errs []error) {
	for i := range w.chunks {
		if w.spec.Part.Chunks[i].Node.IsZero() && w.chunks[i].stream == nil {
			errs = append(errs, errNoNode)
		}
	}
	for _, s := range w.streams {
		if err := s.error(); err != nil {
			errs = append(errs, &store.Error{Kind: store.KindOf(err), Item: "node " + s.node.String(), Err: err})
		}
	}
	return errs
}

// failure returns why the chunk is not written by its first stream; nil as long as it may be, and when it is.
func (w *Writer) failure(index int) error {
	if s := w.chunks[index].stream; s != nil {
		return s.error()
	}
	return errNoNode
}

// Abort ends what is not committed and releases what the writer holds. It does not wait for calls to nodes that are in
// progress. It may be called more than once.
func (w *Writer) Abort() {
	w.cancel()
	w.closeQueues()
	for i := range w.chunks {
		w.chunks[i].unit.Release()
		w.chunks[i].unit = chunk.Unit{}
	}
}

func (w *Writer) closeQueues() {
	if w.closed {
		return
	}
	w.closed = true
	for _, s := range w.streams {
		if s.queue != nil {
			close(s.queue)
		}
	}
}

// spare returns the next spare node that has no attempt of the chunk yet and room within its share. False: no node qualifies.
func (w *Writer) spare() (store.NodeID, bool) {
	held := map[store.NodeID]int{}
	for _, s := range w.streams {
		if held[s.node]++; s.error() != nil || s.late {
			held[s.node] = w.spec.Share // it has just failed
		}
	}
	for _, id := range w.spec.Spares {
		if held[id] < w.spec.Share {
			return id, true
		}
	}
	return store.NodeID{}, false
}

// hasNode reports whether the chunk is durable or an attempt that is not late is in progress.
func (w *Writer) hasNode(index int) bool {
	return slices.ContainsFunc(w.streams, func(s *stream) bool {
		return s.index == index && s.error() == nil && (!s.late || s.durable())
	})
}

// substitute starts an attempt on a spare node for each chunk that had a node and has none any more, and returns their number.
func (w *Writer) substitute() (started int) {
	for i := range w.chunks {
		if w.chunks[i].stream == nil || w.hasNode(i) {
			continue
		}
		node, ok := w.spare()
		if !ok {
			break
		}
		w.start(i, node, nil)
		started++
	}
	return started
}
