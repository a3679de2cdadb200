package stripe

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Reader returns a range of a part stripe by stripe, in order. Each chunk that is
// read has a source that reads ahead. As long as nothing fails, only the units that the
// range covers are read. When a chunk is missing, damaged or slow, the reader
// restarts at that stripe with any K chunks, and reconstructs the others.
//
// It is used by one goroutine. Close must be called.
type Reader struct {
	io     *IO
	ctx    context.Context
	cancel context.CancelFunc
	part   store.Part
	layout erasure.Layout
	chunks []int // the chunks that are read, ascending; none: the bytes from..to
	from   int64 // the range is [from, to) of the part
	to     int64
	first  int // stripes, both included
	last   int
	state  [store.MaxChunksPerPart]chunkState
	looked [store.MaxChunksPerPart]bool // the placements were read again because of this chunk
	gone   bool                         // the part was deleted from the metadata
	sums   [store.MaxChunksPerPart]store.ChunkSum
	whole  [store.MaxChunksPerPart]bool // the chunk is read from its first to its last unit; sums has the sum so far
	causes []error                      // why chunks were abandoned

	sources     [store.MaxChunksPerPart]*source
	reconstruct bool                                    // the sources are any K chunks, not only the units of the range
	scratch     [store.MaxChunksPerPart]*bufpool.Buffer // for reconstructed units, by index; reused for each stripe
	views       [store.MaxChunksPerPart][]byte
	closed      bool
}

// chunkState orders chunks by preference for reading.
type chunkState uint8

const (
	chunkGood   chunkState = iota
	chunkSlow              // slower than its peers
	chunkAway              // its node cannot be reached, by the current view
	chunkFailed            // missing, damaged, or failed in this read
)

// Read opens a reader of the bytes [from, to) of the part, which must not be empty. Errors: those of Reader.WriteTo.
func (o *IO) Read(ctx context.Context, p store.Part, from, to int64) (*Reader, error) {
	l := erasure.LayoutOf(p)
	r := o.newReader(ctx, p, l)
	r.from, r.to = from, to
	r.first = int(from / int64(l.StripeSize()))
	r.last = int((to - 1) / int64(l.StripeSize()))
	return r.begin()
}

// ReadChunks opens a reader of whole chunks of the part: each is read from its node where that is possible, and all others are
// reconstructed from one read of any K chunks. Chunks that are lost are not read where the metadata places them.
func (o *IO) ReadChunks(ctx context.Context, p store.Part, chunks, lost store.ChunkSet) (*Reader, error) {
	r := o.newReader(ctx, p, erasure.LayoutOf(p))
	r.chunks = chunks.Indexes()
	r.to = p.Size
	r.last = r.layout.Stripes(p.Size) - 1
	for _, i := range lost.Indexes() {
		r.state[i] = chunkFailed
		r.looked[i] = true
	}
	return r.begin()
}

func (o *IO) newReader(ctx context.Context, p store.Part, l erasure.Layout) *Reader {
	r := &Reader{io: o, part: p, layout: l}
	r.ctx, r.cancel = context.WithCancel(ctx)
	view := o.cfg.Fleet.View()
	for i, c := range p.Chunks {
		m, known := view.Member(c.Node)
		switch {
		case c.Node.IsZero():
			r.state[i] = chunkFailed
		case !known || m.Status != cluster.Online:
			r.state[i] = chunkAway
		}
	}
	o.readers.Add(1)
	return r
}

func (r *Reader) begin() (*Reader, error) {
	// Of copies any will do, and choose begins with one that depends on the part, to distribute the load.
	r.reconstruct = r.layout.K == 1 && len(r.chunks) == 0
	if err := r.open(r.first); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close ends the reader. It does not wait for calls to nodes that are in progress. It may be called more than once.
func (r *Reader) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.cancel()
	r.closeSources()
	for _, b := range r.scratch {
		if b != nil {
			b.Release()
		}
	}
	r.io.readers.Add(-1)
}

// Stripes returns the numbers of the first and the last stripe of the range.
func (r *Reader) Stripes() (first, last int) { return r.first, r.last }

// Stripe writes the bytes that the range covers of one stripe to w, directly from the buffers in which they arrived.
// The stripe must be the one after that of the last call. Nothing is written unless the whole stripe was read.
//
// Errors: Unavailable (too few nodes can be reached), Corrupt (too few
// chunks are intact), NotFound (the file was deleted and its chunks were removed), Canceled (ctx ended, or w failed).
func (r *Reader) Stripe(w io.Writer, s int) error {
	got, err := r.read(s)
	if err != nil {
		return err
	}
	defer got.release()
	for _, span := range r.spans(s) {
		if _, err := w.Write(got.data[span.Index][span.From:span.To]); err != nil {
			return &store.Error{Kind: store.Canceled, Msg: "the reader closed the connection", Err: err}
		}
	}
	return nil
}

// Units returns the stripe's units of the chunks that ReadChunks opened, by index; those of other chunks are empty. The stripe
// must be the one after that of the last call. The caller releases the units. Errors: those of Stripe.
func (r *Reader) Units(s int) ([]chunk.Unit, error) {
	got, err := r.read(s)
	if err != nil {
		return nil, err
	}
	defer got.release()
	units := make([]chunk.Unit, r.layout.Width())
	for _, i := range r.chunks {
		units[i] = r.take(got, units, i)
	}
	return units, nil
}

