package client

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ringstore/ringstore/proto/rest"
)

// CreateSession starts an upload in parts. NotFound (bucket), Invalid, TooLarge.
func (c *Client) CreateSession(ctx context.Context, n rest.NewSession) (s rest.Session, err error) {
	err = c.call(ctx, http.MethodPost, "/sessions", nil, n, &s)
	return s, inBucket(n.Bucket, err)
}

// Session returns a session and its stored parts. NotFound: completed, aborted or expired.
func (c *Client) Session(ctx context.Context, id string) (s rest.Session, err error) {
	err = c.call(ctx, http.MethodGet, sessionPath(id), nil, nil, &s)
	return s, err
}

// Sessions yields the unfinished sessions of a bucket, "" meaning all buckets, whose names begin with prefix, in order of
// creation and without their parts. An error ends it. NotFound (bucket).
func (c *Client) Sessions(ctx context.Context, bucket, prefix string) iter.Seq2[rest.Session, error] {
	return func(yield func(rest.Session, error) bool) {
		p := pager{c: c}
		for {
			var page rest.SessionList
			if err := c.call(ctx, http.MethodGet, "/sessions", sessionQuery(bucket, prefix, p.after), nil, &page); err != nil {
				yield(rest.Session{}, inBucket(bucket, err))
				return
			}
			for _, s := range page.Sessions {
				if !yield(s, nil) {
					return
				}
			}
			more, err := p.next(page.HasMore, page.Next, len(page.Sessions))
			if err != nil {
				yield(rest.Session{}, err)
			}
			if !more {
				return
			}
		}
	}
}

func sessionQuery(bucket, prefix, after string) url.Values {
	values := url.Values{"per_page": {"1000"}}
	for name, value := range map[string]string{"bucket": bucket, "prefix": prefix, "after": after} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// PartUpload is a part to send.
type PartUpload struct {
	Session string
	Number  int       // 1..10000
	Size    int64     // bytes of Body
	CRC     string    // the checksum if known in advance; the server rejects other bytes
	Body    io.Reader // not read any more once PutPart has returned
}

// PutPart sends a part and returns it once it is durable; the caller compares the checksum. A part of the same number is
// replaced. After an error the part may be stored or not. A *fault.Error from Body is returned unchanged.
// NotFound (session), Corrupt, NoSpace, Unavailable.
func (c *Client) PutPart(ctx context.Context, p PartUpload) (stored rest.SessionPart, err error) {
	body := &source{r: p.Body}
	req, err := c.request(ctx, http.MethodPut, partPath(p.Session, p.Number), nil, body)
	if err != nil {
		return rest.SessionPart{}, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.ContentLength = p.Size
	if p.Size == 0 {
		req.Body = http.NoBody // an empty body of "unknown" length would be sent chunked
	}
	if p.CRC != "" {
		req.Header.Set(crcHeader, p.CRC)
	}
	if p.Size >= expectSize {
		req.Header.Set("Expect", "100-continue")
	}
	err = c.sendBody(ctx, req, body, &stored)
	return stored, err
}

// CopyPart stores a range of a stored file as a part, without transferring it through the client; length 0 means up to the
// end. NotFound (session, source), OutOfRange, NoSpace, Unavailable.
func (c *Client) CopyPart(ctx context.Context, session string, number int, source string, offset, length int64) (stored rest.SessionPart, err error) {
	q := url.Values{"source": {source}, "offset": {strconv.FormatInt(offset, 10)}}
	if length > 0 {
		q.Set("length", strconv.FormatInt(length, 10))
	}
	req, err := c.request(ctx, http.MethodPut, partPath(session, number), q, nil)
	if err != nil {
		return rest.SessionPart{}, err
	}
	return stored, c.do(ctx, req, &stored)
}

// CompleteSession makes the parts a file, which must be as want says. It is idempotent: repeated after a lost answer it
// returns the file. NotFound, Conflict (other parts than want says), Corrupt, Invalid.
func (c *Client) CompleteSession(ctx context.Context, id string, want rest.CompleteSession) (f rest.File, err error) {
	err = c.call(ctx, http.MethodPost, sessionPath(id)+"/complete", nil, want, &f)
	return f, err
}

// AbortSession deletes a session and its parts. NotFound.
func (c *Client) AbortSession(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, sessionPath(id), nil, nil, nil)
}

// Rename renames a file, also into another bucket, atomically. NotFound, Conflict.
func (c *Client) Rename(ctx context.Context, fileID, bucket, name string) (f rest.File, err error) {
	err = c.call(ctx, http.MethodPost, "/files/"+url.PathEscape(fileID)+"/rename", nil, rest.Target{Bucket: bucket, Name: name}, &f)
	return f, err
}

// Copy copies a file on the server. It takes as long as an upload; use CopyPart for large files. NotFound, NoSpace,
// Unavailable.
func (c *Client) Copy(ctx context.Context, fileID, bucket, name string) (f rest.File, err error) {
	req, err := c.jsonRequest(ctx, http.MethodPost, "/files/"+url.PathEscape(fileID)+"/copy", nil, rest.Target{Bucket: bucket, Name: name})
	if err != nil {
		return rest.File{}, err
	}
	return f, c.do(ctx, req, &f)
}

func sessionPath(id string) string { return "/sessions/" + url.PathEscape(id) }

func partPath(session string, number int) string {
	return sessionPath(session) + "/parts/" + strconv.Itoa(number)
}
