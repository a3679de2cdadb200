package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ringstore/ringstore/tests/cluster"
)

// testCase is a measurement of one file size.
type testCase struct {
	size  int64
	lanes []int // concurrent requests
	count int   // number of files, for large ones; 0: as many as the time allows
}

var cases = map[string]testCase{
	"4KiB":  {size: 4 << 10, lanes: []int{1, 16, 64}},
	"1MiB":  {size: 1 << 20, lanes: []int{1, 8}},
	"64MiB": {size: 64 << 20, lanes: []int{1, 4}, count: 12},
	"1GiB":  {size: 1 << 30, lanes: []int{1}, count: 2},
}

// loader sends each request as soon as the previous one is answered.
type loader struct {
	c      *cluster.Cluster
	http   *http.Client
	body   []byte // content of every file: random, so that it cannot be compressed
	setup  string
	bucket string
}

func newLoader(c *cluster.Cluster, setup string, size int64) *loader {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}
	return &loader{c: c, setup: setup, http: &http.Client{Transport: transport}, body: randomBytes(int(size)), bucket: "default"}
}

func (l *loader) close() { l.http.CloseIdleConnections() }

func (l *loader) put(ctx context.Context, name string) (string, error) {
	return l.send(ctx, name, bytes.NewReader(l.body), int64(len(l.body)))
}

// putFile sends the file at path in one request.
func (l *loader) putFile(ctx context.Context, name, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	return l.send(ctx, name, struct{ io.Reader }{f}, info.Size()) // read and written, as by most clients
}

func (l *loader) send(ctx context.Context, name string, body io.Reader, size int64) (string, error) {
	q := url.Values{"bucket": {l.bucket}, "name": {name}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.c.URL+"/files?"+q.Encode(), body)
	if err != nil {
		return "", err
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", "application/octet-stream")
	r.SetBasicAuth(l.c.AccessKey, l.c.SecretKey)
	resp, err := l.http.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("put: %s: %s", resp.Status, answer)
	}
	var file struct {
		ID string `json:"file_id"`
	}
	if err := json.Unmarshal(answer, &file); err != nil {
		return "", err
	}
	return file.ID, nil
}

func (l *loader) get(ctx context.Context, id string, buf []byte) error {
	resp, err := l.request(ctx, http.MethodGet, id)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("get: %s", resp.Status)
	case n != int64(len(l.body)):
		return fmt.Errorf("get: %d of %d bytes", n, len(l.body))
	}
	return nil
}

func (l *loader) delete(ctx context.Context, id string) error {
	resp, err := l.request(ctx, http.MethodDelete, id)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("delete: %s", resp.Status)
	}
	return nil
}

// stat requests the headers of a file.
func (l *loader) stat(ctx context.Context, id string) error {
	resp, err := l.request(ctx, http.MethodHead, id)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stat: %s", resp.Status)
	}
	return nil
}

// list reads one full page of the names that begin with prefix.
func (l *loader) list(ctx context.Context, prefix string, entries int) error {
	q := url.Values{"bucket": {l.bucket}, "prefix": {prefix}, "sort": {"name"}, "per_page": {fmt.Sprint(entries)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.c.URL+"/files?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	r.SetBasicAuth(l.c.AccessKey, l.c.SecretKey)
	resp, err := l.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if n := bytes.Count(page, []byte(`"file_id"`)); resp.StatusCode != http.StatusOK || n != entries {
		return fmt.Errorf("list: %s, %d of %d entries", resp.Status, n, entries)
	}
	return nil
}

func (l *loader) request(ctx context.Context, method, id string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, l.c.URL+"/files/"+id, nil)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth(l.c.AccessKey, l.c.SecretKey)
	return l.http.Do(r)
}

// drive calls op from lanes goroutines until the time or the count (0: none) is reached, and returns the duration of
// each call. The first error ends it.
func drive(ctx context.Context, lanes, count int, d time.Duration, op func(ctx context.Context, lane, n int) error) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	next := 0
	claim := func(began time.Time) (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if count > 0 && next >= count || d > 0 && time.Since(began) > d || ctx.Err() != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	began := time.Now()
	err := together(lanes, func(lane int) error {
		for {
			n, ok := claim(began)
			if !ok {
				return nil
			}
			start := time.Now()
			if err := op(ctx, lane, n); err != nil {
				cancel()
				return err
			}
			one := time.Since(start)
			mu.Lock()
			took = append(took, one)
			mu.Unlock()
		}
	})
	if err == nil && len(took) == 0 {
		err = errors.New("nothing was measured")
	}
	slices.Sort(took)
	return took, time.Since(began), errors.Join(err, context.Cause(ctx))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{'r', 'i', 'n', 'g'}).Read(b)
	return b
}
