package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

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
