package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/rest"
)

// crcHeader carries the CRC64NVME of a whole file, as header or trailer.
const crcHeader = "X-Checksum-Crc64nvme"

// expectSize is the size in bytes from which on an upload asks first whether it
// would be taken: one round trip against sending for nothing. So does every stream, or the
// refusal would have to wait until the stream has something to say.
const expectSize = 4 << 20

// Upload is a file to send.
type Upload struct {
	Bucket, Name string
	ContentType  string
	Meta         map[string]string // the client's own, names in lower case; may be nil
	Size         int64             // bytes of Body; < 0 when not known
	CRC          string            // the checksum, where it is known before; the server then refuses other bytes
	Trailer      func() string     // gives the checksum once Body is read to its end; used when Size is not known
	Body         io.Reader         // no read is under way any more when Upload returns
	Cancel       func()            // makes a blocked read of Body return; may be called often; nil where reads never block long
}

// Upload sends a file and returns it as acknowledged. After an error nothing of
// it is visible, unless its kind is unavailable or canceled: then it may be.
// An error that Body returned as a *fault.Error comes back as it is.
func (c *Client) Upload(ctx context.Context, u Upload) (rest.File, error) {
	body := &source{r: u.Body, cancel: u.Cancel}
	req, err := c.request(ctx, http.MethodPost, "/files", url.Values{"bucket": {u.Bucket}, "name": {u.Name}}, body)
	if err != nil {
		return rest.File{}, err
	}
	req.Header.Set("Content-Type", u.ContentType)
	req.ContentLength = u.Size
	switch {
	case u.Size == 0:
		req.Body = http.NoBody // an empty body of "unknown" length would be sent chunked
	case u.Size < 0 && u.Trailer != nil:
		req.Trailer = http.Header{crcHeader: nil}
		body.atEnd = func() { req.Trailer.Set(crcHeader, u.Trailer()) }
	}
	if u.CRC != "" {
		req.Header.Set(crcHeader, u.CRC)
	}
	for name, value := range u.Meta {
		req.Header.Set("X-Meta-"+name, value)
	}
	if u.Size < 0 || u.Size >= expectSize {
		req.Header.Set("Expect", "100-continue")
	}
	var f rest.File
	if err := c.sendBody(ctx, req, body, &f); err != nil {
		return rest.File{}, inBucket(u.Bucket, err)
	}
	if f.FileID == "" {
		return rest.File{}, fault.New("internal", "%s answered an upload without a file in it", c.base)
	}
	return f, nil
}

// sendBody sends a request whose body is file bytes, and reads the answer into out.
func (c *Client) sendBody(ctx context.Context, req *http.Request, body *source, out any) error {
	// The library waits for a read under way before it returns, also when ctx has ended.
	defer context.AfterFunc(ctx, func() { _ = body.Close() })()
	// The library may still be reading when it has returned early. Waiting for that here
	// gives the caller its file and buffers back.
	defer body.release()
	err := c.do(ctx, req, out)
	if failed := body.failure(); err != nil && failed != nil {
		return failed
	}
	return err
}

// Range is a range of bytes, as HTTP has it: First..Last, both included; Last < 0
// is the end of the file; First < 0 asks for the last -First bytes.
type Range struct{ First, Last int64 }

func (r Range) header() string {
	switch {
	case r.First < 0:
		return fmt.Sprintf("bytes=%d", r.First)
	case r.Last < 0:
		return fmt.Sprintf("bytes=%d-", r.First)
	}
	return fmt.Sprintf("bytes=%d-%d", r.First, r.Last)
}

// Download is a file, or a range of one, as it arrives. Close it.
type Download struct {
	io.ReadCloser
	Size int64  // bytes to come
	CRC  string // checksum of the whole file, encoded; "" for a range
}

// Download asks for the bytes of a file; r nil is all of them. Reads fail with a
// *fault.Error, also when the body ends early. NotFound, OutOfRange, Conflict.
func (c *Client) Download(ctx context.Context, fileID string, r *Range) (*Download, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	// The timer covers the wait for the answer too, and every read afterwards.
	watchdog := time.AfterFunc(c.stall, func() { cancel(errStalled) })
	fail := func(err error) (*Download, error) {
		watchdog.Stop()
		cancel(nil)
		return nil, err
	}
	req, err := c.request(ctx, http.MethodGet, "/files/"+url.PathEscape(fileID), nil, nil)
	if err != nil {
		return fail(err)
	}
	want := http.StatusOK
	if r != nil {
		req.Header.Set("Range", r.header())
		want = http.StatusPartialContent
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fail(c.translate(ctx, err))
	}
	if resp.StatusCode != want {
		err := c.refusal(resp)
		finish(resp.Body)
		return fail(err)
	}
	body := &sink{c: c, ctx: ctx, cancel: cancel, watchdog: watchdog, body: resp.Body, left: resp.ContentLength}
	return &Download{ReadCloser: body, Size: resp.ContentLength, CRC: resp.Header.Get(crcHeader)}, nil
}
