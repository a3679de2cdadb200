package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// api calls the REST API of one gateway. It uses net/http directly, because s3ctl's client would hide some of the
// ways in which a request can end.
type api struct {
	base        string
	key, secret string
	http        *http.Client
	timeout     time.Duration // of one call
}

func newAPI(base, key, secret string, timeout time.Duration) *api {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	return &api{base: base, key: key, secret: secret, http: &http.Client{Transport: transport}, timeout: timeout}
}

func (a *api) close() { a.http.CloseIdleConnections() }

// outcome is the outcome of a request that changes something.
type outcome int

const (
	done    outcome = iota // acknowledged
	refused                // nothing has changed, and nothing will change
	open                   // unknown: it may have taken effect, or may still do so
)

// problem is an error answer.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// outcomeOf applies the API's rule: the outcome is unknown only after a broken exchange or an answer that says so.
func outcomeOf(err error) outcome {
	var p *problem
	var dial *net.OpError
	switch {
	case err == nil:
		return done
	case errors.As(err, &p):
		if p.Code == "" || p.Code == "outcome_unknown" || strings.Contains(p.Detail, "not known") {
			return open
		}
		return refused
	case errors.As(err, &dial) && dial.Op == "dial":
		return refused
	}
	return open
}

func isStatus(err error, status int) bool {
	var p *problem
	return errors.As(err, &p) && p.Status == status
}

// fileInfo has the fields of a file or session that the tests use.
type fileInfo struct {
	ID        string `json:"file_id"`
	SessionID string `json:"session_id"`
	Bucket    string `json:"bucket"`
	Name      string `json:"name"`
	Latest    bool   `json:"latest"`
	Status    string `json:"status"`
	Survives  int    `json:"survives"`
	Wanted    int    `json:"wanted"`
	Parts     []struct {
		Number int   `json:"number"`
		Size   int64 `json:"size"`
		Chunks []struct {
			ID     string `json:"chunk_id"`
			NodeID string `json:"node_id"`
			Bytes  int64  `json:"bytes"`
		} `json:"chunks"`
	} `json:"parts"`
}

// call sends a request and decodes a JSON answer into out, unless it is nil.
func (a *api) call(ctx context.Context, method, path string, query url.Values, headers map[string]string, body io.Reader, size int64, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := a.send(ctx, method, path, query, headers, body, size)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return nil, fmt.Errorf("answer %.100q: %w", answer, err)
		}
	}
	return resp.Header, nil
}

// send returns the response if it is a success; other answers are a *problem.
func (a *api) send(ctx context.Context, method, path string, query url.Values, headers map[string]string, body io.Reader, size int64) (*http.Response, error) {
	address := a.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.ContentLength = size
		if size == 0 {
			r.Body = http.NoBody
		}
	}
	r.SetBasicAuth(a.key, a.secret)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	p := &problem{}
	if answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err == nil {
		_ = json.Unmarshal(answer, p)
	}
	p.Status = resp.StatusCode
	return nil, p
}

