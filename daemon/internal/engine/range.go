package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// partReader gives the stripes of one part's range, in order. Each chunk that is
// read has a source of its own that runs ahead. While all goes well only data
// chunks are read, and of the first and last stripe only the units that the
// range touches. When a chunk is missing, corrupt or slow, the reader starts
// anew at that stripe with any K chunks, and rebuilds the rest by parity.
type partReader struct {
	e      *Engine
	ctx    context.Context
	part   store.Part
	layout erasure.Layout
	from   int64 // the range is [from, to) of the part
	to     int64
	first  int // stripes
	last   int
	state  [store.MaxChunksPerPart]chunkState
	looked [store.MaxChunksPerPart]bool           // the placements were read again because of this chunk
	gone   bool                                   // the part is in the metadata no more
	sums   [store.MaxChunksPerPart]store.ChunkSum // of the units so far, of chunks that are read whole
	whole  [store.MaxChunksPerPart]bool
	causes []error // why chunks were abandoned, for the error that says they were too many

	sources [store.MaxChunksPerPart]*source
	rebuild bool     // the sources are any K chunks, not the data units of the range
	scratch [][]byte // for rebuilt units, by index; reused from stripe to stripe
	views   [store.MaxChunksPerPart][]byte
}

// chunkState orders chunks by how gladly they are read.
type chunkState uint8

const (
	chunkGood chunkState = iota
	chunkSlow            // its peers were faster
	chunkAway            // its node is not reachable, as far as is known
	chunkGone            // missing, corrupt, or failed in this read
)

func (e *Engine) newPartReader(ctx context.Context, p store.Part, from, to int64) (*partReader, error) {
	l := erasure.LayoutOf(p)
	r := &partReader{e: e, ctx: ctx, part: p, layout: l, from: from, to: to}
	r.first = int(from / int64(l.StripeSize()))
	r.last = int((to - 1) / int64(l.StripeSize()))
	view := e.fleet.View()
	for i, c := range p.Chunks {
		m, known := view.Member(c.Node)
		switch {
		case c.Node.IsZero():
			r.state[i] = chunkGone
		case !known || m.Status != cluster.Online:
			r.state[i] = chunkAway
		}
	}
	if l.K == 1 {
		// Any copy will do: begin with one that depends on the part, to spread the load.
		r.rebuild = true
	}
	return r, r.open(r.first)
}

// open starts sources for the stripes from s on.
func (r *partReader) open(s int) error {
	r.closeSources()
	if !r.rebuild && r.openData(s) {
		return nil
	}
	r.rebuild = true
	chosen := r.choose()
	if len(chosen) < r.layout.K {
		return r.tooFew(len(chosen))
	}
	for _, i := range chosen {
		r.start(i, s, r.last)
	}
	return nil
}

// openData opens the data chunks that the range touches, each only as far as
// it does. It does nothing when one of them is not good.
func (r *partReader) openData(s int) bool {
	var from, to [store.MaxChunksPerPart]int // stripes [from, to) of each data chunk
	mark := func(stripe int) {
		for _, span := range r.layout.Spans(r.part.Size, stripe, r.from, r.to) {
			if to[span.Index] == 0 {
				from[span.Index] = stripe
			}
			to[span.Index] = stripe + 1
		}
	}
	// Only the first two and the last two stripes can differ from those between.
	for _, stripe := range [...]int{s, s + 1, r.last - 1, r.last} {
		if stripe >= s && stripe <= r.last {
			mark(stripe)
		}
	}
	for i := range r.layout.K {
		if to[i] > 0 && r.state[i] != chunkGood {
			return false
		}
	}
	for i := range r.layout.K {
		if to[i] > 0 {
			r.start(i, from[i], to[i]-1)
		}
	}
	return true
}

// choose picks K chunks to read, the good before the slow before those that
// seem away, data before parity. For copies it starts at one that depends on the part.
func (r *partReader) choose() []int {
	width := r.layout.Width()
	turn := 0
	if r.layout.K == 1 {
		turn = int(r.part.ID[15]) % width
	}
	chosen := make([]int, 0, r.layout.K)
	for state := chunkGood; state < chunkGone; state++ {
		for n := range width {
			i := (n + turn) % width
			if r.state[i] == state && len(chosen) < r.layout.K {
				chosen = append(chosen, i)
			}
		}
	}
	return chosen
}

