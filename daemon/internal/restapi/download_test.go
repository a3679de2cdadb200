package restapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/proto/rest"
)

func TestDownloadRanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(70_000)
	full, none := r.put("full", data), r.put("none", nil)
	for _, c := range []struct {
		file     rest.File
		header   string
		status   int
		from, to int // of 200 and 206
	}{
		{full, "bytes=0-0", 206, 0, 1},
		{full, "bytes=0-99", 206, 0, 100},
		{full, "bytes=4095-4096", 206, 4095, 4097},
		{full, "bytes=30000-59999", 206, 30000, 60000},
		{full, "bytes=69999-", 206, 69999, 70000},
		{full, "bytes=0-", 206, 0, 70000},
		{full, "bytes=0-99999999999999999999999", 206, 0, 70000},
		{full, "bytes=-1", 206, 69999, 70000},
		{full, "bytes=-70001", 206, 0, 70000},
		{full, "Bytes= 5-6 ", 206, 5, 7},
		{full, "bytes=70000-", 416, 0, 0},
		{full, "bytes=99999999999999999999-", 416, 0, 0},
		{full, "bytes=-0", 416, 0, 0},
		{none, "bytes=0-0", 416, 0, 0},
		{none, "bytes=-5", 200, 0, 0},
		{full, "bytes=5-4", 200, 0, 70000},
		{full, "bytes=0-1,3-4", 200, 0, 70000},
		{full, "bytes=-", 200, 0, 70000},
		{full, "bytes=a-b", 200, 0, 70000},
		{full, "bytes=+1-2", 200, 0, 70000},
		{full, "bytes=1--2", 200, 0, 70000},
		{full, "bytes", 200, 0, 70000},
		{full, "lines=0-1", 200, 0, 70000},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			got := r.call(method, "/files/"+c.file.FileID, nil, "Range", c.header)
			require.Equal(t, c.status, got.status, c.header)
			switch c.status {
			case 416:
				require.Equal(t, fmt.Sprintf("bytes */%d", c.file.Size), got.header.Get("Content-Range"))
				require.Empty(t, got.header.Get("Accept-Ranges"))
				if method == "GET" {
					refused(t, got, 416, rest.CodeOutOfRange)
				}
				continue
			case 206:
				require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, c.file.Size), got.header.Get("Content-Range"))
				require.Empty(t, got.header.Get("X-Checksum-Crc64nvme"), "the checksum is not the range's")
			case 200:
				require.Empty(t, got.header.Get("Content-Range"))
				require.Equal(t, c.file.Checksums.CRC64NVME, got.header.Get("X-Checksum-Crc64nvme"))
			}
			require.Equal(t, fmt.Sprint(c.to-c.from), got.header.Get("Content-Length"))
			require.Equal(t, "bytes", got.header.Get("Accept-Ranges"))
			if method == "GET" {
				require.True(t, bytes.Equal(data[c.from:c.to], got.body), c.header)
			} else {
				require.Empty(t, got.body)
			}
		}
	}
}

func TestDownloadConditions(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("hello"))
	tag := `"` + f.ETag + `"`
	at := f.CompletedAt.Truncate(time.Second)
	date := func(d time.Duration) string { return at.Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{304, []string{"If-None-Match", tag}},
		{304, []string{"If-None-Match", "W/" + tag}},
		{304, []string{"If-None-Match", `"other", W/"another" , ` + tag}},
		{304, []string{"If-None-Match", "*"}},
		{200, []string{"If-None-Match", `"other"`}},
		{200, []string{"If-None-Match", f.ETag}},
		{200, []string{"If-None-Match", `"` + f.ETag}},
		{200, []string{"If-None-Match", `"other"`, "If-Modified-Since", date(0)}},
		{304, []string{"If-Modified-Since", date(0)}},
		{304, []string{"If-Modified-Since", date(time.Hour)}},
		{200, []string{"If-Modified-Since", date(-time.Second)}},
		{200, []string{"If-Modified-Since", "yesterday"}},
		{200, []string{"If-Match", tag}},
		{200, []string{"If-Match", "*"}},
		{412, []string{"If-Match", `"other"`}},
		{412, []string{"If-Match", "W/" + tag}},
		{412, []string{"If-Unmodified-Since", date(-time.Second)}},
		{200, []string{"If-Unmodified-Since", date(0)}},
		{200, []string{"If-Match", tag, "If-Unmodified-Since", date(-time.Hour)}},
		{206, []string{"Range", "bytes=1-2", "If-Range", tag}},
		{206, []string{"Range", "bytes=1-2", "If-Range", date(0)}},
		{200, []string{"Range", "bytes=1-2", "If-Range", `"other"`}},
		{200, []string{"Range", "bytes=1-2", "If-Range", "W/" + tag}},
		{200, []string{"Range", "bytes=1-2", "If-Range", date(time.Hour)}},
		{200, []string{"Range", "bytes=9-", "If-Range", `"other"`}},
	} {
		got := r.call("GET", "/files/"+f.FileID, nil, c.headers...)
		require.Equal(t, c.status, got.status, c.headers)
		switch c.status {
		case 412:
			refused(t, got, 412, rest.CodePreconditionFailed)
		case 304:
			require.Empty(t, got.body)
			require.Equal(t, tag, got.header.Get("ETag"))
		}
	}
	require.Equal(t, date(0), r.call("HEAD", "/files/"+f.FileID, nil).header.Get("Last-Modified"))
}

func TestDownloadOfNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, path := range []string{
		"/files/" + store.NewFileID().String(), "/files/no-uuid", "/files/", "/files/%00", "/files/a%2Fb", "/files/../buckets",
		"/files/" + store.NewFileID().String() + "/metadata", "/files/no-uuid/metadata", "/nowhere", "/",
	} {
		refused(t, r.call("GET", path, nil), http.StatusNotFound, rest.CodeNotFound)
		require.Equal(t, http.StatusNotFound, r.call("HEAD", "/files/no-uuid", nil).status)
	}
	got := r.call("PUT", "/files", nil)
	refused(t, got, http.StatusMethodNotAllowed, rest.CodeInvalid)
	require.Contains(t, got.header.Get("Allow"), "POST")
}

// A file whose upload is in progress is listed and described, but cannot be read.
func TestDownloadWhileUploading(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{maxFile: 64 << 20})
	reader, writer := io.Pipe()
	uploaded := make(chan reply, 1)
	go func() {
		uploaded <- r.call("POST", "/files?name=slow", reader, "Content-Type", "text/plain")
	}()
	_, err := writer.Write(pattern(200_000))
	require.NoError(t, err)
	var under rest.FileList
	require.Eventually(t, func() bool {
		under = decode[rest.FileList](t, r.call("GET", "/files?status=uploading", nil), http.StatusOK)
		return len(under.Files) == 1
	}, 20*time.Second, 5*time.Millisecond)
	f := under.Files[0]
	require.Equal(t, rest.StatusUploading, f.Status)
	require.EqualValues(t, -1, f.Size)
	require.Zero(t, f.Checksums)
	refused(t, r.call("GET", "/files/"+f.FileID, nil), http.StatusConflict, rest.CodeConflict)
	m := decode[rest.FileMetadata](t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK)
	require.Equal(t, -1, m.Survives)
	r.empty()

	require.NoError(t, writer.Close())
	done := decode[rest.File](t, <-uploaded, http.StatusCreated)
	require.Equal(t, f.FileID, done.FileID)
	require.Equal(t, http.StatusOK, r.call("GET", "/files/"+f.FileID, nil).status)
}

// No name can escape from the header's value.
func TestDownloadDisposition(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for name, want := range map[string]string{
		"plain.txt": "plain.txt", "a/b/plain.txt": "plain.txt", `say "hi".txt`: `say "hi".txt`, `back\slash`: `back\slash`,
		"new\r\nSet-Cookie: x=y": "new\r\nSet-Cookie: x=y", "ünï 日本.txt": "ünï 日本.txt", "semi; filename=other": "semi; filename=other",
		"100%41": "100%41", "tab\t\x01\x7f": "tab\t\x01\x7f", "'quote'": "'quote'",
	} {
		f := r.put(name, []byte("x"))
		got := r.call("GET", "/files/"+f.FileID, nil)
		require.Empty(t, got.header.Get("Set-Cookie"))
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
		text := got.header.Get("Content-Disposition")
		require.NotContains(t, text, "\n")
		kind, params, err := mime.ParseMediaType(text)
		require.NoError(t, err, text)
		require.Equal(t, "attachment", kind)
		require.Equal(t, want, params["filename"], text)
	}
	f := r.put("folder/", nil)
	_, params, err := mime.ParseMediaType(r.call("HEAD", "/files/"+f.FileID, nil).header.Get("Content-Disposition"))
	require.NoError(t, err)
	require.Equal(t, f.FileID, params["filename"])
}

// damage applies a function to every chunk of a file.
func (r *rig) damage(f rest.File, hit func(n *mem.Chunks, id store.ChunkID)) {
	r.t.Helper()
	m := decode[rest.FileMetadata](r.t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK)
	for _, p := range m.Parts {
		for _, c := range p.Chunks {
			node, err := store.ParseNodeID(c.NodeID)
			require.NoError(r.t, err)
			id, err := store.ParseChunkID(c.ChunkID)
			require.NoError(r.t, err)
			hit(r.nodes[node], id)
		}
	}
}

// Data that cannot be reconstructed is a 500 with the code corrupt, if nothing was sent yet.
func TestDownloadCorruptAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", pattern(300_000))
	r.damage(f, func(n *mem.Chunks, id store.ChunkID) { n.CorruptUnit(id, 0) })
	got := r.call("GET", "/files/"+f.FileID, nil)
	refused(t, got, http.StatusInternalServerError, rest.CodeCorrupt)
	for _, name := range []string{"ETag", "Accept-Ranges", "X-Checksum-Crc64nvme", "Content-Disposition"} {
		require.Empty(t, got.header.Get(name))
	}
	l := r.failed("GET")
	require.Equal(t, slog.LevelError, l.level)
	require.Equal(t, got.header.Get("X-Request-Id"), l.attrs["request"].String())
}

