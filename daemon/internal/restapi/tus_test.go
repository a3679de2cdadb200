package restapi_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

const tusType = "application/offset+octet-stream"

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// tus sends a request of the protocol.
func (r *rig) tus(method, path string, body io.Reader, headers ...string) reply {
	r.t.Helper()
	return r.call(method, path, body, append([]string{"Tus-Resumable", "1.0.0"}, headers...)...)
}

// tusCreate creates an upload and returns its path.
func (r *rig) tusCreate(length int, headers ...string) string {
	r.t.Helper()
	got := r.tus("POST", "/tus", nil, append([]string{"Upload-Length", fmt.Sprint(length), "Upload-Metadata", "filename " + b64("a/b.txt") + ",filetype " + b64("text/x")}, headers...)...)
	require.Equal(r.t, http.StatusCreated, got.status, "%s", got.body)
	require.Equal(r.t, "1.0.0", got.header.Get("Tus-Resumable"))
	return got.location
}

func (r *rig) tusPatch(url string, offset int, body io.Reader, headers ...string) reply {
	r.t.Helper()
	return r.tus("PATCH", url, body, append([]string{"Content-Type", tusType, "Upload-Offset", fmt.Sprint(offset)}, headers...)...)
}

// tusHead returns the offset of an upload.
func (r *rig) tusHead(url string) http.Header {
	r.t.Helper()
	got := r.tus("HEAD", url, nil)
	require.Equal(r.t, http.StatusOK, got.status)
	require.Equal(r.t, "no-store", got.header.Get("Cache-Control"))
	return got.header
}

// tusStored requires that the upload became a file of these bytes.
func (r *rig) tusStored(url string, want []byte) {
	r.t.Helper()
	got := r.call("GET", strings.Replace(url, "/tus/", "/files/", 1), nil)
	require.Equal(r.t, http.StatusOK, got.status, "%s", got.body)
	require.True(r.t, bytes.Equal(want, got.body))
}

func TestTus_UploadInPieces(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(300_000)
	url := r.tusCreate(len(data))
	h := r.tusHead(url)
	require.Equal(t, "0", h.Get("Upload-Offset"))
	require.Equal(t, "300000", h.Get("Upload-Length"))
	require.Contains(t, h.Get("Upload-Metadata"), "filename ")
	require.NotEmpty(t, h.Get("Upload-Expires"))
	for _, cut := range [][2]int{{0, 100_000}, {100_000, 100_001}, {100_001, 300_000}} {
		got := r.tusPatch(url, cut[0], bytes.NewReader(data[cut[0]:cut[1]]))
		require.Equal(t, http.StatusNoContent, got.status, "%s", got.body)
		require.Equal(t, fmt.Sprint(cut[1]), got.header.Get("Upload-Offset"))
	}
	r.tusStored(url, data)
	h = r.tusHead(url)
	require.Equal(t, "300000", h.Get("Upload-Offset"), "a client whose last answer was lost learns that it is through")
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, 300_000, nil).status)
	list := decode[rest.FileList](t, r.call("GET", "/files?bucket=default&name=a/b.txt", nil), http.StatusOK)
	require.Len(t, list.Files, 1)
	require.Equal(t, "text/x", list.Files[0].ContentType)
}

func TestTus_EmptyAndInTheCreation(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.tusStored(r.tusCreate(0), []byte{})
	data := pattern(50_000)
	got := r.tus("POST", "/tus", bytes.NewReader(data), "Upload-Length", "50000", "Content-Type", tusType)
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	require.Equal(t, "50000", got.header.Get("Upload-Offset"))
	r.tusStored(got.location, data)
	half := r.tus("POST", "/tus/", bytes.NewReader(data[:20_000]), "Upload-Length", "50000", "Content-Type", tusType)
	require.Equal(t, "20000", half.header.Get("Upload-Offset"))
	require.Equal(t, http.StatusNoContent, r.tusPatch(half.location, 20_000, bytes.NewReader(data[20_000:])).status)
	r.tusStored(half.location, data)
}

