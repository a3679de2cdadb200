package engine

import (
	"context"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Object is a file opened for reading. It holds nothing that must be closed.
type Object struct {
	e    *Engine
	file store.File
}

// File tells what the object is.
func (o *Object) File() store.File { return o.file }

// Open finds a complete file by its id. NotFound; Conflict while it is uploading.
func (e *Engine) Open(ctx context.Context, id store.FileID) (*Object, error) {
	return e.open(ctx, id, "")
}

// Resume is Open for a read of several requests that has begun before, which it proves by the file's ETag: until the
// grace is over it continues although the file was deleted or replaced meanwhile.
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
		return nil, store.Errorf(store.Conflict, "file %s is still being uploaded", id).WithHint("Ask for its metadata until its status is complete.")
	case f.State != store.Complete || f.DeleteMarker:
		return nil, noFile(id)
	}
	return &Object{e: e, file: f}, nil
}

func noFile(id store.FileID) error { return store.Errorf(store.NotFound, "file %s does not exist", id) }

// OpenLatest finds what a key shows. NotFound.
func (e *Engine) OpenLatest(ctx context.Context, b store.BucketName, k store.Key) (*Object, error) {
	f, err := e.meta.LatestFile(ctx, b, k)
	if err != nil {
		return nil, err
	}
	return &Object{e: e, file: f}, nil
}

// WriteRange writes the n bytes from off on to w, straight from the buffers
// they arrived in, each checked against its CRC32C. Nothing is written before
// the first stripe was read well, so that an early error can still become an answer of
// its own; an error after that leaves w cut short.
//
// Errors: OutOfRange, Unavailable (too few nodes can be reached), Corrupt (too few
// chunks are whole), Canceled (ctx, or w failed).
func (o *Object) WriteRange(ctx context.Context, w io.Writer, off, n int64) error {
	if err := o.validRange(off, n); err != nil {
		return err
	}
	o.e.reading.Add(1)
	defer o.e.reading.Add(-1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return o.e.writePieces(ctx, w, piecesOf(o.file.Parts, off, off+n))
}

// piece is what a read wants of one part: its bytes [from, to).
type piece struct {
	part     store.Part
	from, to int64
}

// piecesOf cuts the range [from, to) of a file at the borders of its parts.
func piecesOf(parts []store.Part, from, to int64) (pieces []piece) {
	begin := int64(0)
	for _, p := range parts {
		f, t := max(from-begin, 0), min(to-begin, p.Size)
		begin += p.Size
		if f < t {
			pieces = append(pieces, piece{p, f, t})
		}
	}
	return pieces
}

// writePieces writes the pieces one after the other. The next one's chunks are
// opened while the last stripe of the one before goes out, so that the borders of parts cost no round trip.
func (e *Engine) writePieces(ctx context.Context, w io.Writer, pieces []piece) (err error) {
	var r, next *partReader
	defer func() {
		for _, open := range []*partReader{r, next} {
			if open != nil {
				open.close()
			}
		}
	}()
	for i, p := range pieces {
		if r = next; r == nil {
			if r, err = e.newPartReader(ctx, p.part, p.from, p.to); err != nil {
				return err
			}
		}
		next = nil
		for s := r.first; s <= r.last; s++ {
			if s == r.last && i+1 < len(pieces) {
				ahead := pieces[i+1]
				if next, err = e.newPartReader(ctx, ahead.part, ahead.from, ahead.to); err != nil {
					return err
				}
			}
			if err := r.write(w, s); err != nil {
				return err
			}
		}
		r.close()
	}
	return nil
}

// write writes what the range has of one stripe, which must be the next one.
func (r *partReader) write(w io.Writer, s int) error {
	row, err := r.stripe(s)
	if err != nil {
		return err
	}
	defer row.release()
	return row.writeTo(w, r.layout.Spans(r.part.Size, s, r.from, r.to))
}

func (o *Object) validRange(off, n int64) error {
	if off < 0 || n < 0 || off+n > o.file.Size || off+n < off {
		return store.Errorf(store.OutOfRange, "bytes %d to %d of a file of %d bytes", off, off+n, o.file.Size)
	}
	return nil
}
