package restapi_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/proto/rest"
)

func crcOf(data []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(data)))
}

func shaOf(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Sizes around every boundary: empty, one copy, one stripe, many stripes, a short last one.
var sizes = []int{0, 1, 100, unit - 1, unit, unit + 1, 4 * unit, 6*unit + 7, 70_000, 300_001}

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, size := range sizes {
		data := pattern(size)
		for form, send := range map[string]func(name string) reply{
			"raw": func(name string) reply {
				return r.call("POST", "/files?bucket=default&name="+name, bytes.NewReader(data), "Content-Type", "image/png")
			},
			"raw, length unknown": func(name string) reply {
				return r.call("POST", "/files?name="+name, struct{ io.Reader }{bytes.NewReader(data)}, "Content-Type", "image/png")
			},
			"form": func(name string) reply {
				body, contentType := makeForm(t, field{name: "bucket", value: "default"}, field{name: "file", value: string(data), filename: name, contentType: "image/png"})
				return r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType)
			},
			"form, length unknown": func(name string) reply {
				body, contentType := makeForm(t, field{name: "name", value: name}, field{name: "other", value: "ignored"},
					field{name: "file", value: string(data), filename: "other.png", contentType: "image/png"}, field{name: "submit", value: "Send"})
				return r.call("POST", "/files", struct{ io.Reader }{bytes.NewReader(body)}, "Content-Type", contentType)
			},
		} {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(form, " ", "_"), size)
			got := send(name)
			f := decode[rest.File](t, got, http.StatusCreated)
			require.Equal(t, "/files/"+f.FileID, got.location)
			require.Equal(t, rest.File{
				FileID: f.FileID, Bucket: "default", Name: name, Size: int64(size), ContentType: "image/png", Status: rest.StatusCompleted,
				Latest: true, ETag: f.ETag, Checksums: rest.Checksums{CRC64NVME: crcOf(data)}, CreatedAt: f.CreatedAt, CompletedAt: f.CompletedAt,
			}, f)
			require.NotEmpty(t, f.ETag)

			down := r.call("GET", "/files/"+f.FileID, nil)
			require.Equal(t, http.StatusOK, down.status)
			require.True(t, bytes.Equal(data, down.body), name)
			require.Equal(t, "image/png", down.header.Get("Content-Type"))
			require.Equal(t, crcOf(data), down.header.Get("X-Checksum-Crc64nvme"))
			require.Equal(t, got.header.Get("ETag"), down.header.Get("ETag"))
			require.Equal(t, fmt.Sprint(size), down.header.Get("Content-Length"))
		}
	}
}

// Names are kept byte for byte, however they are written in the address, and never become paths.
func TestUploadNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, name := range []string{
		"plain", "with space", "a/b/c", "/leading", "trailing/", "..", "../../etc/passwd", "a//b", "a/./b", "%2F", "%252F", "a+b", "a,b", "a;b", "a&b=c",
		"ünïcödé/日本語.txt", "😀", `quote"back\slash`, "new\nline", "tab\t", "a?b#c", "'", "*", strings.Repeat("n", 1024), strings.Repeat("é", 512), "\x7f",
	} {
		f := r.put(name, []byte(name))
		require.Equal(t, name, f.Name)
		down := r.call("GET", "/files/"+f.FileID, nil)
		require.Equal(t, name, string(down.body))
		named := decode[rest.FileList](t, r.call("GET", "/files?name="+url.QueryEscape(name), nil), http.StatusOK)
		require.Len(t, named.Files, 1, name)
		require.Equal(t, f.FileID, named.Files[0].FileID)

		if strings.ContainsAny(name, "\n\"\\\t\x7f") {
			continue // cannot stand in a form's filename, but in its field
		}
		body, contentType := makeForm(t, field{name: "file", value: name, filename: name})
		g := decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
		require.Equal(t, name, g.Name)
	}
	body, contentType := makeForm(t, field{name: "name", value: "new\nline\""}, field{name: "file", value: "x", filename: "y"})
	g := decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
	require.Equal(t, "new\nline\"", g.Name)
}