func TestTus_DeferredLength(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	got := r.tus("POST", "/tus", nil, "Upload-Defer-Length", "1")
	require.Equal(t, http.StatusCreated, got.status)
	url := got.location
	require.Equal(t, "1", r.tusHead(url).Get("Upload-Defer-Length"))
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, 0, bytes.NewReader(data[:30_000])).status)
	require.Equal(t, http.StatusBadRequest, r.tusPatch(url, 30_000, nil, "Upload-Length", "10").status)
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, 30_000, bytes.NewReader(data[30_000:]), "Upload-Length", "50000").status)
	r.tusStored(url, data)
}

// A client may set the length with any PATCH, once, also for a partial upload.
func TestTus_DeferredLengthIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	var urls []string
	for _, header := range [][]string{nil, {"Upload-Concat", "partial"}} {
		url := r.tus("POST", "/tus", nil, append(header, "Upload-Defer-Length", "1")...).location
		require.Equal(t, http.StatusConflict, r.tusPatch(url, 1, bytes.NewReader(data), "Upload-Length", "50000").status)
		require.Equal(t, "1", r.tusHead(url).Get("Upload-Defer-Length"), "a PATCH that was refused said nothing")
		require.Equal(t, http.StatusNoContent, r.tusPatch(url, 0, bytes.NewReader(data[:10_000]), "Upload-Length", "50000").status)
		require.Equal(t, "50000", r.tusHead(url).Get("Upload-Length"))
		require.Empty(t, r.tusHead(url).Get("Upload-Defer-Length"))
		require.Equal(t, http.StatusBadRequest, r.tusPatch(url, 10_000, bytes.NewReader(data[10_000:]), "Upload-Length", "60000").status)
		require.Equal(t, http.StatusNoContent, r.tusPatch(url, 10_000, bytes.NewReader(data[10_000:])).status)
		urls = append(urls, url)
	}
	r.tusStored(urls[0], data)
	final := r.tus("POST", "/tus", nil, "Upload-Concat", "final;"+urls[1])
	require.Equal(t, http.StatusCreated, final.status)
	r.tusStored(final.location, data)
}

func TestTus_Checksum(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	sum := func(b []byte) string { s := sha1.Sum(b); return "sha1 " + base64.StdEncoding.EncodeToString(s[:]) }
	url := r.tusCreate(len(data))
	got := r.tusPatch(url, 0, bytes.NewReader(data[:30_000]), "Upload-Checksum", sum(data))
	require.Equal(t, 460, got.status)
	require.Equal(t, "0", r.tusHead(url).Get("Upload-Offset"), "nothing of it was kept")
	for _, bad := range []string{"md4 AAAA", "sha1 AAAA", "sha1 !"} {
		require.Equal(t, http.StatusBadRequest, r.tusPatch(url, 0, bytes.NewReader(data), "Upload-Checksum", bad).status)
	}
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, 0, bytes.NewReader(data), "Upload-Checksum", sum(data)).status)
	r.tusStored(url, data)
}

func TestTus_Concatenation(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	a, b := r.tusCreate(20_000, "Upload-Concat", "partial"), r.tusCreate(30_000, "Upload-Concat", "partial")
	require.Equal(t, "partial", r.tusHead(a).Get("Upload-Concat"))
	require.Equal(t, http.StatusNoContent, r.tusPatch(b, 0, bytes.NewReader(data[20_000:])).status)
	final := func(urls ...string) reply {
		return r.tus("POST", "/tus", nil, "Upload-Concat", "final;"+strings.Join(urls, " "), "Upload-Metadata", "name "+b64("whole"))
	}
	require.Equal(t, http.StatusConflict, final(a, b).status, "one of them is not through")
	require.Equal(t, http.StatusNoContent, r.tusPatch(a, 0, bytes.NewReader(data[:20_000])).status)
	require.Equal(t, http.StatusConflict, final(r.tusCreate(1)).status, "not a partial one")
	require.Equal(t, http.StatusNotFound, final("/tus/"+store.NewFileID().String()).status)
	require.Equal(t, http.StatusBadRequest, final().status)
	require.Equal(t, http.StatusBadRequest, final("nonsense").status)
	got := final("http://elsewhere"+a, b)
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	r.tusStored(got.location, data)
}