func (a *api) json(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if in == nil {
		_, err := a.call(ctx, method, path, query, nil, nil, 0, out)
		return err
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	_, err = a.call(ctx, method, path, query, map[string]string{"Content-Type": "application/json"}, bytes.NewReader(b), int64(len(b)), out)
	return err
}

var binaryBody = map[string]string{"Content-Type": "application/octet-stream"}

func (a *api) put(ctx context.Context, bucket, key string, v version, size int64) (f fileInfo, err error) {
	q := url.Values{"bucket": {bucket}, "name": {key}}
	_, err = a.call(ctx, http.MethodPost, "/files", q, binaryBody, content(v, size), size, &f)
	return f, err
}

func (a *api) delete(ctx context.Context, id string) error {
	return a.json(ctx, http.MethodDelete, "/files/"+id, nil, nil, nil)
}

func (a *api) rename(ctx context.Context, id, bucket, key string) error {
	return a.json(ctx, http.MethodPost, "/files/"+id+"/rename", nil, map[string]string{"bucket": bucket, "name": key}, nil)
}

func (a *api) copy(ctx context.Context, id, bucket, key string) (f fileInfo, err error) {
	err = a.json(ctx, http.MethodPost, "/files/"+id+"/copy", nil, map[string]string{"bucket": bucket, "name": key}, &f)
	return f, err
}

func (a *api) metadata(ctx context.Context, id string) (f fileInfo, err error) {
	err = a.json(ctx, http.MethodGet, "/files/"+id+"/metadata", nil, nil, &f)
	return f, err
}

// latest returns the id of the file that a bucket shows under a key, "" for none.
func (a *api) latest(ctx context.Context, bucket, key string) (string, error) {
	var list struct {
		Files []fileInfo `json:"files"`
	}
	q := url.Values{"bucket": {bucket}, "name": {key}, "per_page": {"10"}}
	if err := a.json(ctx, http.MethodGet, "/files", q, nil, &list); err != nil {
		return "", err
	}
	for _, f := range list.Files {
		if f.Latest {
			return f.ID, nil
		}
	}
	return "", nil
}

// all lists a bucket by name.
func (a *api) all(ctx context.Context, bucket string) (files []fileInfo, err error) {
	q := url.Values{"bucket": {bucket}, "sort": {"name"}, "per_page": {"1000"}}
	for {
		var page struct {
			Files   []fileInfo `json:"files"`
			HasMore bool       `json:"has_more"`
			Next    string     `json:"next"`
		}
		if err := a.json(ctx, http.MethodGet, "/files", q, nil, &page); err != nil {
			return nil, err
		}
		files = append(files, page.Files...)
		if !page.HasMore {
			return files, nil
		}
		q.Set("after", page.Next)
	}
}

// errGone: a file that was found by name no longer exists.
var errGone = errors.New("the file is not there any more")

// errMixed: a body is not the complete content of one version.
var errMixed = errors.New("the body is not one version")

// get reads a file by id and compares it, byte by byte, with the version that its first bytes name.
func (a *api) get(ctx context.Context, id string, sizeOf func(version) (int64, bool)) (version, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := a.send(ctx, http.MethodGet, "/files/"+id, nil, nil, nil, 0)
	if isStatus(err, http.StatusNotFound) {
		return absent, errGone
	}
	if err != nil {
		return absent, err
	}
	defer resp.Body.Close()
	return compare(resp.Body, resp.ContentLength, sizeOf)
}

// compare reads a body of known length. A body that ends early is an error of the transfer and not errMixed: a
// client detects it and retries.
func compare(body io.Reader, announced int64, sizeOf func(version) (int64, bool)) (version, error) {
	var head [8]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return absent, err
	}
	v := version(binary.BigEndian.Uint64(head[:]))
	size, ok := sizeOf(v)
	if !ok || size != announced {
		return absent, fmt.Errorf("%w: it begins with %v, has %d bytes and should have %d", errMixed, v, announced, size)
	}
	want := content(v, size)
	if _, err := io.ReadFull(want, head[:]); err != nil {
		return absent, err
	}
	got, expected := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(len(head)); at < size; {
		n, err := io.ReadFull(body, got[:min(int64(len(got)), size-at)])
		if _, wantErr := io.ReadFull(want, expected[:n]); wantErr != nil {
			return absent, wantErr
		}
		if !bytes.Equal(got[:n], expected[:n]) {
			return absent, fmt.Errorf("%w: %v differs within %d bytes from %d on", errMixed, v, n, at)
		}
		if err != nil {
			return absent, err
		}
		at += int64(n)
	}
	return v, nil
}

// smallest is the minimum size of a version in bytes: its name must fit.
const smallest = 16

// content returns the bytes of a version: its number, then pseudo-random bytes derived from it.
func content(v version, size int64) io.Reader { return contentFrom(v, 0, size) }

// contentFrom returns the bytes from offset to end.
func contentFrom(v version, offset, end int64) io.Reader {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], uint64(v))
	noise := rand.NewChaCha8(key)
	r := io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint64(nil, uint64(v))), noise)
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		panic(err) // the generator never ends
	}
	return io.LimitReader(r, end-offset)
}
