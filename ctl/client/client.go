// Package client calls the REST API of a gateway, as far as s3ctl needs it. It uses the types of proto/rest; every
// error is a *fault.Error or that of an ended context. Calls without file bytes are retried as Config.Retry says, except those of
// sessions and copies: package transfer retries these, and all that carry bytes.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// callTimeout bounds a call that carries no file bytes.
const callTimeout = time.Minute

// Bounds of a JSON answer, in bytes. A larger page of a listing is requested again with fewer entries.
const (
	maxAnswer   = 16 << 20 // 1000 files with names of 1024 bytes
	maxMetadata = 64 << 20 // of one file: 10,000 parts and the locations of their chunks
)

// Client calls one gateway. Its methods are safe for concurrent use.
type Client struct {
	config Config
	base   string // without a trailing slash
	http   *http.Client
}

// Config is the configuration of a Client.
type Config struct {
	Profile profile.Profile
	Agent   string        // User-Agent
	Retry   retry.Policy  // of calls without file bytes, except those that package transfer retries itself
	Stall   time.Duration // close a connection on which nothing is transferred for so long; 0: one minute
}

// New returns a client. It opens no connection yet; call Close at the end.
func New(c Config) *Client {
	c.Stall = cmp.Or(c.Stall, time.Minute)
	return &Client{config: c, base: strings.TrimRight(c.Profile.Endpoint, "/"), http: &http.Client{
		Transport: newTransport(c.Stall),
		// A redirect could send the access key and file bytes to a server that no profile names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Once returns a client that retries nothing; it shares the connections of c.
func (c *Client) Once() *Client {
	own := *c
	own.config.Retry = retry.Policy{}
	return &own
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Endpoint returns the base URL of the gateway.
func (c *Client) Endpoint() string { return c.base }

// Buckets lists all buckets by name.
func (c *Client) Buckets(ctx context.Context) ([]rest.Bucket, error) {
	var list rest.BucketList
	err := c.get(ctx, "/buckets", &list)
	return list.Buckets, err
}

// Bucket returns a bucket. NotFound.
func (c *Client) Bucket(ctx context.Context, name string) (b rest.Bucket, err error) {
	err = c.get(ctx, "/buckets/"+url.PathEscape(name), &b)
	return b, inBucket(name, err)
}

// CreateBucket creates a bucket; survive nil means the cluster's default. Exists, Invalid.
func (c *Client) CreateBucket(ctx context.Context, name string, survive *int) (b rest.Bucket, err error) {
	err = c.change(ctx, problem.Exists, func() error {
		return c.call(ctx, http.MethodPost, "/buckets", rest.NewBucket{Name: name, Survive: survive}, &b)
	})
	if err == nil && b.Name == "" { // created by an attempt whose answer was lost
		return c.Bucket(ctx, name)
	}
	return b, err
}

// DeleteBucket deletes an empty bucket. NotFound, Conflict.
func (c *Client) DeleteBucket(ctx context.Context, name string) error {
	return inBucket(name, c.delete(ctx, "/buckets/"+url.PathEscape(name)))
}

// Latest returns the latest file of exactly this name in a bucket. NotFound.
func (c *Client) Latest(ctx context.Context, bucket, name string) (rest.File, error) {
	var list rest.FileList
	if err := c.get(ctx, "/files?"+query("bucket", bucket, "name", name, "per_page", "100"), &list); err != nil {
		return rest.File{}, inBucket(bucket, err)
	}
	for _, f := range list.Files {
		if f.Latest && f.Name == name {
			return f, nil
		}
	}
	return rest.File{}, fault.New(problem.NotFound, "the object does not exist").
		WithHint("s3ctl ls s3://%s/%s", bucket, name[:strings.LastIndexByte(name, '/')+1])
}

// Metadata returns the complete metadata of a file. NotFound.
func (c *Client) Metadata(ctx context.Context, fileID string) (m rest.FileMetadata, err error) {
	return m, c.config.Retry.Do(ctx, func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
		defer cancel()
		req, err := c.request(ctx, http.MethodGet, "/files/"+url.PathEscape(fileID)+"/metadata", nil)
		if err != nil {
			return err
		}
		return c.do(req, maxMetadata, &m)
	})
}

// DeleteFile deletes a file. NotFound.
func (c *Client) DeleteFile(ctx context.Context, fileID string) error {
	return c.delete(ctx, "/files/"+url.PathEscape(fileID))
}

// inBucket replaces a NotFound error by one that names the missing bucket and how to create it.
func inBucket(bucket string, err error) error {
	if fault.ExitOf(err) != fault.NotFound {
		return err
	}
	return fault.New(problem.NotFound, "bucket %q does not exist", bucket).WithHint("s3ctl bucket create s3://%s", bucket)
}

// get is a retried call that changes nothing.
func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.config.Retry.Do(ctx, func() error { return c.call(ctx, http.MethodGet, path, nil, out) })
}

// delete is a retried deletion.
func (c *Client) delete(ctx context.Context, path string) error {
	return c.change(ctx, problem.NotFound, func() error { return c.call(ctx, http.MethodDelete, path, nil, nil) })
}

// change retries a call that changes something. The answer of an attempt may be lost although it succeeded: the next one then fails
// with the kind done, which is a success.
func (c *Client) change(ctx context.Context, done problem.Kind, call func() error) error {
	lost := false
	return c.config.Retry.Do(ctx, func() error {
		err := call()
		if lost && err != nil && fault.KindOf(err) == done {
			return nil
		}
		lost = lost || err != nil
		return err
	})
}

// call sends a request without file bytes, with in as its JSON body unless that is nil, and decodes the answer into out unless
// that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	return c.callAnyTime(ctx, method, path, in, out)
}

// callAnyTime is a call that may take as long as ctx allows, since the server transfers file bytes for it.
func (c *Client) callAnyTime(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fault.New(problem.Internal, "encode the request: %v", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req, maxAnswer, out)
}

// errTooLong: the answer exceeds its bound.
var errTooLong = errors.New("the answer is too long")

// do sends a request and decodes the answer of at most so many bytes into out, unless that is nil.
func (c *Client) do(req *http.Request, most int64, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		return c.translate(req.Context(), err)
	}
	defer drain(resp.Body)
	if resp.StatusCode/100 != 2 {
		return c.refusal(resp)
	}
	if out == nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return c.translate(req.Context(), err)
	}
	if int64(len(data)) > most {
		return &fault.Error{Kind: problem.Internal, Msg: fmt.Sprintf("%s answered with more than %d MiB of JSON", c.base, most>>20), Err: errTooLong, Hint: noGateway}
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fault.New(problem.Internal, "the answer of %s (%s) is not the expected JSON: %v", c.base, resp.Status, err).WithHint("%s", noGateway)
	}
	return nil
}

