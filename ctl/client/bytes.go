package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// crcHeader carries the CRC64NVME of a whole file, as header or trailer.
const crcHeader = "X-Checksum-Crc64nvme"

// expectSize is the size in bytes from which an upload sends Expect: 100-continue: a round trip, but a refused body is not
// sent. Streams always do: a refusal would otherwise be delayed until the stream produces data.
const expectSize = 4 << 20

// Upload is a file to send.
type Upload struct {
	Bucket, Name string
	ContentType  string
	Meta         map[string]string // the client's own, names in lower case; may be nil
	Size         int64             // bytes of Body; < 0 when not known
	CRC          string            // the checksum if known in advance; the server rejects other bytes
	Trailer      func() string     // returns the checksum after Body was read to its end; used when Size is unknown
	Body         io.Reader         // not read any more once Upload has returned
	Cancel       func()            // unblocks a read of Body; may be called more than once; nil if reads never block for long
}

// Upload sends a file and returns it as acknowledged. After an error the file is not visible, except that it may be
// after unavailable, canceled or outcome_unknown. A *fault.Error from Body is returned unchanged.
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
		return rest.File{}, fault.New(problem.Internal, "the answer of %s to an upload has no file", c.base)
	}
	return f, nil
}

// sendBody sends a request whose body is file bytes, and decodes the answer into out.
func (c *Client) sendBody(ctx context.Context, req *http.Request, body *source, out any) error {
	// The HTTP library waits for a read in progress before it returns, even after ctx has ended.
	defer context.AfterFunc(ctx, func() { _ = body.Close() })()
	// The HTTP library may still be reading after it returned early. Wait for that, so that the caller can reuse its
	// file and buffers.
	defer body.release()
	err := c.do(ctx, req, out)
	if failed := body.failure(); err != nil && failed != nil {
		return failed
	}
	return err
}