func (r *partReader) tooFew(got int) error {
	if r.gone {
		return store.Errorf(store.NotFound, "the file was deleted, and its chunks are removed from their nodes")
	}
	kind := store.Unavailable
	for _, err := range r.causes {
		if k := store.KindOf(err); k == store.Corrupt || k == store.NotFound {
			kind = store.Corrupt
		}
	}
	for _, state := range r.state {
		if state == chunkAway {
			kind = store.Unavailable
		}
	}
	e := store.Errorf(kind, "%d of the %d chunks of part %s can be read, %d are needed: %w", got, r.layout.Width(), r.part.ID, r.layout.K, firstFew(r.causes))
	return e.WithHint("Bring the missing storage nodes back; GET /nodes shows which.")
}

// row is the data units of one stripe.
type row struct {
	data  [][]byte // by index; nil where the range has nothing
	units []store.Unit
}

func (w row) release() {
	for _, u := range w.units {
		u.Release()
	}
}

func (w row) writeTo(out io.Writer, spans []erasure.Span) error {
	for _, s := range spans {
		if _, err := out.Write(w.data[s.Index][s.From:s.To]); err != nil {
			return &store.Error{Kind: store.Canceled, Msg: "the reader went away", Err: err}
		}
	}
	return nil
}

// stripe reads the stripe, which must be the next one. Its bytes stay valid
// until the row is released, and the next call.
func (r *partReader) stripe(s int) (row, error) {
	for {
		got, err := r.collect(s)
		if err == nil {
			return got, nil
		}
		if r.ctx.Err() != nil {
			return row{}, &store.Error{Kind: store.Canceled, Err: r.ctx.Err()}
		}
		if !errors.Is(err, errAgain) {
			return row{}, err
		}
		if err := r.open(s); err != nil {
			return row{}, err
		}
	}
}

// errAgain: a chunk was given up, and the stripe must be read from others.
var errAgain = errors.New("read the stripe from other chunks")

// collect takes the stripe's unit from each source that has one, and rebuilds what is missing.
func (r *partReader) collect(s int) (row, error) {
	width := r.layout.Width()
	got := row{data: r.views[:width], units: make([]store.Unit, 0, r.layout.K)}
	clear(got.data)
	want := r.layout.UnitLen(r.part.Size, s)
	for i, src := range r.sources[:width] {
		if src == nil || s < src.from || s > src.to {
			continue
		}
		u, err := r.await(src)
		if err == nil && len(u.Data) != want {
			err = store.Errorf(store.Corrupt, "unit %d has %d bytes, expected %d", s, len(u.Data), want)
		}
		if err == nil {
			err = r.verify(i, s, u)
		}
		if err != nil {
			u.Release()
			got.release()
			again := r.giveUp(i, err)
			if errors.Is(err, errOtherChunk) && s > r.first {
				return row{}, err // bytes of it have been handed on: the read must not seem to have gone well
			}
			return row{}, again
		}
		got.units = append(got.units, u)
		got.data[i] = u.Data
	}
	if !r.rebuild {
		return got, nil
	}
	if err := r.reconstruct(got.data, s, want); err != nil {
		got.release()
		return row{}, err
	}
	return got, nil
}

// reconstruct fills in the data units that the range needs of the stripe and no source gave.
func (r *partReader) reconstruct(views [][]byte, s, unit int) error {
	wanted := make([]bool, len(views))
	for _, span := range r.layout.Spans(r.part.Size, s, r.from, r.to) {
		wanted[span.Index] = len(views[span.Index]) == 0
		if wanted[span.Index] && r.layout.K > 1 {
			views[span.Index] = r.scratchFor(span.Index)[:0:unit]
		}
	}
	code, err := r.e.code(r.layout.K, r.layout.M)
	if err != nil {
		return err
	}
	return code.Reconstruct(views, wanted)
}

func (r *partReader) scratchFor(index int) []byte {
	if r.scratch == nil {
		r.scratch = make([][]byte, r.layout.K)
	}
	if r.scratch[index] == nil {
		r.scratch[index] = make([]byte, r.layout.UnitSize)
	}
	return r.scratch[index]
}

// await takes the source's next unit. A source that is later than its peers
// usually are is given up for others, as long as there are enough of those.
func (r *partReader) await(src *source) (store.Unit, error) {
	began := time.Now()
	select {
	case got := <-src.units: // the usual case: it ran ahead
		r.e.latency.add(time.Since(began))
		return got.unit, got.err
	default:
	}
	var hedge <-chan time.Time
	if r.spares() > 0 {
		timer := time.NewTimer(r.e.latency.hedge(r.e.cfg.HedgeFloor))
		defer timer.Stop()
		hedge = timer.C
	}
	give := time.NewTimer(r.e.cfg.Stall)
	defer give.Stop()
	select {
	case got := <-src.units:
		r.e.latency.add(time.Since(began))
		return got.unit, got.err
	case <-hedge:
		return store.Unit{}, errSlow
	case <-give.C:
		return store.Unit{}, store.Errorf(store.Unavailable, "the node gave nothing for %v", r.e.cfg.Stall)
	case <-r.ctx.Done():
		return store.Unit{}, r.ctx.Err()
	}
}

