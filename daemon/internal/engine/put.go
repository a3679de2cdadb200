package engine

import (
	"context"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// PutRequest is one upload. Of the change, If is decided in the step that makes the file visible, and write memory is
// shared equally among callers.
type PutRequest struct {
	store.Change
	Bucket      store.BucketName
	Key         store.Key
	Size        int64 // bytes of the body, or -1 when unknown
	Most        int64 // where Size is unknown: bytes that the body has at most; 0: unknown
	ContentType string
	Meta        map[string]string
	WantSHA256  bool
	// Verify is called once all bytes were read, before anything becomes visible;
	// its error fails the put and is returned unchanged. May be nil.
	Verify func(Sums) error
	// Interrupt ends a read of Body that is in progress, and all later ones, with the error, from
	// another goroutine and without blocking. It is called, at most once, when the client is too slow while others
	// wait for memory; not after Put has returned. nil: the body is never too slow.
	Interrupt func(error)
	Body      io.Reader // read to its end, from one goroutine, until Put returns
}

// Put stores the body as a new file and makes it the latest of its key. When it
// returns nil the file is visible and durable, on as many nodes as its bucket requires, or
// on fewer with repairs queued, as long as it survives the loss of one more.
// On an error nothing became visible, except where the kind is OutcomeUnknown: the
// metadata store was lost during the commit, and whether it happened is not known.
//
// Errors: Invalid, NotFound (bucket), TooLarge, NoSpace, Unavailable (also when write memory did
// not become free in time), NoQuorum, Canceled (also when the client was too slow), OutcomeUnknown, the error of Verify.
func (e *Engine) Put(ctx context.Context, r PutRequest) (store.File, error) {
	u, err := e.planUpload(ctx, r)
	if err != nil {
		return store.File{}, err
	}
	defer u.close()
	if err := u.begin(ctx, 1); err != nil {
		return u.fail(err)
	}
	if err := u.recordIntent(ctx); err != nil {
		return u.fail(err)
	}
	for u.more() {
		units, err := u.encode(ctx)
		if err != nil {
			return u.fail(err)
		}
		if err := u.send(ctx, units); err != nil {
			return u.fail(err)
		}
	}
	if err := u.verify(); err != nil {
		return u.fail(err)
	}
	if err := u.makeDurable(u.label()); err != nil {
		return u.fail(err)
	}
	return u.commit(ctx)
}

// upload is a put in progress.
type upload struct {
	partWrite
	req   PutRequest
	file  store.File
	begun bool // the metadata store has the file as Uploading
}

// planUpload checks all of the request that can be checked before its first byte, and plans the layout.
func (e *Engine) planUpload(ctx context.Context, r PutRequest) (*upload, error) {
	if err := validNames(r.Bucket, r.Key); err != nil {
		return nil, err
	}
	if r.Size > e.cfg.MaxFileSize {
		return nil, tooLarge(e.cfg.MaxFileSize)
	}
	plan, err := e.planFor(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	body := newBodyReader(r.Body, r.Size, r.Most, e.cfg.MaxFileSize, r.WantSHA256)
	body.caller, body.interrupt = r.Caller, r.Interrupt
	id := store.NewFileID()
	return &upload{
		partWrite: partWrite{e: e, ctx: context.WithoutCancel(ctx), plan: plan, body: body}, req: r,
		file: store.File{
			ID: id, Bucket: r.Bucket, Key: r.Key, Size: r.Size, ContentType: r.ContentType, Meta: r.Meta,
			ETag: id.ETag(),
		},
	}, nil
}

func validNames(b store.BucketName, k store.Key) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return k.Validate()
}

// recordAbove is the size in bytes above which an upload is recorded before it is complete. Smaller ones
// end before their status could be of use, and would pay a second metadata transaction.
const recordAbove = 16 << 20

// recordIntent records a long upload, so that its status can be queried and a crash of the gateway
// leaves a row that names the chunks to reclaim.
func (u *upload) recordIntent(ctx context.Context) error {
	if u.body.ended || u.body.size >= 0 && u.body.size <= recordAbove {
		return nil
	}
	f := u.file
	f.State = store.Uploading
	f.Parts = []store.Part{u.part}
	if err := u.e.meta.BeginFile(ctx, f); err != nil {
		return err
	}
	u.begun = true
	return nil
}

// verify fixes the file's size and sums and lets the caller compare them.
func (u *upload) verify() error {
	sums := u.seal()
	u.file.Size, u.file.CRC64, u.file.SHA256, u.file.Parts = sums.Size, sums.CRC64, sums.SHA256, nil
	if u.req.Verify == nil {
		return nil
	}
	return u.req.Verify(sums)
}

// label is stored with each chunk.
func (u *upload) label() chunk.Label {
	l, f := u.partWrite.label(), u.file
	l.File, l.Bucket, l.Key, l.ContentType, l.CreatedAt, l.FileSize = f.ID, f.Bucket, f.Key, f.ContentType, nowMicros().UnixMicro(), f.Size
	return l
}

// fail ends the upload: what it left on nodes is reclaimed.
func (u *upload) fail(err error) (store.File, error) {
	u.discard(err)
	return store.File{}, err
}
