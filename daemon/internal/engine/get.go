package engine

import (
	"context"
	"io"
	"iter"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// Object is a file opened for reading. It need not be closed.
type Object struct {
	e    *Engine
	file store.File
}

// File returns the file.
func (o *Object) File() store.File { return o.file }

// Open finds a complete file by its id. NotFound; Conflict while it is uploading.
func (e *Engine) Open(ctx context.Context, id store.FileID) (*Object, error) {
	return e.open(ctx, id, "")
}

// Resume is Open for a further request of a read that has started before, which the caller proves by the file's ETag: until the
// grace is over, a file that was deleted or replaced meanwhile can still be read.
func (e *Engine) Resume(ctx context.Context, id store.FileID, etag string) (*Object, error) {
	return e.open(ctx, id, etag)
}

func (e *Engine) open(ctx context.Context, id store.FileID, etag string) (*Object, error) {
	f, err := e.meta.File(ctx, id)
	switch {
	case err == nil && f.State == store.Deleted && etag != "" && etag == f.ETag && !f.CompletedAt.IsZero() && !f.DeleteMarker:
		return &Object{e: e, file: f}, nil
	case isGone(f, err):
		return nil, noFile(id)
	case err != nil:
		return nil, err
	case f.State == store.Uploading:
		return nil, store.Errorf(store.Conflict, "file %s is still being uploaded", id).WithHint("Query its metadata until its status is completed.")
	case f.State != store.Complete || f.DeleteMarker:
		return nil, noFile(id)
	}
	return &Object{e: e, file: f}, nil
}

func noFile(id store.FileID) error { return store.Errorf(store.NotFound, "file %s does not exist", id) }

// OpenLatest finds the latest file of a key. NotFound.
func (e *Engine) OpenLatest(ctx context.Context, b store.BucketName, k store.Key) (*Object, error) {
	f, err := e.meta.LatestFile(ctx, b, k)
	if err != nil {
		return nil, err
	}
	return &Object{e: e, file: f}, nil
}

// WriteRange writes the n bytes from off to w, directly from the buffers in which
// they arrived, each unit checked against its CRC32C. Nothing is written before
// the whole first stripe was read, so that an early error can still be reported to the client;
// after a later error w has only some of the bytes.
//
// Errors: OutOfRange, and those of stripe.Reader.Stripe.
func (o *Object) WriteRange(ctx context.Context, w io.Writer, off, n int64) error {
	if err := o.validRange(off, n); err != nil {
		return err
	}
	return o.e.writePieces(ctx, w, o.pieces(ctx, off, off+n))
}

// piece is the bytes [from, to) of one part.
type piece struct {
	part     store.Part
	from, to int64
}

// pieces cuts the range [from, to) of the file at the borders of its parts. Pages of parts are read as they are needed.
func (o *Object) pieces(ctx context.Context, from, to int64) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		if from >= to {
			return
		}
		for p, err := range store.PartsFrom(ctx, o.e.meta, o.file, from) {
			if err != nil {
				yield(piece{}, err)
				return
			}
			f, t := max(from-p.Start, 0), min(to-p.Start, p.Size)
			if f < t && !yield(piece{p.Part, f, t}, nil) || p.Start+p.Size >= to {
				return // before the next page is read
			}
		}
	}
}

// writePieces writes the pieces one after the other. The chunks of the next piece are
// opened before the last stripe of the current one is written, so that the borders of parts cost no round trip.
func (e *Engine) writePieces(ctx context.Context, w io.Writer, pieces iter.Seq2[piece, error]) error {
	var r *stripe.Reader // of the last piece that was opened: its last stripe is not written yet
	defer func() {
		if r != nil {
			r.Close()
		}
	}()
	for p, err := range pieces {
		if err != nil {
			return err
		}
		next, err := e.io.Read(ctx, p.part, p.from, p.to)
		if err != nil {
			return err
		}
		if err := writeLast(w, r); err != nil {
			next.Close()
			return err
		}
		r = next
		first, last := r.Stripes()
		for s := first; s < last; s++ {
			if err := r.Stripe(w, s); err != nil {
				return err
			}
		}
	}
	return writeLast(w, r)
}

// writeLast writes the last stripe of a reader, if it is not nil, and closes it.
func writeLast(w io.Writer, r *stripe.Reader) error {
	if r == nil {
		return nil
	}
	defer r.Close()
	_, last := r.Stripes()
	return r.Stripe(w, last)
}

func (o *Object) validRange(off, n int64) error {
	if off < 0 || n < 0 || off+n > o.file.Size || off+n < off {
		return store.Errorf(store.OutOfRange, "bytes %d to %d of a file of %d bytes", off, off+n, o.file.Size)
	}
	return nil
}