// take returns the chunk's unit in the memory in which it, or another copy of it, arrived or was reconstructed. Units
// that were taken before may be in the same memory.
func (r *Reader) take(got row, taken []chunk.Unit, index int) chunk.Unit {
	data := got.data[index]
	same := func(u chunk.Unit) bool { return len(u.Data) > 0 && &u.Data[0] == &data[0] }
	if i := slices.IndexFunc(taken, same); i >= 0 {
		return share(taken[i])
	}
	if i := slices.IndexFunc(got.units, same); i >= 0 {
		u := got.units[i]
		got.units[i] = chunk.Unit{}
		return u
	}
	buf := r.scratch[index]
	r.scratch[index] = nil // the unit owns it now
	return chunk.NewUnit(data, buf)
}

// spans are the runs of units that the range has of a stripe.
func (r *Reader) spans(stripe int) []erasure.Span {
	if len(r.chunks) > 0 {
		spans := make([]erasure.Span, len(r.chunks))
		for n, i := range r.chunks {
			spans[n] = erasure.Span{Index: i, To: r.layout.UnitLen(r.part.Size, stripe)}
		}
		return spans
	}
	return r.layout.Spans(r.part.Size, stripe, r.from, r.to)
}

// open starts sources for the stripes from s on.
func (r *Reader) open(s int) error {
	r.closeSources()
	if !r.reconstruct && r.openRange(s) {
		return nil
	}
	r.reconstruct = true
	chosen := r.choose()
	if len(chosen) < r.layout.K {
		return r.tooFew(len(chosen))
	}
	for _, i := range chosen {
		r.start(i, s, r.last)
	}
	return nil
}

// openRange starts a source for each chunk that the range covers, for those stripes only in which
// it does. It starts none and returns false when one of these chunks is not good.
func (r *Reader) openRange(s int) bool {
	var from, to [store.MaxChunksPerPart]int // stripes [from, to) of each chunk
	// Only the first two and the last two stripes can differ from those between.
	for _, stripe := range [...]int{s, s + 1, r.last - 1, r.last} {
		if stripe < s || stripe > r.last {
			continue
		}
		for _, span := range r.spans(stripe) {
			if to[span.Index] == 0 {
				from[span.Index] = stripe
			}
			to[span.Index] = stripe + 1
		}
	}
	width := r.layout.Width()
	for i := range width {
		if to[i] > 0 && r.state[i] != chunkGood {
			return false
		}
	}
	for i := range width {
		if to[i] > 0 {
			r.start(i, from[i], to[i]-1)
		}
	}
	return true
}

// choose selects up to K chunks to read: good ones before slow ones before those that
// are away, data before parity. A range of copies starts with a copy that depends on the part.
func (r *Reader) choose() []int {
	width := r.layout.Width()
	turn := 0
	if r.layout.K == 1 && len(r.chunks) == 0 {
		turn = int(r.part.ID[15]) % width
	}
	chosen := make([]int, 0, r.layout.K)
	for state := chunkGood; state < chunkFailed; state++ {
		for n := range width {
			i := (n + turn) % width
			if r.state[i] == state && len(chosen) < r.layout.K {
				chosen = append(chosen, i)
			}
		}
	}
	return chosen
}

// start starts the source of a chunk for the stripes from..to.
func (r *Reader) start(index, from, to int) {
	r.whole[index], r.sums[index] = from == 0 && to == r.layout.Stripes(r.part.Size)-1, 0
	r.sources[index] = r.io.startSource(r.ctx, r.part, index, from, to)
}

func (r *Reader) closeSources() {
	for i, src := range r.sources {
		if src != nil {
			src.stop()
			r.sources[i] = nil
		}
	}
}

// row is one stripe as it was read.
type row struct {
	data  [][]byte     // by chunk; empty where nothing was read or needed. Valid until the next stripe is read
	units []chunk.Unit // the memory of data
}

func (w row) release() {
	for _, u := range w.units {
		u.Release()
	}
}

// read reads the stripe, from other chunks where some cannot be read.
func (r *Reader) read(s int) (row, error) {
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

// collect takes the stripe's unit from each source that has one, and reconstructs the units that are missing.
func (r *Reader) collect(s int) (row, error) {
	width := r.layout.Width()
	got := row{data: r.views[:width], units: make([]chunk.Unit, 0, r.layout.K)}
	clear(got.data)
	want := r.layout.UnitLen(r.part.Size, s)
	for i, src := range r.sources[:width] {
		if src == nil || s < src.from || s > src.to {
			continue
		}
		u, err := r.await(src)
		if err == nil {
			err = r.verify(i, s, u, want)
		}
		if err != nil {
			u.Release()
			got.release()
			again := r.abandon(i, err)
			if errors.Is(err, errOtherChunk) && s > r.first {
				return row{}, err // its earlier bytes were delivered: the read must fail
			}
			return row{}, again
		}
		got.units = append(got.units, u)
		got.data[i] = u.Data
	}
	if !r.reconstruct {
		return got, nil
	}
	if err := r.complete(got.data, s, want); err != nil {
		got.release()
		return row{}, err
	}
	return got, nil
}

// complete reconstructs the units that the range covers in the stripe and no source delivered.
func (r *Reader) complete(views [][]byte, s, unit int) error {
	var wanted [store.MaxChunksPerPart]bool
	for _, span := range r.spans(s) {
		wanted[span.Index] = len(views[span.Index]) == 0
		if wanted[span.Index] && r.layout.K > 1 {
			views[span.Index] = r.scratchFor(span.Index)[:0:unit]
		}
	}
	code, err := r.io.Code(r.layout.K, r.layout.M)
	if err != nil {
		return err
	}
	return code.Reconstruct(views, wanted[:len(views)])
}

func (r *Reader) scratchFor(index int) []byte {
	if r.scratch[index] == nil {
		r.scratch[index] = r.io.cfg.Buffers.Lend(r.layout.UnitSize)
	}
	return r.scratch[index].Data
}