func TestTus_Termination(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	url := r.tusCreate(10)
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, 0, strings.NewReader("12345")).status)
	require.Equal(t, http.StatusNoContent, r.tus("DELETE", url, nil).status)
	require.Equal(t, http.StatusNotFound, r.tus("HEAD", url, nil).status)
	require.Equal(t, http.StatusNotFound, r.tus("DELETE", url, nil).status)
	done := r.tusCreate(0)
	require.Equal(t, http.StatusConflict, r.tus("POST", done, nil, "X-HTTP-Method-Override", "DELETE").status, "a file is deleted as one")
}

func TestTus_WhatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	url := r.tusCreate(10)
	got := r.call("PATCH", url, strings.NewReader("x"), "Content-Type", tusType, "Upload-Offset", "0")
	require.Equal(t, http.StatusPreconditionFailed, got.status)
	require.Equal(t, "1.0.0", got.header.Get("Tus-Version"))
	require.Equal(t, http.StatusUnsupportedMediaType, r.tus("PATCH", url, strings.NewReader("x"), "Upload-Offset", "0").status)
	require.Equal(t, http.StatusBadRequest, r.tus("PATCH", url, strings.NewReader("x"), "Content-Type", tusType).status)
	require.Equal(t, http.StatusBadRequest, r.tus("PATCH", url, strings.NewReader("x"), "Content-Type", tusType, "Upload-Offset", "-1").status)
	got = r.tusPatch(url, 3, strings.NewReader("x"))
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "0", got.header.Get("Upload-Offset"))
	require.Equal(t, http.StatusRequestEntityTooLarge, r.tusPatch(url, 0, strings.NewReader("12345678901")).status)
	require.Equal(t, http.StatusRequestEntityTooLarge, r.tusPatch(url, 0, io.MultiReader(strings.NewReader("12345678901"))).status, "in chunks")
	require.Equal(t, http.StatusMethodNotAllowed, r.tus("POST", url, nil).status)
	for _, headers := range [][]string{
		{},
		{"Upload-Length", "x"},
		{"Upload-Length", "1", "Upload-Defer-Length", "1"},
		{"Upload-Defer-Length", "2"},
		{"Upload-Length", "1", "Upload-Concat", "some"},
		{"Upload-Length", "1", "Upload-Metadata", "name !"},
		{"Upload-Length", "1", "Upload-Metadata", "name " + b64("a") + ",name " + b64("b")},
		{"Upload-Length", "1", "Upload-Metadata", "bucket " + b64("A")},
	} {
		require.Equal(t, http.StatusBadRequest, r.tus("POST", "/tus", nil, headers...).status, "%v", headers)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, r.tus("POST", "/tus", nil, "Upload-Length", fmt.Sprint(store.MaxFileBytes+1)).status)
	require.Equal(t, http.StatusNotFound, r.tus("POST", "/tus", nil, "Upload-Length", "1", "Upload-Metadata", "bucket "+b64("nowhere")).status)
	require.Equal(t, http.StatusNotFound, r.tus("HEAD", "/tus/nonsense", nil).status)
	problem := refused(t, r.tusPatch("/tus/"+store.NewFileID().String(), 0, strings.NewReader("x")), http.StatusNotFound, rest.CodeNotFound)
	require.NotEmpty(t, problem.Hint)
}