// A form that names no object does not delete the file whose name its filename happens to be. A given name replaces.
func TestFormWithoutANameKeepsTheEarlierFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	send := func(fields ...field) rest.File {
		body, contentType := makeForm(t, append(fields, field{name: "file", value: "later", filename: "photo.jpg"})...)
		return decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
	}
	listed := func() (ids []string) {
		for _, f := range decode[rest.FileList](t, r.call("GET", "/files?sort=created_at", nil), http.StatusOK).Files {
			ids = append(ids, f.FileID)
		}
		return ids
	}
	earlier := r.put("photo.jpg", []byte("earlier"))
	later := send()
	require.True(t, later.Latest)
	require.Equal(t, "earlier", string(r.call("GET", "/files/"+earlier.FileID, nil).body))
	require.Equal(t, "later", string(r.call("GET", "/files/by-name?name=photo.jpg", nil).body))
	require.Equal(t, []string{earlier.FileID, later.FileID}, listed())

	given := send(field{name: "name", value: "photo.jpg"})
	require.Equal(t, http.StatusNotFound, r.call("GET", "/files/"+later.FileID, nil).status)
	require.Equal(t, []string{earlier.FileID, given.FileID}, listed())

	require.Equal(t, http.StatusNoContent, r.call("DELETE", "/files/"+earlier.FileID, nil).status)
	require.Equal(t, "later", string(r.call("GET", "/files/by-name?name=photo.jpg", nil).body))
	require.Equal(t, []string{given.FileID}, listed())
}

func TestUploadContentTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for sent, kept := range map[string]string{
		"text/html; charset=utf-8":          "text/html; charset=utf-8",
		"application/octet-stream":          "application/octet-stream",
		"application/x-www-form-urlencoded": "application/octet-stream",
	} {
		require.Equal(t, kept, r.put("x", []byte("x"), "Content-Type", sent).ContentType)
	}
	body, contentType := makeForm(t, field{name: "file", value: "x", filename: "x"})
	f := decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
	require.Equal(t, "application/octet-stream", f.ContentType)
}

