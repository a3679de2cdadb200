package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// crcHeader carries the CRC64NVME of a whole file, as header or trailer.
const crcHeader = "X-Checksum-Crc64nvme"

// expectSize is the size in bytes from which an upload sends Expect: 100-continue: a round trip, but a refused body is not
// sent.
const expectSize = 4 << 20

// Upload is a file to send.
type Upload struct {
	Bucket, Name string
	ContentType  string
	Meta         map[string]string // the client's own, names in lower case; may be nil
	Size         int64             // bytes of Body
	CRC          string            // the checksum if known in advance; the server rejects other bytes
	Body         io.Reader         // not read any more once Upload has returned
}

// Upload sends a file and returns it as acknowledged. After an error the file is not visible, except that it may be
// after unavailable, canceled or outcome_unknown. A *fault.Error from Body is returned unchanged.
func (c *Client) Upload(ctx context.Context, u Upload) (f rest.File, err error) {
	req, err := c.request(ctx, http.MethodPost, "/files?"+query("bucket", u.Bucket, "name", u.Name), nil)
	if err != nil {
		return rest.File{}, err
	}
	req.Header.Set("Content-Type", u.ContentType)
	for name, value := range u.Meta {
		req.Header.Set("X-Meta-"+name, value)
	}
	if err := c.sendBody(req, u.Body, u.Size, u.CRC, &f); err != nil {
		return rest.File{}, inBucket(u.Bucket, err)
	}
	if f.FileID == "" {
		return rest.File{}, fault.New(problem.Internal, "the answer of %s to an upload has no file", c.base)
	}
	return f, nil
}

// PartUpload is a part to send.
type PartUpload struct {
	Session string
	Number  int       // 1..10000
	Size    int64     // bytes of Body; -1 if unknown
	CRC     string    // the checksum if known in advance; the server rejects other bytes
	Body    io.Reader // not read any more once PutPart has returned
}

// PutPart sends a part and returns it once it is durable; the caller compares the checksum. A part of the same number is
// replaced. After an error the part may be stored or not. A *fault.Error from Body is returned unchanged.
// NotFound (session), Corrupt, NoSpace, Unavailable.
func (c *Client) PutPart(ctx context.Context, p PartUpload) (stored rest.SessionPart, err error) {
	req, err := c.request(ctx, http.MethodPut, partPath(p.Session, p.Number), nil)
	if err != nil {
		return rest.SessionPart{}, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	err = c.sendBody(req, p.Body, p.Size, p.CRC, &stored)
	return stored, err
}

// sendBody sends a request with size bytes of r as its body, and decodes the answer into out. crc is their checksum if it is
// known.
func (c *Client) sendBody(req *http.Request, r io.Reader, size int64, crc string, out any) error {
	body := &source{r: r}
	req.Body, req.ContentLength = io.NopCloser(body), size
	if size == 0 {
		req.Body = http.NoBody // without this an empty body, whose length net/http cannot tell from a missing one, is sent chunked
	}
	if crc != "" {
		req.Header.Set(crcHeader, crc)
	}
	if size >= expectSize {
		req.Header.Set("Expect", "100-continue")
	}
	// The HTTP library may still be reading after it returned early. Wait for that, so that the caller can reuse its
	// file and buffers.
	defer body.release()
	err := c.do(req, maxAnswer, out)
	if failed := body.failure(); err != nil && failed != nil {
		return failed
	}
	return err
}

// source is a request body that records its read error, and that can be detached from the HTTP library, which may
// keep reading after it has returned.
type source struct {
	mu       sync.Mutex // held while r is read; guards all below
	r        io.Reader
	err      error
	detached bool
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detached {
		return 0, io.ErrClosedPipe
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// WriteTo implements io.WriterTo, for a body of unknown length: each read becomes a chunk on the wire, and large ones take much
// less of both ends than those of the HTTP library.
func (s *source) WriteTo(w io.Writer) (sum int64, err error) {
	buf := chunks.Get().(*[]byte) // the pool holds nothing else
	defer chunks.Put(buf)
	for {
		n, err := s.Read(*buf)
		if n > 0 {
			written, failed := w.Write((*buf)[:n])
			sum += int64(written)
			if failed != nil {
				return sum, failed
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return sum, nil
		case err != nil:
			return sum, err
		}
	}
}

// chunks are buffers of a chunk each.
var chunks = sync.Pool{New: func() any { b := make([]byte, 512<<10); return &b }}

// failure returns the *fault.Error that reading ended with, or nil.
func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := errors.AsType[*fault.Error](s.err); ok {
		return e
	}
	return nil
}

// release waits for a read in progress; no read starts after it.
func (s *source) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = true
}
