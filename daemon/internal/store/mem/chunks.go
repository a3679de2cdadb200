// Package mem implements the contracts of package store in memory: fakes that
// pass the same suites as the disk and the databases, and fail on request. For tests.
package mem

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// unlimited is the capacity of a place without a limit, far below an overflow.
const unlimited = 1 << 50

// Chunks keeps chunks in memory. It is a whole chunk.Store, and passes
// chunktest; what a test does to it beyond that is in chunks_fault.go.
// All methods are safe for concurrent use.
type Chunks struct {
	mu      sync.Mutex // guards the fields up to the blank line; held for map work only, never in a hook
	chunks  map[store.ChunkID]*storedChunk
	limit   int64 // bytes that may be kept
	used    int64 // bytes kept
	claimed int64 // bytes that open writers hold
	disk    store.Disk
	hook    Hook

	lent atomic.Int64 // units that readers returned and that are not released yet
}

// chunk never changes once it is in the map, except under CorruptUnit, which puts another one there.
type storedChunk struct {
	info  chunk.Info
	units []chunk.Unit // Owner is nil
}

var (
	_ chunk.Store       = (*Chunks)(nil)
	_ chunk.Verifier    = (*Chunks)(nil)
	_ chunk.SmallPutter = (*Chunks)(nil)
	_ chunk.ManyDeleter = (*Chunks)(nil)
)

// NewChunks returns an empty place without a limit.
func NewChunks() *Chunks {
	return &Chunks{chunks: make(map[store.ChunkID]*storedChunk), limit: unlimited}
}

// Create implements chunk.WriterOpener.
func (c *Chunks) Create(ctx context.Context, spec chunk.Spec) (chunk.Writer, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if err := c.ask(ctx, Call{Op: OpCreate, ID: spec.ID}); err != nil {
		return nil, err
	}
	if err := c.claim(0); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &writer{c: c, ctx: ctx, cancel: cancel, spec: spec}, nil
}

// PutSmall implements chunk.SmallPutter.
func (c *Chunks) PutSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	w, err := c.Create(ctx, spec)
	if err != nil {
		u.Release()
		return chunk.Info{}, err
	}
	defer w.Abort()
	if err := w.Append(u); err != nil {
		return chunk.Info{}, err
	}
	return w.Commit(label)
}