// The form's fields take precedence over the query.
func TestUploadFormOverAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	body, contentType := makeForm(t, field{name: "bucket", value: "default"}, field{name: "name", value: "field"}, field{name: "file", value: "x", filename: "filename"})
	f := decode[rest.File](t, r.call("POST", "/files?bucket=absent&name=address", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
	require.Equal(t, "field", f.Name)
	body, contentType = makeForm(t, field{name: "file", value: "x", filename: "filename"})
	f = decode[rest.File](t, r.call("POST", "/files?name=address", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
	require.Equal(t, "address", f.Name)
}

// TestUpload_InvalidContentType sends this and all other invalid requests: each gets
// its problem document, and nothing becomes visible.
func TestUpload_InvalidContentType(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for name, c := range map[string]struct{ path, contentType string }{
		"none":                   {"/files", ""},
		"none, with a name":      {"/files?name=x", ""},
		"text without a name":    {"/files", "text/plain"},
		"JSON without a name":    {"/files?bucket=default", "application/json"},
		"no type":                {"/files?name=x", "text"},
		"malformed":              {"/files?name=x", "/;="},
		"another multipart":      {"/files?name=x", "multipart/mixed; boundary=x"},
		"form without boundary":  {"/files", "multipart/form-data"},
		"form, another boundary": {"/files", "multipart/form-data; boundary=other"},
	} {
		req := r.request("POST", c.path, strings.NewReader("hello"))
		if c.contentType != "" {
			req.Header.Set("Content-Type", c.contentType)
		}
		p := refused(t, r.do(req), http.StatusBadRequest, rest.CodeInvalid)
		require.NotEmpty(t, p.Hint, name)
	}
	r.empty()
}

func TestUploadBrokenForm(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	large := strings.Repeat("x", 300_000)
	file := field{name: "file", value: "hello", filename: "x"}
	whole := func(fields ...field) []byte {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		require.NoError(t, w.SetBoundary("border"))
		for _, f := range fields {
			part, err := w.CreateFormFile(f.name, f.filename)
			require.NoError(t, err)
			_, err = io.WriteString(part, f.value)
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		return b.Bytes()
	}
	good, big := whole(file), whole(field{name: "file", value: large, filename: "x"})
	many := make([]field, 70)
	for name, body := range map[string][]byte{
		"empty":                nil,
		"no form at all":       []byte("hello"),
		"ends in the headers":  good[:30],
		"ends in the file":     good[:len(good)-15],
		"ends in the border":   good[:len(good)-5],
		"ends a byte early":    bytes.TrimSuffix(good, []byte("-\r\n")),
		"large, ends early":    big[:len(big)-100_000],
		"large, no end":        bytes.TrimSuffix(big, []byte("--border--\r\n")),
		"no file":              whole(field{name: "other", value: "x"}),
		"no fields":            []byte("--border--\r\n"),
		"no disposition":       []byte("--border\r\nContent-Type: text/plain\r\n\r\nhello\r\n--border--\r\n"),
		"bad disposition":      []byte("--border\r\nContent-Disposition: ;;\r\n\r\nhello\r\n--border--\r\n"),
		"bad header":           []byte("--border\r\nno header\r\n\r\nhello\r\n--border--\r\n"),
		"bad type of the file": []byte("--border\r\nContent-Disposition: form-data; name=file; filename=x\r\nContent-Type: ???\r\n\r\nhello\r\n--border--\r\n"),
		"name behind":          whole(file, field{name: "name", value: "late"}),
		"bucket behind":        whole(file, field{name: "bucket", value: "late"}),
		"two files":            whole(file, file),
		"long name":            whole(field{name: "name", value: large}, file),
		"long other field":     whole(field{name: "other", value: large}, file),
		"long field behind":    whole(file, field{name: "other", value: large}),
		"many fields":          whole(append(many, file)...),
		"many fields behind":   whole(append([]field{file}, many...)...),
		"more behind":          append(bytes.Clone(good), large...),
		"no filename":          whole(field{name: "file", value: "hello"}),
	} {
		for _, length := range []bool{true, false} {
			var send io.Reader = bytes.NewReader(body)
			if !length {
				send = struct{ io.Reader }{send}
			}
			p := refused(t, r.call("POST", "/files", send, "Content-Type", "multipart/form-data; boundary=border"), http.StatusBadRequest, rest.CodeInvalid)
			require.NotEmpty(t, p.Detail, name)
			r.empty()
		}
	}
}

func TestUploadBadNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, query := range []string{
		"name=", "name=%00", "name=a%00b", "name=%ff", "name=%c3", "name=" + strings.Repeat("n", 1025), "name=%zz", "name=a;b", "name=a&name=b",
		"name=x&bucket=A", "name=x&bucket=a", "name=x&bucket=..%2F..", "name=x&bucket=" + strings.Repeat("b", 64),
	} {
		refused(t, r.call("POST", "/files?"+query, strings.NewReader("x"), "Content-Type", "text/plain"), http.StatusBadRequest, rest.CodeInvalid)
	}
	refused(t, r.call("POST", "/files?name=x&bucket=absent", strings.NewReader("x"), "Content-Type", "text/plain"), http.StatusNotFound, rest.CodeNotFound)
	body, contentType := makeForm(t, field{name: "bucket", value: "absent"}, field{name: "file", value: "x", filename: "x"})
	refused(t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusNotFound, rest.CodeNotFound)
	r.empty()
}

func TestUploadChecksums(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	f := r.put("both", data, "X-Checksum-Crc64nvme", crcOf(data), "X-Checksum-Sha256", shaOf(data))
	require.Equal(t, rest.Checksums{CRC64NVME: crcOf(data), SHA256: shaOf(data)}, f.Checksums)
	require.Equal(t, shaOf(data), r.call("HEAD", "/files/"+f.FileID, nil).header.Get("X-Checksum-Sha256"))
	require.Equal(t, shaOf(data), r.put("asked", data, "X-Checksum-Algorithm", "SHA256").Checksums.SHA256)
	require.Empty(t, r.put("not asked", data, "X-Checksum-Algorithm", "CRC64NVME").Checksums.SHA256)

	body, contentType := makeForm(t, field{name: "file", value: string(data), filename: "form"})
	f = decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType, "X-Checksum-Sha256", shaOf(data)), http.StatusCreated)
	require.Equal(t, shaOf(data), f.Checksums.SHA256)
	refused(t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType, "X-Checksum-Sha256", shaOf(data[1:])), http.StatusBadRequest, rest.CodeCorrupt)
}

func TestUploadWrongChecksums(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, size := range []int{0, 100, 50_000} {
		data := pattern(size)
		other := append([]byte("x"), data...)
		for _, c := range []struct {
			header, value string
			code          rest.ProblemCode
		}{
			{"X-Checksum-Crc64nvme", crcOf(other), rest.CodeCorrupt},
			{"X-Checksum-Sha256", shaOf(other), rest.CodeCorrupt},
			{"X-Checksum-Crc64nvme", "AAAA", rest.CodeInvalid},
			{"X-Checksum-Crc64nvme", "not base64!!", rest.CodeInvalid},
			{"X-Checksum-Sha256", crcOf(data), rest.CodeInvalid},
			{"X-Checksum-Algorithm", "MD5", rest.CodeInvalid},
		} {
			refused(t, r.call("POST", "/files?name=x", bytes.NewReader(data), "Content-Type", "text/plain", c.header, c.value), http.StatusBadRequest, c.code)
		}
		r.empty()
	}
}

