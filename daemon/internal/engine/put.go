package engine

import (
	"context"
	"encoding/hex"
	"io"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// PutRequest is one upload.
type PutRequest struct {
	Bucket      store.BucketName
	Key         store.Key
	Size        int64 // bytes the body will have, or -1 when unknown
	ContentType string
	Meta        map[string]string
	WantSHA256  bool
	// Verify is called once all bytes are in, before anything becomes visible;
	// an error fails the put and is returned as it is. May be nil.
	Verify func(Sums) error
	Body   io.Reader // read to its end, from one goroutine, until Put returns
}

// Put stores the body as a new file and makes it the latest of its key. When it
// returns nil the file is durable, on as many nodes as its bucket asks for (or
// on fewer, with repairs queued, as long as it survives the loss of one more), and visible.
// On an error nothing became visible, except where the kind is Unavailable with
// the metadata store lost during the commit: then the outcome is open, and says so.
//
// Errors: Invalid, NotFound (bucket), TooLarge, NoSpace, Unavailable, NoQuorum,
// Canceled, what Verify returned.
func (e *Engine) Put(ctx context.Context, r PutRequest) (store.File, error) {
	up, err := e.begin(ctx, r)
	if err != nil {
		return store.File{}, err
	}
	// The copies' layout holds small bodies in less memory; when the size is not known it may be a large one.
	l := up.plan.striped
	if r.Size >= 0 && r.Size <= e.cfg.CopyBelow {
		l = up.plan.copies
	}
	first, err := up.in.next(ctx, e.pool, l)
	if err != nil {
		return store.File{}, err
	}
	switch {
	case up.in.ended && up.in.total == 0:
		first.Release()
		err = up.verify()
	case up.in.ended && up.in.total <= e.cfg.CopyBelow:
		err = up.sendCopies(ctx, first)
	default:
		err = up.sendStripes(ctx, first)
	}
	if err != nil {
		up.discard(err)
		return store.File{}, err
	}
	return up.commit(ctx)
}

// upload is a put under way.
type upload struct {
	e    *Engine
	req  PutRequest
	in   *intake
	plan *plan
	file store.File

	tidy   []store.Part // parts whose chunks may have become durable on nodes
	strays []store.Task // chunks that may lie where the file does not have them
	begun  bool         // BeginFile has written the file down
}

// begin checks the request against everything that can be known before its first byte.
func (e *Engine) begin(ctx context.Context, r PutRequest) (*upload, error) {
	if err := r.Bucket.Validate(); err != nil {
		return nil, err
	}
	if err := r.Key.Validate(); err != nil {
		return nil, err
	}
	if r.Size > e.cfg.MaxFileSize {
		return nil, tooLarge(e.cfg.MaxFileSize)
	}
	bucket, err := e.bucket(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	p, err := e.planFor(bucket)
	if err != nil {
		return nil, err
	}
	id := store.NewFileID()
	return &upload{
		e: e, req: r, plan: p, in: newIntake(r, e.cfg.MaxFileSize),
		file: store.File{
			ID: id, Bucket: r.Bucket, Key: r.Key, Size: r.Size, ContentType: r.ContentType, Meta: r.Meta,
			CreatedAt: time.Now().UTC().Truncate(time.Microsecond), ETag: hex.EncodeToString(id[:]),
		},
	}, nil
}

// newPart places a part of the layout. Its size is filled in once it is known.
func (u *upload) newPart(l erasure.Layout) store.Part {
	p := store.Part{ID: store.NewPartID(), Number: 1, K: l.K, M: l.M, UnitSize: l.UnitSize}
	p.Chunks = make([]store.Placement, l.Width())
	for i, n := range u.plan.place(p.ID, l.Width()) {
		p.Chunks[i].Node = n
	}
	return p
}

// beginAbove is the size from which on an upload is written down before its
// end: smaller ones are over before anybody could ask for them, and would pay a
// second metadata transaction.
const beginAbove = 16 << 20

// sendStripes encodes and sends the body stripe by stripe, the first of which was read.
func (u *upload) sendStripes(ctx context.Context, first *erasure.Stripe) error {
	l := u.plan.striped
	code, err := u.e.code(l.K, l.M)
	if err != nil {
		first.Release()
		return err
	}
	part := u.newPart(l)
	if u.in.size > beginAbove || u.in.size < 0 && !u.in.ended {
		if err := u.writeDown(ctx, part); err != nil {
			first.Release()
			return err
		}
	}
	out := u.e.spread(ctx, part, u.plan.required(), u.in.size)
	defer out.abort()
	err = u.pump(ctx, out, code, first)
	if err == nil {
		err = u.verify()
	}
	if err != nil {
		return err
	}
	sums := u.in.sums()
	part.Size, part.CRC64 = sums.Size, sums.CRC64
	u.tidy = append(u.tidy, part)
	part.Chunks, err = out.commit(u.label(part))
	u.strays = out.strays()
	if err != nil {
		return err
	}
	u.file.Parts = []store.Part{part}
	return nil
}

func (u *upload) pump(ctx context.Context, out *spread, code *erasure.Code, stripe *erasure.Stripe) error {
	var units []store.Unit
	for {
		if stripe.Len() > 0 {
			var err error
			if units, err = stripe.Units(code, units); err != nil {
				stripe.Release()
				return err
			}
			out.send(units)
		}
		stripe.Release()
		if err := out.hopeless(); err != nil {
			return err
		}
		if u.in.ended {
			return nil
		}
		var err error
		if stripe, err = u.in.next(ctx, u.e.pool, u.plan.striped); err != nil {
			return err
		}
	}
}

// writeDown records the upload, so that its status can be asked for and a gateway's
// crash leaves a row that tells which chunks to reclaim.
func (u *upload) writeDown(ctx context.Context, part store.Part) error {
	f := u.file
	f.State = store.Uploading
	f.Parts = []store.Part{part}
	if err := u.e.meta.BeginFile(ctx, f); err != nil {
		return err
	}
	u.begun = true
	return nil
}

// verify fixes the file's size and sums and lets the caller compare them.
func (u *upload) verify() error {
	sums := u.in.sums()
	u.file.Size, u.file.CRC64, u.file.SHA256 = sums.Size, sums.CRC64, sums.SHA256
	if u.req.Verify == nil {
		return nil
	}
	return u.req.Verify(sums)
}

func (u *upload) label(p store.Part) store.Label {
	return store.Label{
		File: u.file.ID, Bucket: u.file.Bucket, Key: u.file.Key, ContentType: u.file.ContentType,
		CreatedAt: u.file.CreatedAt.UnixMicro(), FileSize: u.file.Size,
		PartNumber: p.Number, PartOffset: 0, PartSize: p.Size, PartCRC64: p.CRC64,
		K: p.K, M: p.M, UnitSize: p.UnitSize,
	}
}