// A download that fails midway cannot be mistaken for a complete one.
func TestDownloadBreaksMidway(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	data := pattern(300_000)
	f := r.put("x", data)
	r.damage(f, func(n *mem.Chunks, id store.ChunkID) { n.CorruptUnit(id, 8) })
	req := r.request("GET", "/files/"+f.FileID, nil)
	req.SetBasicAuth(r.pair.AccessKey, r.pair.Secret)
	resp, err := r.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	got, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Less(t, len(got), len(data))
	require.True(t, bytes.HasPrefix(data, got), "what came is right")
	require.ErrorIs(t, r.failed("GET").attrs["error"].Any().(error), store.Corrupt)
}

// A download whose client does not read is aborted, and its memory is freed.
func TestDownloadStalled(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{idle: 200 * time.Millisecond, maxFile: 64 << 20, unit: 256 << 10})
	f := r.put("x", pattern(48<<20)) // more than what the sockets' buffers take
	conn := r.dial()
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	fmt.Fprintf(conn, "GET /files/%s HTTP/1.1\r\nHost: x\r\n%s\r\n", f.FileID, r.authorization())
	_, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	l := r.ended("GET")
	require.ErrorIs(t, l.attrs["error"].Any().(error), store.Canceled)
}

// Files are readable with as many nodes down as they survive.
func TestDownloadWithNodesGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(300_000)
	f := r.put("x", data)
	m := decode[rest.FileMetadata](t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK)
	require.Equal(t, 2, m.Wanted)
	require.GreaterOrEqual(t, m.Survives, 2)
	before := m.Survives
	require.NotEmpty(t, m.Parts)
	for _, c := range m.Parts[0].Chunks {
		require.True(t, c.Reachable)
		require.True(t, strings.HasPrefix(c.Node, "node-") && strings.HasPrefix(c.Zone, "rack-"), "%+v", c)
		require.Positive(t, c.Bytes)
		require.True(t, c.Role.Valid())
	}
	gone := 0
	for _, n := range r.nodes {
		if gone++; gone <= 2 {
			n.SetHook(mem.Fail(store.Errorf(store.Unavailable, "the node is away")))
		}
	}
	require.True(t, bytes.Equal(data, r.call("GET", "/files/"+f.FileID, nil).body))
	m = decode[rest.FileMetadata](t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK)
	require.Less(t, m.Survives, before)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	old, latest := r.put("x", []byte("old")), r.put("x", []byte("new"))
	refused(t, r.call("GET", "/files/"+old.FileID, nil), http.StatusNotFound, rest.CodeNotFound)
	got := r.call("DELETE", "/files/"+latest.FileID, nil)
	require.Equal(t, http.StatusNoContent, got.status)
	require.Empty(t, got.body)
	for _, id := range []string{latest.FileID, "no-uuid"} {
		refused(t, r.call("DELETE", "/files/"+id, nil), http.StatusNotFound, rest.CodeNotFound)
		refused(t, r.call("GET", "/files/"+id, nil), http.StatusNotFound, rest.CodeNotFound)
	}
	r.empty()
}

func TestPanics(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	f := r.put("x", pattern(300_000))
	r.meta.panics.Store(true)
	got := r.call("GET", "/files/"+f.FileID, nil)
	p := refused(t, got, http.StatusInternalServerError, rest.CodeInternal)
	require.NotContains(t, p.Detail, "boom")
	r.meta.panics.Store(false)
	require.Equal(t, http.StatusOK, r.call("GET", "/files/"+f.FileID, nil).status)
}

// Uploaded content is not executed, not embedded in other pages and not stored by shared caches.
func TestDownload_HeadersThatContainIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("page.html", []byte("<script>alert(1)</script>"))
	path := "/files/" + f.FileID
	for name, got := range map[string]reply{
		"GET": r.call("GET", path, nil), "HEAD": r.call("HEAD", path, nil), "range": r.call("GET", path, nil, "Range", "bytes=0-3"),
	} {
		for header, want := range map[string]string{
			"Content-Security-Policy": "sandbox; default-src 'none'", "Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control": "private", "X-Content-Type-Options": "nosniff",
		} {
			require.Equal(t, want, got.header.Get(header), "%s: %s", name, header)
		}
		require.Contains(t, got.header.Get("Content-Disposition"), "attachment")
	}
	same := r.call("GET", path, nil, "If-None-Match", `"`+f.ETag+`"`)
	require.Equal(t, http.StatusNotModified, same.status)
	require.Equal(t, "private", same.header.Get("Cache-Control"), "a 304 says what the 200 would")
	for _, path := range []string{"/files/nonsense", "/files", "/buckets"} {
		got := r.call("GET", path, nil)
		require.Equal(t, "same-origin", got.header.Get("Cross-Origin-Resource-Policy"), path)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), path)
	}
}
