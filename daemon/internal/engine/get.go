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
	f, err := e.meta.File(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case f.State == store.Uploading:
		return nil, store.Errorf(store.Conflict, "file %s is still being uploaded", id).WithHint("Ask for its metadata until its status is complete.")
	case f.State != store.Complete || f.DeleteMarker:
		return nil, store.Errorf(store.NotFound, "file %s does not exist", id)
	}
	return &Object{e: e, file: f}, nil
}

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
	if off < 0 || n < 0 || off+n > o.file.Size || off+n < off {
		return store.Errorf(store.OutOfRange, "bytes %d to %d of a file of %d bytes", off, off+n, o.file.Size)
	}
	o.e.reading.Add(1)
	defer o.e.reading.Add(-1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := int64(0)
	for _, p := range o.file.Parts {
		from, to := max(off-begin, 0), min(off+n-begin, p.Size)
		begin += p.Size
		if from >= to {
			continue
		}
		if err := o.e.writePart(ctx, w, p, from, to); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes the bytes [from, to) of a part.
func (e *Engine) writePart(ctx context.Context, w io.Writer, p store.Part, from, to int64) error {
	r, err := e.newPartReader(ctx, p, from, to)
	if err != nil {
		return err
	}
	defer r.close()
	for s := r.first; s <= r.last; s++ {
		row, err := r.stripe(s)
		if err != nil {
			return err
		}
		err = row.writeTo(w, r.layout.Spans(p.Size, s, from, to))
		row.release()
		if err != nil {
			return err
		}
	}
	return nil
}