func TestUploadTrailers(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	send := func(name, value string, form bool) reply {
		body, contentType, path := data, "text/plain", "/files?name=x"
		if form {
			body, contentType = makeForm(t, field{name: "file", value: string(data), filename: "x"})
			path = "/files"
		}
		req := r.request("POST", path, struct{ io.Reader }{bytes.NewReader(body)}, "Content-Type", contentType)
		req.Trailer = http.Header{name: {value}}
		return r.do(req)
	}
	for _, form := range []bool{false, true} {
		for name, value := range map[string]string{"X-Checksum-Sha256": shaOf(data[1:]), "X-Checksum-Crc64nvme": crcOf(data[1:])} {
			refused(t, send(name, value, form), http.StatusBadRequest, rest.CodeCorrupt)
			refused(t, send(name, "???", form), http.StatusBadRequest, rest.CodeInvalid)
		}
		r.empty()
	}
	for _, form := range []bool{false, true} {
		require.Equal(t, shaOf(data), decode[rest.File](t, send("X-Checksum-Sha256", shaOf(data), form), http.StatusCreated).Checksums.SHA256)
		require.Empty(t, decode[rest.File](t, send("X-Checksum-Crc64nvme", crcOf(data), form), http.StatusCreated).Checksums.SHA256)
	}
}

// TestUpload_ExceedsMaxSize: refused at once by Content-Length, otherwise within the stream.
func TestUpload_ExceedsMaxSize(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{maxFile: 100_000})
	data := pattern(100_001)
	refused(t, r.call("POST", "/files?name=x", bytes.NewReader(data), "Content-Type", "text/plain"), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	refused(t, r.call("POST", "/files?name=x", struct{ io.Reader }{bytes.NewReader(data)}, "Content-Type", "text/plain"), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	body, contentType := makeForm(t, field{name: "file", value: string(data), filename: "x"})
	refused(t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	r.empty()
	body, contentType = makeForm(t, field{name: "file", value: string(data[1:]), filename: "x"})
	decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), "Content-Type", contentType), http.StatusCreated)
}

// A body whose length is too large is refused before a byte of it is sent or read, with
// and without Expect.
func TestUploadTooLargeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{maxFile: 100_000})
	for _, contentType := range []string{"text/plain", "multipart/form-data; boundary=x"} {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			conn := r.dial()
			fmt.Fprintf(conn, "POST /files?name=x HTTP/1.1\r\nHost: x\r\n%sContent-Type: %s\r\nContent-Length: 11811160064\r\n%s\r\n", r.authorization(), contentType, expect)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
			refused(t, whole(t, resp), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
			require.NoError(t, conn.Close())
		}
	}
	r.empty()
}

// With Expect: 100-continue, errors are returned before the body is requested.
func TestUploadExpect(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	req := r.request("POST", "/files?name=x", unsent{t}, "Content-Type", "text/plain", "Expect", "100-continue", "Authorization", "Basic eDp5")
	req.ContentLength = 1000
	refused(t, r.do(req), http.StatusUnauthorized, rest.CodeDenied)
	req = r.request("POST", "/files?name=x&bucket=absent", unsent{t}, "Content-Type", "text/plain", "Expect", "100-continue")
	req.ContentLength = 1000
	refused(t, r.do(req), http.StatusNotFound, rest.CodeNotFound)
	r.put("good", pattern(1000), "Expect", "100-continue")
}

// unsent is a body that must not be read.
type unsent struct{ t testing.TB }

func (u unsent) Read([]byte) (int, error) {
	u.t.Error("the body was sent")
	return 0, io.EOF
}

// An upload whose client disconnects midway leaves nothing visible, as a form and as a raw body.
func TestUploadClientGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for name, head := range map[string]string{
		"raw":     "Content-Type: text/plain\r\nContent-Length: 300000\r\n\r\n",
		"chunked": "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
		"form": "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 300000\r\n\r\n" +
			"--x\r\nContent-Disposition: form-data; name=file; filename=x\r\n\r\n",
	} {
		conn := r.dial()
		fmt.Fprintf(conn, "POST /files?name=x HTTP/1.1\r\nHost: x\r\n%s%s", r.authorization(), head)
		_, err := conn.Write(pattern(150_000))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		l := r.ended("POST")
		require.ErrorIs(t, l.attrs["error"].Any().(error), store.Canceled, name)
		r.empty()
	}
}

