package engine

import (
	"context"
	"io"

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
		return nil, store.Errorf(store.Conflict, "file %s is still being uploaded", id).WithHint("Query its metadata until its status is complete.")
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
	return o.e.writePieces(ctx, w, piecesOf(o.file.Parts, off, off+n))
}

// piece is the bytes [from, to) of one part.
type piece struct {
	part     store.Part
	from, to int64
}

// piecesOf cuts the range [from, to) of a file at the borders of its parts.
func piecesOf(parts []store.Part, from, to int64) (pieces []piece) {
	start := int64(0)
	for _, p := range parts {
		f, t := max(from-start, 0), min(to-start, p.Size)
		start += p.Size
		if f < t {
			pieces = append(pieces, piece{p, f, t})
		}
	}
	return pieces
}

// writePieces writes the pieces one after the other. The chunks of the next piece are
// opened before the last stripe of the current one is written, so that the borders of parts cost no round trip.
func (e *Engine) writePieces(ctx context.Context, w io.Writer, pieces []piece) (err error) {
	var r, next *stripe.Reader
	defer func() {
		for _, open := range []*stripe.Reader{r, next} {
			if open != nil {
				open.Close()
			}
		}
	}()
	for i, p := range pieces {
		if r = next; r == nil {
			if r, err = e.io.Read(ctx, p.part, p.from, p.to); err != nil {
				return err
			}
		}
		next = nil
		first, last := r.Stripes()
		for s := first; s <= last; s++ {
			if s == last && i+1 < len(pieces) {
				ahead := pieces[i+1]
				if next, err = e.io.Read(ctx, ahead.part, ahead.from, ahead.to); err != nil {
					return err
				}
			}
			if err := r.Stripe(w, s); err != nil {
				return err
			}
		}
		r.Close()
	}
	return nil
}

func (o *Object) validRange(off, n int64) error {
	if off < 0 || n < 0 || off+n > o.file.Size || off+n < off {
		return store.Errorf(store.OutOfRange, "bytes %d to %d of a file of %d bytes", off, off+n, o.file.Size)
	}
	return nil
}
