package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// file has the fields of a file that the tests use.
type file struct {
	ID     string `json:"file_id"`
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Status string `json:"status"`
}

// problem is an RFC 9457 problem document.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint"`
}

func request(t *testing.T, c *cluster.Cluster, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, body)
	require.NoError(t, err)
	r.SetBasicAuth(c.AccessKey, c.SecretKey)
	return r
}

// do sends the request and requires the status.
func do(t *testing.T, r *http.Request, status int) []byte {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, status, resp.StatusCode, "%s %s: %s", r.Method, r.URL, body)
	return body
}

// refused sends the request and requires a complete problem document.
func refused(t *testing.T, r *http.Request, status int) problem {
	t.Helper()
	var p problem
	require.NoError(t, json.Unmarshal(do(t, r, status), &p))
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Code)
	require.NotEmpty(t, p.Detail)
	return p
}

func decode[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(b, &v), "%s", b)
	return v
}

func rawPut(t *testing.T, c *cluster.Cluster, name string, body io.Reader) *http.Request {
	t.Helper()
	r := request(t, c, http.MethodPost, "/files?"+url.Values{"bucket": {"default"}, "name": {name}}.Encode(), body)
	r.Header.Set("Content-Type", "application/octet-stream")
	return r
}

func put(t *testing.T, c *cluster.Cluster, name string, body []byte) file {
	t.Helper()
	return decode[file](t, do(t, rawPut(t, c, name, bytes.NewReader(body)), http.StatusCreated))
}

// putForm uploads as a browser's form does.
func putForm(t *testing.T, c *cluster.Cluster, name string, body io.Reader) file {
	t.Helper()
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	go func() {
		part, err := form.CreateFormFile("file", name)
		if err == nil {
			_, err = io.Copy(part, body)
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	r := request(t, c, http.MethodPost, "/files", pr)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return decode[file](t, do(t, r, http.StatusCreated))
}

// sum downloads a file and returns its size and SHA-256.
func sum(t *testing.T, c *cluster.Cluster, id string) (int64, [32]byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(request(t, c, http.MethodGet, "/files/"+id, nil))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	require.NoError(t, err)
	return n, [32]byte(h.Sum(nil))
}

func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}), n)
}

func noiseBytes(t *testing.T, n int64) []byte {
	t.Helper()
	b, err := io.ReadAll(noise(n))
	require.NoError(t, err)
	return b
}

// metadata is the answer of GET /files/{id}/metadata.
type metadata struct {
	file
	Survives int `json:"survives"`
	Parts    []struct {
		Chunks []struct {
			Node      string `json:"node"`
			Reachable bool   `json:"reachable"`
			Role      string `json:"role"`
		} `json:"chunks"`
	} `json:"parts"`
}

func describe(t *testing.T, c *cluster.Cluster, id string) metadata {
	t.Helper()
	return decode[metadata](t, do(t, request(t, c, http.MethodGet, "/files/"+id+"/metadata", nil), http.StatusOK))
}

// list is a page of GET /files.
type list struct {
	Files   []file `json:"files"`
	HasMore bool   `json:"has_more"`
}

func listed(t *testing.T, c *cluster.Cluster, query string) list {
	t.Helper()
	return decode[list](t, do(t, request(t, c, http.MethodGet, "/files?"+query, nil), http.StatusOK))
}