// errSlow: a chunk's unit took longer than its peers' usually do.
var errSlow = errors.New("slower than its peers")

// spares counts the good chunks that are not being read.
func (r *partReader) spares() (n int) {
	for i, state := range r.state[:r.layout.Width()] {
		if state == chunkGood && r.sources[i] == nil {
			n++
		}
	}
	return n
}

// giveUp notes why the chunk cannot be read on, tells those who can mend it, and returns errAgain.
func (r *partReader) giveUp(index int, err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if errors.Is(err, errSlow) {
		r.state[index] = chunkSlow
		return errAgain
	}
	node := r.part.Chunks[index].Node
	if r.movedOn(index) {
		return errAgain
	}
	r.state[index] = chunkGone
	r.causes = append(r.causes, &store.Error{Kind: store.KindOf(err), Item: "chunk " + r.part.ChunkID(index).String() + " on node " + node.String(), Err: err})
	switch kind := store.KindOf(err); {
	case r.gone:
	case kind == store.NotFound, kind == store.Corrupt, kind == store.OutOfRange:
		r.e.askRepair(r.part.ChunkID(index), node, err)
	default:
		r.e.fleet.Report(node, err)
	}
	return errAgain
}

// errOtherChunk: the bytes are intact, but not those of the chunk that the metadata means.
var errOtherChunk = store.Errorf(store.Corrupt, "these are the bytes of another chunk")

// verify compares a chunk that is read whole with what the metadata says of it. A node checks each unit against what lies
// beside it, which does not tell that the chunk is the right one. Chunks of one unit, and so all small files, are compared before a
// byte is handed on; of longer ones the last unit is kept back when the others were not the chunk's, and the read fails.
func (r *partReader) verify(index, s int, u store.Unit) error {
	if !r.whole[index] {
		return nil
	}
	r.sums[index] = r.sums[index].Add(u.CRC)
	want := r.part.Chunks[index].Sum
	if s < r.layout.Stripes(r.part.Size)-1 || r.sums[index] == want {
		return nil
	}
	return fmt.Errorf("%w: sum %08x, expected %08x", errOtherChunk, uint32(r.sums[index]), uint32(want))
}

// movedOn reads the part's placements again, once for each chunk that cannot be read: during the read it may
// have been moved, or its file deleted. True if the chunk is somewhere else now.
func (r *partReader) movedOn(index int) bool {
	if r.looked[index] || r.gone {
		return false
	}
	r.looked[index] = true
	now, _, err := r.e.meta.Part(r.ctx, r.part.ID)
	switch {
	case errors.Is(err, store.NotFound):
		r.gone = true
		return false
	case err != nil || len(now.Chunks) < len(r.part.Chunks):
		return false
	}
	was := r.part.Chunks[index]
	r.part.Chunks = now.Chunks[:len(r.part.Chunks)] // a part that was widened is read as it was
	return r.part.Chunks[index] != was && !r.part.Chunks[index].Node.IsZero()
}

// askRepair queues the chunk for repair, in the background.
func (e *Engine) askRepair(id store.ChunkID, node store.NodeID, cause error) {
	e.cfg.Log.Warn("a chunk cannot be read; it is rebuilt from the others and queued for repair", "chunk", id, "node", node, "error", cause)
	e.inBackground(func(ctx context.Context) {
		task := store.Task{Kind: store.Repair, Chunk: id, Node: node, Reason: cause.Error()}
		if err := e.meta.Enqueue(ctx, []store.Task{task}); err != nil {
			e.cfg.Log.Warn("a bad chunk could not be queued for repair", "chunk", id, "node", node, "error", err)
			return
		}
		e.cfg.WakeRepair()
	})
}

func (r *partReader) close() { r.closeSources() }

func (r *partReader) closeSources() {
	for i, src := range r.sources {
		if src != nil {
			src.stop()
			r.sources[i] = nil
		}
	}
}

// start begins to read a chunk's units of the stripes from..to.
func (r *partReader) start(index, from, to int) {
	r.whole[index], r.sums[index] = from == 0 && to == r.layout.Stripes(r.part.Size)-1, 0
	r.sources[index] = r.e.startSource(r.ctx, r.part, index, from, to)
}
