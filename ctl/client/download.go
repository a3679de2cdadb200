package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Range is a range of bytes as in HTTP: First..Last, both inclusive. Last < 0 means the end of the file; First < 0
// means the last -First bytes.
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

// Of returns the offset and the length of the range in a file of size bytes. OutOfRange.
func (r Range) Of(size int64) (off, n int64, err error) {
	off, end := r.First, size
	if off < 0 {
		off = max(size+off, 0)
	} else if r.Last >= 0 && r.Last < size {
		end = r.Last + 1
	}
	if off >= end {
		return 0, 0, fault.New(problem.OutOfRange, "the file has %d bytes", size)
	}
	return off, end - off, nil
}

// Download requests the bytes of a file, all of them if r is nil. The answer is verified: unless status, range, length and
// ETag are those of the requested bytes, it is Corrupt before its first byte is read. Reads never return more bytes
// than were requested, and fail with a *fault.Error if there are more or fewer. The caller closes it. NotFound, OutOfRange, Conflict, Corrupt.
func (c *Client) Download(ctx context.Context, file rest.File, r *Range) (io.ReadCloser, error) {
	off, n, err := int64(0), file.Size, error(nil)
	if r != nil {
		off, n, err = r.Of(file.Size)
	}
	switch {
	case err != nil:
		return nil, err
	case file.Size < 0:
		return nil, fault.New(problem.Internal, "%s reports a file size of %d bytes", c.base, file.Size)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	// The timer covers the wait for the answer and every read.
	watchdog := time.AfterFunc(c.config.Stall, func() { cancel(errStalled) })
	fail := func(err error) (io.ReadCloser, error) {
		watchdog.Stop()
		cancel(nil)
		return nil, err
	}
	req, err := c.request(ctx, http.MethodGet, "/files/"+url.PathEscape(file.FileID), nil)
	if err != nil {
		return fail(err)
	}
	if r != nil {
		req.Header.Set("Range", r.header())
		if file.ETag != "" {
			// With If-Match the server returns ranges of this version even if the object was replaced meanwhile.
			req.Header.Set("If-Match", `"`+file.ETag+`"`)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fail(c.translate(ctx, err))
	}
	if resp.StatusCode/100 != 2 {
		err := c.refusal(resp)
		drain(resp.Body)
		return fail(err)
	}
	if err := c.checkBytes(resp, file, off, n, r != nil); err != nil {
		_ = resp.Body.Close()
		return fail(err)
	}
	return &checkedBody{c: c, ctx: ctx, cancel: cancel, watchdog: watchdog, body: resp.Body, left: n}, nil
}

// checkBytes checks that the headers of an answer are those of the requested bytes, n bytes at off of the file. A missing
// length (a proxy may use chunked encoding) is checked while reading.
func (c *Client) checkBytes(resp *http.Response, file rest.File, off, n int64, ranged bool) error {
	want, span := http.StatusOK, ""
	if ranged {
		want, span = http.StatusPartialContent, fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, file.Size)
	}
	h := resp.Header
	etag, encoding := h.Get("ETag"), h.Get("Content-Encoding")
	var what string
	switch {
	case resp.StatusCode != want:
		what = fmt.Sprintf("status %s where %d was expected", resp.Status, want)
	case h.Get("Content-Range") != span:
		what = fmt.Sprintf("Content-Range %q where %q was expected", h.Get("Content-Range"), span)
	case resp.ContentLength >= 0 && resp.ContentLength != n:
		what = fmt.Sprintf("%d bytes where %d were requested", resp.ContentLength, n)
	case etag != "" && file.ETag != "" && etag != `"`+file.ETag+`"`:
		what = fmt.Sprintf("ETag %s where %q was expected", etag, file.ETag)
	case encoding != "" && encoding != "identity":
		what = fmt.Sprintf("bytes in the encoding %q", encoding)
	default:
		return nil
	}
	return c.wrongBytes("answered with " + what)
}

// wrongBytes is the error of an answer with other bytes than were requested.
func (c *Client) wrongBytes(what string) error {
	return fault.New(problem.Corrupt, "%s %s", c.base, what).
		WithHint("try again; if it happens again, a proxy may be changing answers: check the endpoint and the proxies in between")
}

// checkedBody is the body of a download. It returns exactly the requested bytes, fails when nothing arrives for the stall
// timeout, and reports an early end or surplus bytes as an error.
type checkedBody struct {
	c        *Client
	ctx      context.Context //nolint:containedctx // of this answer; Close ends it
	cancel   context.CancelCauseFunc
	watchdog *time.Timer
	body     io.ReadCloser
	left     int64 // bytes not read yet
}

// Read implements io.Reader.
func (s *checkedBody) Read(p []byte) (int, error) {
	s.watchdog.Reset(s.c.config.Stall)
	if s.left == 0 {
		return 0, s.end()
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
	case s.left == 0:
		return n, io.EOF
	default:
		err = io.ErrUnexpectedEOF
	}
	return n, s.c.translate(s.ctx, err)
}

// end checks that no byte follows the last requested one, so that an endless body ends here.
func (s *checkedBody) end() error {
	var one [1]byte
	n, err := s.body.Read(one[:])
	switch {
	case n > 0:
		return s.c.wrongBytes("sent more bytes than were requested")
	case err == nil, errors.Is(err, io.EOF):
		return err
	}
	return s.c.translate(s.ctx, err)
}

// Close implements io.Closer.
func (s *checkedBody) Close() error {
	s.watchdog.Stop()
	s.cancel(nil)
	return s.body.Close()
}