// The request of a client that stalls gets an error and is aborted.
func TestUploadStalled(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{idle: 100 * time.Millisecond})
	conn := r.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "POST /files?name=x HTTP/1.1\r\nHost: x\r\n%sContent-Type: text/plain\r\nContent-Length: 300000\r\n\r\nhello", r.authorization())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	p := refused(t, whole(t, resp), http.StatusRequestTimeout, rest.CodeCanceled)
	require.Contains(t, p.Detail, "stalled")
	require.True(t, resp.Close)
	r.empty()
}

// A slow client that keeps sending is not aborted, however long it takes.
func TestUploadSlow(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond
	r := newRig(t, setup{idle: idle})
	data := pattern(60)
	reader, writer := io.Pipe()
	go func() {
		for i := range data {
			time.Sleep(idle / 20) // ADR 111: the rate is what is tested, 3 times the idle time in all
			writer.Write(data[i : i+1])
		}
		writer.Close()
	}()
	f := decode[rest.File](t, r.call("POST", "/files?name=x", reader, "Content-Type", "text/plain"), http.StatusCreated)
	require.EqualValues(t, len(data), f.Size)
}

func TestUploadBrokenChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	conn := r.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "POST /files?name=x HTTP/1.1\r\nHost: x\r\n%sContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", r.authorization())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	refused(t, whole(t, resp), http.StatusBadRequest, rest.CodeInvalid)
	r.empty()
}

func TestUploadWithoutNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{noNodes: true})
	got := r.call("POST", "/files?name=x", strings.NewReader("x"), "Content-Type", "text/plain")
	refused(t, got, http.StatusServiceUnavailable, rest.CodeUnavailable)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	r.empty()
}

func TestUploadToFullNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, n := range r.nodes {
		n.SetLimit(0)
	}
	for _, size := range []int{100, 300_000} {
		refused(t, r.call("POST", "/files?name=x", bytes.NewReader(pattern(size)), "Content-Type", "text/plain"), http.StatusInsufficientStorage, rest.CodeNoSpace)
	}
	r.empty()
}

func TestUploadWhileNodesFail(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	failing := 0
	for _, n := range r.nodes {
		if failing++; failing <= 5 {
			n.SetHook(mem.Fail(store.Errorf(store.Unavailable, "the node is away"), mem.OpCreate, mem.OpCommit))
		}
	}
	got := r.call("POST", "/files?name=x", bytes.NewReader(pattern(300_000)), "Content-Type", "text/plain")
	refused(t, got, http.StatusServiceUnavailable, rest.CodeNoQuorum)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	r.empty()
}

// While the database is unavailable every route reports it; afterwards everything works again.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("x"))
	r.meta.away.Store(true)
	for _, call := range [][2]string{
		{"POST", "/files?name=y"},
		{"GET", "/files"},
		{"GET", "/files?prefix=x&bucket=default"},
		{"GET", "/files/" + f.FileID},
		{"GET", "/files/" + f.FileID + "/metadata"},
		{"GET", "/buckets"},
	} {
		got := r.call(call[0], call[1], strings.NewReader("y"), "Content-Type", "text/plain")
		p := refused(t, got, http.StatusServiceUnavailable, rest.CodeUnavailable)
		require.NotEmpty(t, got.header.Get("Retry-After"), "%v %v", call, p)
	}
	decode[rest.NodeList](t, r.call("GET", "/nodes", nil), http.StatusOK)
	stranger := r.request("GET", "/files", nil)
	stranger.SetBasicAuth("stranger", "guess")
	refused(t, r.do(stranger), http.StatusServiceUnavailable, rest.CodeUnavailable)

	r.meta.away.Store(false)
	require.Equal(t, "x", string(r.call("GET", "/files/"+f.FileID, nil).body))
	r.put("y", []byte("y"))
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(r.t.Context(), "tcp", r.addr)
	require.NoError(r.t, err)
	require.NoError(r.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

func (r *rig) authorization() string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(r.pair.AccessKey+":"+r.pair.Secret)) + "\r\n"
}

func whole(t testing.TB, resp *http.Response) reply {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return replyOf(resp, body)
}
