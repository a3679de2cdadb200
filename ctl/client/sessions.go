package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ringstore/ringstore/proto/rest"
)

// CreateSession starts an upload in parts. NotFound (bucket), Invalid, TooLarge.
func (c *Client) CreateSession(ctx context.Context, n rest.NewSession) (s rest.Session, err error) {
	err = c.call(ctx, http.MethodPost, "/sessions", n, &s)
	return s, inBucket(n.Bucket, err)
}

// Session returns a session and its stored parts. NotFound: completed, aborted or expired.
func (c *Client) Session(ctx context.Context, id string) (s rest.Session, err error) {
	err = c.call(ctx, http.MethodGet, sessionPath(id), nil, &s)
	return s, err
}

// Sessions yields the unfinished sessions of a bucket, "" meaning all buckets, whose names begin with prefix, in order of
// creation and without their parts. An error ends it. NotFound (bucket).
func (c *Client) Sessions(ctx context.Context, bucket, prefix string) iter.Seq2[rest.Session, error] {
	return pages(c, func(after string) ([]rest.Session, bool, string, error) {
		var page rest.SessionList
		err := c.call(ctx, http.MethodGet, "/sessions?"+query("per_page", "1000", "bucket", bucket, "prefix", prefix, "after", after), nil, &page)
		return page.Sessions, page.HasMore, page.Next, inBucket(bucket, err)
	})
}

// CopyPart stores a range of a stored file as a part, without transferring it through the client; length 0 means up to the
// end. NotFound (session, source), OutOfRange, NoSpace, Unavailable.
func (c *Client) CopyPart(ctx context.Context, session string, number int, source string, offset, length int64) (stored rest.SessionPart, err error) {
	most := ""
	if length > 0 {
		most = strconv.FormatInt(length, 10)
	}
	q := query("source", source, "offset", strconv.FormatInt(offset, 10), "length", most)
	err = c.callAnyTime(ctx, http.MethodPut, partPath(session, number)+"?"+q, nil, &stored)
	return stored, err
}

// CompleteSession makes the parts a file, which must be as want says. It is idempotent: repeated after a lost answer it
// returns the file. NotFound, Conflict (other parts than want says), Corrupt, Invalid.
func (c *Client) CompleteSession(ctx context.Context, id string, want rest.CompleteSession) (f rest.File, err error) {
	err = c.call(ctx, http.MethodPost, sessionPath(id)+"/complete", want, &f)
	return f, err
}

// AbortSession deletes a session and its parts. NotFound.
func (c *Client) AbortSession(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, sessionPath(id), nil, nil)
}

// Rename renames a file, also into another bucket, atomically. NotFound, Conflict.
func (c *Client) Rename(ctx context.Context, fileID, bucket, name string) (f rest.File, err error) {
	err = c.call(ctx, http.MethodPost, "/files/"+url.PathEscape(fileID)+"/rename", rest.Target{Bucket: bucket, Name: name}, &f)
	return f, err
}

// Copy copies a file on the server. It takes as long as an upload; use CopyPart for large files. NotFound, NoSpace,
// Unavailable.
func (c *Client) Copy(ctx context.Context, fileID, bucket, name string) (f rest.File, err error) {
	err = c.callAnyTime(ctx, http.MethodPost, "/files/"+url.PathEscape(fileID)+"/copy", rest.Target{Bucket: bucket, Name: name}, &f)
	return f, err
}

func sessionPath(id string) string { return "/sessions/" + url.PathEscape(id) }

func partPath(session string, number int) string {
	return sessionPath(session) + "/parts/" + strconv.Itoa(number)
}