// Open implements chunk.ReaderOpener.
func (c *Chunks) Open(ctx context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	if err := c.ask(ctx, Call{Op: OpOpen, ID: id}); err != nil {
		return nil, err
	}
	k, err := c.lookup(id)
	if err != nil {
		return nil, err
	}
	if first < 0 || first >= len(k.units) {
		return nil, store.Errorf(store.OutOfRange, "unit %d of %d", first, len(k.units)).WithItem(id)
	}
	end := len(k.units)
	if count >= 0 && count < end-first {
		end = first + count
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &reader{c: c, ctx: ctx, cancel: cancel, id: id, next: first, units: k.units[:end]}, nil
}

// Stat implements chunk.Keeper.
func (c *Chunks) Stat(ctx context.Context, id store.ChunkID) (chunk.Info, error) {
	if err := c.ask(ctx, Call{Op: OpStat, ID: id}); err != nil {
		return chunk.Info{}, err
	}
	k, err := c.lookup(id)
	if err != nil {
		return chunk.Info{}, err
	}
	return k.info, nil
}

// Delete implements chunk.Keeper.
func (c *Chunks) Delete(ctx context.Context, id store.ChunkID) error {
	if err := c.ask(ctx, Call{Op: OpDelete, ID: id}); err != nil {
		return err
	}
	c.mu.Lock()
	disk := c.disk
	c.mu.Unlock()
	if disk.State != store.DiskOK && disk.State != store.DiskFull {
		return store.Errorf(store.Unavailable, "the disk is %s: %s", disk.State, disk.Reason)
	}
	c.Drop(id)
	return nil
}

// DeleteMany implements chunk.ManyDeleter. A hook is called for each chunk.
func (c *Chunks) DeleteMany(ctx context.Context, ids []store.ChunkID) []error {
	return chunk.DeleteEach(ctx, c, ids)
}

// List implements chunk.Keeper.
func (c *Chunks) List(ctx context.Context, after store.ChunkID, limit int) ([]chunk.Listed, error) {
	if err := c.ask(ctx, Call{Op: OpList, ID: after}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var listed []chunk.Listed
	for id, k := range c.chunks {
		if after == (store.ChunkID{}) || id.Compare(after) > 0 {
			listed = append(listed, chunk.Listed{ID: id, Sum: k.info.Sum})
		}
	}
	slices.SortFunc(listed, func(a, b chunk.Listed) int { return a.ID.Compare(b.ID) })
	return listed[:min(max(limit, 0), len(listed))], nil
}

// Capacity implements chunk.Keeper.
func (c *Chunks) Capacity(ctx context.Context) (store.Capacity, error) {
	if err := c.ask(ctx, Call{Op: OpCapacity}); err != nil {
		return store.Capacity{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	space := store.Capacity{
		Total:  c.limit,
		Used:   c.used,
		Free:   max(c.limit-c.used-c.claimed, 0),
		Chunks: int64(len(c.chunks)),
		Disk:   c.disk,
	}
	switch {
	case !c.disk.Writable():
		space.Free = 0
	case space.Free == 0:
		space.Disk = store.Disk{State: store.DiskFull, Reason: "the limit is used up"}
	}
	return space, nil
}

// Verify implements chunk.Verifier.
func (c *Chunks) Verify(ctx context.Context, id store.ChunkID) error {
	if err := c.ask(ctx, Call{Op: OpVerify, ID: id}); err != nil {
		return err
	}
	k, err := c.lookup(id)
	if err != nil {
		return err
	}
	for _, u := range k.units {
		if err := u.Check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chunks) lookup(id store.ChunkID) (*storedChunk, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.chunks[id]
	if !ok {
		return nil, store.Errorf(store.NotFound, "no such chunk").WithItem(id)
	}
	return k, nil
}

// claim reserves n bytes for a writer, or returns NoSpace; a full place refuses even 0 bytes.
func (c *Chunks) claim(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.disk.State {
	case store.DiskOK:
	case store.DiskFull:
		return store.Errorf(store.NoSpace, "%s", c.disk.Reason)
	default:
		return store.Errorf(store.Unavailable, "the disk is %s: %s", c.disk.State, c.disk.Reason)
	}
	if free := c.limit - c.used - c.claimed; free <= 0 || n > free {
		return store.Errorf(store.NoSpace, "%d bytes do not fit into the %d that are free", n, max(free, 0))
	}
	c.claimed += n
	return nil
}

func (c *Chunks) unclaim(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimed -= n
}

// show makes the chunk visible under its id, or finds the one that exists already.
// The bytes that its writer claimed are free or used from then on.
func (c *Chunks) show(k *storedChunk) (chunk.Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimed -= k.info.Size
	if old, ok := c.chunks[k.info.ID]; ok {
		if !old.info.Matches(k.info.Size, k.info.Sum) {
			return chunk.Info{}, store.Errorf(store.Exists, "a chunk with another sum is there").WithItem(k.info.ID)
		}
		return old.info, nil
	}
	c.chunks[k.info.ID] = k
	c.used += k.info.Size
	return k.info, nil
}

// writer is a chunk.Writer. Its fields belong to the goroutine that
// writes; Abort, which any goroutine may call, only cancels ctx and returns the claim.
type writer struct {
	c      *Chunks
	ctx    context.Context
	cancel context.CancelCauseFunc
	spec   chunk.Spec
	units  []chunk.Unit
	size   int64
	sum    store.ChunkSum
	failed error // of an earlier step: sticky

	mu      sync.Mutex // guards the fields below
	claimed int64      // bytes
	ended   bool       // by Commit or Abort
}

var errEnded error = store.Errorf(store.Canceled, "the write was ended before")

func (w *writer) Append(u chunk.Unit) error {
	defer u.Release()
	if w.failed == nil {
		w.failed = w.append(u)
	}
	return w.failed
}

func (w *writer) append(u chunk.Unit) error {
	if err := w.c.ask(w.ctx, Call{Op: OpAppend, ID: w.spec.ID, Unit: len(w.units)}); err != nil {
		return err
	}
	if err := w.spec.CheckUnit(u, w.size); err != nil {
		return err
	}
	if err := u.Check(); err != nil {
		return err
	}
	if err := w.claim(int64(len(u.Data))); err != nil {
		return err
	}
	w.units = append(w.units, chunk.Unit{Data: slices.Clone(u.Data), CRC: u.CRC})
	w.size += int64(len(u.Data))
	w.sum = w.sum.Add(u.CRC)
	return nil
}

func (w *writer) claim(n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return errEnded
	}
	if err := w.c.claim(n); err != nil {
		return err
	}
	w.claimed += n
	return nil
}

func (w *writer) Commit(label chunk.Label) (chunk.Info, error) {
	defer w.Abort() // frees the writer's claim; the chunk stays
	if w.failed == nil {
		w.failed = w.c.ask(w.ctx, Call{Op: OpCommit, ID: w.spec.ID, Unit: len(w.units)})
	}
	switch {
	case w.failed != nil:
		return chunk.Info{}, w.failed
	case len(w.units) == 0:
		return chunk.Info{}, store.Errorf(store.Invalid, "a chunk without units").WithItem(w.spec.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return chunk.Info{}, errEnded
	}
	w.claimed = 0
	return w.c.show(&storedChunk{units: w.units, info: chunk.Info{
		ID:       w.spec.ID,
		Size:     w.size,
		UnitSize: w.spec.UnitSize,
		Sum:      w.sum,
		StoredAt: time.Now().Unix(),
		Label:    label,
	}})
}

func (w *writer) Abort() {
	w.cancel(errEnded)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		w.c.unclaim(w.claimed)
	}
}

// reader is a chunk.Reader. Its fields belong to the goroutine that reads; Close only cancels ctx.
type reader struct {
	c      *Chunks
	ctx    context.Context
	cancel context.CancelCauseFunc
	id     store.ChunkID
	next   int          // number of the next unit
	units  []chunk.Unit // from the chunk's first to the last that was asked for
}

var errClosed error = store.Errorf(store.Canceled, "the reader was closed")

func (r *reader) Next() (chunk.Unit, error) {
	if r.next >= len(r.units) {
		if err := ended(r.ctx); err != nil {
			return chunk.Unit{}, err
		}
		return chunk.Unit{}, io.EOF
	}
	if err := r.c.ask(r.ctx, Call{Op: OpNext, ID: r.id, Unit: r.next}); err != nil {
		return chunk.Unit{}, err
	}
	u := r.units[r.next]
	if err := u.Check(); err != nil {
		r.units = r.units[:r.next]
		return chunk.Unit{}, err
	}
	r.next++
	r.c.lent.Add(1)
	return chunk.Unit{Data: slices.Clone(u.Data), CRC: u.CRC, Owner: lentUnit{&r.c.lent}}, nil
}

func (r *reader) Close() error {
	r.cancel(errClosed)
	return nil
}

// lentUnit counts a unit as released.
type lentUnit struct{ lent *atomic.Int64 }

func (l lentUnit) Release() { l.lent.Add(-1) }

// ended returns the error of an ended context: the cause that Abort or Close set, or the context's own.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, errEnded) || errors.Is(cause, errClosed) {
		return cause
	}
	return ctx.Err()
}
