package engine

import (
	"context"
	"encoding/hex"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// PutRequest is one upload.
type PutRequest struct {
	Bucket      store.BucketName
	Key         store.Key
	Size        int64 // bytes the body will have, or -1 when unknown
	Most        int64 // where Size is unknown: bytes the body has at most; 0: unknown
	ContentType string
	Meta        map[string]string
	WantSHA256  bool
	Caller      string // the access key; write memory is shared equally among callers
	// Verify is called once all bytes are in, before anything becomes visible;
	// an error fails the put and is returned as it is. May be nil.
	Verify func(Sums) error
	// Interrupt ends a read of Body that is in progress, and all later ones, with the error, from
	// another goroutine and without blocking. It is called, at most once, when the client is too slow while others
	// wait for memory; not after Put has returned. nil: the body is never too slow.
	Interrupt func(error)
	Body      io.Reader // read to its end, from one goroutine, until Put returns
}

// Put stores the body as a new file and makes it the latest of its key. When it
// returns nil the file is durable, on as many nodes as its bucket asks for (or
// on fewer, with repairs queued, as long as it survives the loss of one more), and visible.
// On an error nothing became visible, except where the kind is Unavailable with
// the metadata store lost during the commit: then the outcome is open, and says so.
//
// Errors: Invalid, NotFound (bucket), TooLarge, NoSpace, Unavailable (also when write memory did
// not become free in time), NoQuorum, Canceled (also when the client was too slow), what Verify returned.
func (e *Engine) Put(ctx context.Context, r PutRequest) (store.File, error) {
	up, err := e.newUpload(ctx, r)
	if err != nil {
		return store.File{}, err
	}
	if err := up.write.run(ctx); err != nil {
		up.discard(err)
		return store.File{}, err
	}
	if part := up.write.part; part.Size > 0 {
		up.file.Parts = []store.Part{part}
	}
	return up.commit(ctx)
}

// upload is a put under way.
type upload struct {
	e     *Engine
	req   PutRequest
	file  store.File
	write *partWrite
	begun bool // BeginFile has written the file down
}

// newUpload checks the request against everything that can be known before its first byte.
func (e *Engine) newUpload(ctx context.Context, r PutRequest) (*upload, error) {
	if err := validNames(r.Bucket, r.Key); err != nil {
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
	u := &upload{
		e: e, req: r,
		file: store.File{
			ID: id, Bucket: r.Bucket, Key: r.Key, Size: r.Size, ContentType: r.ContentType, Meta: r.Meta,
			CreatedAt: nowMicros(), ETag: etagOf(id),
		},
	}
	in := newIntake(r.Body, r.Size, e.cfg.MaxFileSize, r.WantSHA256)
	in.caller, in.interrupt = r.Caller, r.Interrupt
	in.atMost(r.Most)
	u.write = &partWrite{e: e, plan: p, in: in, number: 1, begin: u.writeDown, verify: u.verify, label: u.label}
	return u, nil
}

func validNames(b store.BucketName, k store.Key) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return k.Validate()
}

// etagOf is the entity tag of a file: files never change, so their ids will do.
func etagOf(id store.FileID) string { return hex.EncodeToString(id[:]) }

// beginAbove is the size from which on an upload is written down before its
// end: smaller ones are over before anybody could ask for them, and would pay a
// second metadata transaction.
const beginAbove = 16 << 20

// writeDown records the upload, so that its status can be asked for and a gateway's
// crash leaves a row that tells which chunks to reclaim.
func (u *upload) writeDown(ctx context.Context, part store.Part) error {
	if in := u.write.in; in.size <= beginAbove && (in.size >= 0 || in.ended) {
		return nil
	}
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
func (u *upload) verify(sums Sums) error {
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