// noGateway is the hint after an answer that a gateway never gives.
const noGateway = "check that the endpoint of the profile is a Ringstore gateway: s3ctl profile ls"

// request returns a request for a path with its query.
func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fault.New(problem.Invalid, "endpoint %q: %v", c.base, err).WithHint("s3ctl profile show    shows where it is configured")
	}
	req.SetBasicAuth(c.config.Profile.AccessKey, c.config.Profile.Secret)
	req.Header.Set("User-Agent", c.config.Agent)
	return req, nil
}

// drain reads the rest of a short body, so that the connection can be reused, and closes it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

// query encodes pairs of a name and a value as a query; those with an empty value are left out.
func query(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return values.Encode()
}

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
		err := c.get(ctx, "/sessions?"+query("per_page", "1000", "bucket", bucket, "prefix", prefix, "after", after), &page)
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
	return c.delete(ctx, sessionPath(id))
}

// Rename renames a file, also into another bucket, atomically. NotFound, Conflict.
func (c *Client) Rename(ctx context.Context, fileID, bucket, name string) (f rest.File, err error) {
	err = c.change(ctx, problem.OK, func() error { // renaming a file to its present name does nothing
		return c.call(ctx, http.MethodPost, "/files/"+url.PathEscape(fileID)+"/rename", rest.Target{Bucket: bucket, Name: name}, &f)
	})
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

// Health returns the health of a gateway, also of one that cannot store files at present. It sends no access key.
// Invalid: the server is not a gateway.
func (c *Client) Health(ctx context.Context) (h rest.Health, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return h, err
	}
	req.Header.Del("Authorization") // the server may not be a gateway
	resp, err := c.http.Do(req)
	if err != nil {
		return h, c.translate(ctx, err)
	}
	defer drain(resp.Body)
	if resp.StatusCode/100 == 3 {
		return h, c.redirected(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return h, c.translate(ctx, err)
	}
	if json.Unmarshal(data, &h) != nil || !h.Status.Valid() {
		return h, fault.New(problem.Invalid, "%s is not a Ringstore gateway: it answered %s", c.base, resp.Status).
			WithHint("check host and port; the REST API of a gateway listens on port 8080 by default")
	}
	return h, nil
}
