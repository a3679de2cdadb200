package engine

import (
	"context"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/checksum"
)

// Copy stores a file's bytes again under another key, with the durability of
// that key's bucket. Type, metadata and checksums are
// copied. Errors: those of Open and Put.
func (e *Engine) Copy(ctx context.Context, id store.FileID, bucket store.BucketName, key store.Key, ch store.Change) (store.File, error) {
	o, err := e.Open(ctx, id)
	if err != nil {
		return store.File{}, err
	}
	f := o.file
	body := o.reader(ctx, 0, f.Size)
	defer body.Close()
	return e.Put(ctx, PutRequest{
		Change: ch, Bucket: bucket, Key: key, Size: f.Size, ContentType: f.ContentType, Meta: f.Meta, WantSHA256: f.SHA256 != nil, Body: body,
		Verify: func(s Sums) error {
			if s.CRC64 == f.CRC64 {
				return nil
			}
			return store.Errorf(store.Corrupt, "the bytes of file %s have the CRC64NVME %s, not %s", id, checksum.Encode(s.CRC64), checksum.Encode(f.CRC64))
		},
	})
}

// reader returns a range of the object as a stream. Closing it, which is required, ends the reading.
func (o *Object) reader(ctx context.Context, off, n int64) io.ReadCloser {
	r, w := io.Pipe()
	o.e.background.Go(func() { w.CloseWithError(o.WriteRange(ctx, w, off, n)) })
	return r
}