// A preflight needs no key; every other request does.
func TestTus_DiscoveryAndKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	anonymous := func(method string, headers ...string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.addr+"/tus", nil)
		require.NoError(t, err)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := r.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	resp := anonymous("OPTIONS", "Origin", "https://example.org", "Access-Control-Request-Method", "PATCH")
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Equal(t, "1.0.0", resp.Header.Get("Tus-Version"))
	require.Contains(t, resp.Header.Get("Tus-Extension"), "concatenation")
	require.Contains(t, resp.Header.Get("Tus-Checksum-Algorithm"), "sha1")
	require.Equal(t, "*", resp.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, resp.Header.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Equal(t, http.StatusUnauthorized, anonymous("POST", "Tus-Resumable", "1.0.0", "Upload-Length", "1").StatusCode)
	got := r.tus("POST", "/tus", nil, "Upload-Length", "1", "Origin", "https://example.org")
	require.Contains(t, got.header.Get("Access-Control-Expose-Headers"), "Upload-Offset")
}

// The bytes of an interrupted body are kept, unless they come with a checksum.
func TestTus_BrokenOffBodiesAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	for checksum, want := range map[string]string{"": "30000", "Upload-Checksum: sha1 " + base64.StdEncoding.EncodeToString(make([]byte, 20)) + "\r\n": "0"} {
		url := r.tusCreate(len(data))
		conn, err := net.Dial("tcp", r.addr)
		require.NoError(t, err)
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nTus-Resumable: 1.0.0\r\nContent-Type: %s\r\nUpload-Offset: 0\r\nContent-Length: 50000\r\n%s\r\n",
			url, b64(r.pair.AccessKey+":"+r.pair.Secret), tusType, checksum)
		_, err = conn.Write(data[:30_000])
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		r.ended("PATCH")
		require.Equal(t, want, r.tusHead(url).Get("Upload-Offset"))
		at := 0
		fmt.Sscan(want, &at)
		require.Equal(t, http.StatusNoContent, r.tusPatch(url, at, bytes.NewReader(data[at:])).status)
		r.tusStored(url, data)
	}
}

// A client that reconnects while its old connection is still open takes over.
func TestTus_TheNewConnectionTakesOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{idle: time.Hour})
	data := pattern(50_000)
	url := r.tusCreate(len(data))
	stale, w := io.Pipe()
	begun := make(chan struct{})
	go func() {
		_, _ = w.Write(data[:20_000])
		close(begun)
	}()
	t.Cleanup(func() { w.Close() })
	old := make(chan reply, 1)
	go func() {
		got, _ := r.try(r.request("PATCH", url, stale, "Tus-Resumable", "1.0.0", "Content-Type", tusType, "Upload-Offset", "0"))
		old <- got
	}()
	<-begun
	at := 0
	fmt.Sscan(r.tusHead(url).Get("Upload-Offset"), &at)
	require.LessOrEqual(t, at, 20_000)
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, at, bytes.NewReader(data[at:])).status)
	r.tusStored(url, data)
	w.Close()
	<-old
}

// Two gateways append at the same offset: one succeeds, the other's client reads the offset again.
func TestTus_AppendedElsewhereMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	url := r.tusCreate(len(data))
	id, err := store.ParseFileID(strings.TrimPrefix(url, "/tus/"))
	require.NoError(t, err)
	got := r.tusPatch(url, 0, io.MultiReader(bytes.NewReader(data[:10_000]), readFunc(func([]byte) (int, error) {
		_, err := r.engine.PutPart(t.Context(), partOf(id, 1, data[:40_000]))
		require.NoError(t, err)
		return 0, io.EOF
	})))
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Equal(t, "40000", r.tusHead(url).Get("Upload-Offset"))
	require.Equal(t, http.StatusNoContent, r.tusPatch(url, 40_000, bytes.NewReader(data[40_000:])).status)
	r.tusStored(url, data)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func partOf(id store.FileID, number int, data []byte) engine.PartRequest {
	return engine.PartRequest{Session: id, Number: number, Size: int64(len(data)), Body: bytes.NewReader(data)}
}
