package restapi_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/rest"
)

// HEAD of a complete upload returns its creation headers, as does that of a final one: tus/tusd#116.
func TestTus_HeadOfCompleteUploads(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	meta := "note " + b64("hello"+strings.Repeat("x", 500))
	create := func(headers ...string) string {
		got := r.tus("POST", "/tus", nil, append(headers, "Upload-Metadata", meta)...)
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		return got.location
	}
	whole := create("Upload-Length", "3")
	require.Equal(t, http.StatusNoContent, r.tusPatch(whole, 0, strings.NewReader("abc")).status)
	part := create("Upload-Length", "2", "Upload-Concat", "partial")
	require.Equal(t, http.StatusNoContent, r.tusPatch(part, 0, strings.NewReader("hi")).status)
	require.Equal(t, "partial", r.tusHead(part).Get("Upload-Concat"))
	final := create("Upload-Concat", "final;"+part)

	for url, length := range map[string]string{whole: "3", final: "2"} {
		h := r.tusHead(url)
		require.Equal(t, meta, h.Get("Upload-Metadata"))
		require.Equal(t, length, h.Get("Upload-Length"))
		require.Equal(t, length, h.Get("Upload-Offset"))
		require.Empty(t, h.Get("Upload-Expires"))
	}
	require.Empty(t, r.tusHead(whole).Get("Upload-Concat"))
	require.Equal(t, "final;"+part, r.tusHead(final).Get("Upload-Concat"))

	file := "/files/" + strings.TrimPrefix(final, "/tus/")
	for name := range r.call("GET", file, nil).header {
		require.False(t, strings.HasPrefix(name, "X-Meta-"), "what tus keeps for itself is not the file's metadata: %s", name)
	}
	require.Empty(t, decode[rest.FileMetadata](t, r.call("GET", file+"/metadata", nil), http.StatusOK).Meta)
	for _, f := range decode[rest.FileList](t, r.call("GET", "/files", nil), http.StatusOK).Files {
		require.Empty(t, f.Meta)
	}
}

// A final upload cannot be appended to, and no upload accepts more bytes than its length.
func TestTus_PatchOfCompleteUploads(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	part := r.tusCreate(2, "Upload-Concat", "partial")
	require.Equal(t, http.StatusNoContent, r.tusPatch(part, 0, strings.NewReader("hi")).status)
	final := r.tus("POST", "/tus", nil, "Upload-Concat", "final;"+part).location
	for _, at := range []int{0, 2, 7} {
		refused(t, r.tusPatch(final, at, strings.NewReader("x")), http.StatusForbidden, rest.CodeDenied)
		require.Equal(t, http.StatusForbidden, r.tusPatch(final, at, nil).status)
	}
	r.tusStored(final, []byte("hi"))

	whole := r.tusCreate(3)
	require.Equal(t, http.StatusNoContent, r.tusPatch(whole, 0, strings.NewReader("abc")).status)
	for name, body := range map[string]io.Reader{"with a length": strings.NewReader("d"), "in chunks": io.MultiReader(strings.NewReader("d"))} {
		got := r.tusPatch(whole, 3, body)
		refused(t, got, http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
		require.Equal(t, "3", got.header.Get("Upload-Offset"), name)
	}
	require.Equal(t, http.StatusNoContent, r.tusPatch(whole, 3, nil).status, "a client whose last answer was lost may ask again")
	require.Equal(t, http.StatusNoContent, r.tusPatch(whole, 3, io.MultiReader(strings.NewReader(""))).status)
	r.tusStored(whole, []byte("abc"))
}

// Nothing is kept of a body with more bytes than the upload lacks, however it is sent.
func TestTus_SurplusBytesAreNotDroppedSilently(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	sum := sha1.Sum(data)
	right := "sha1 " + base64.StdEncoding.EncodeToString(sum[:])
	for name, headers := range map[string][]string{"plain": nil, "with the checksum of what there is room for": {"Upload-Checksum", right}} {
		url := r.tusCreate(len(data))
		long := append(bytes.Clone(data), "more"...)
		for _, body := range []io.Reader{bytes.NewReader(long), io.MultiReader(bytes.NewReader(long))} {
			got := r.tusPatch(url, 0, body, headers...)
			refused(t, got, http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
			require.Equal(t, "0", r.tusHead(url).Get("Upload-Offset"), name)
		}
		require.Equal(t, http.StatusNoContent, r.tusPatch(url, 0, bytes.NewReader(data), headers...).status)
		r.tusStored(url, data)
	}
	partial := r.tusCreate(3, "Upload-Concat", "partial")
	require.Equal(t, http.StatusRequestEntityTooLarge, r.tusPatch(partial, 0, io.MultiReader(strings.NewReader("abcd"))).status)
	require.Equal(t, "0", r.tusHead(partial).Get("Upload-Offset"))
}

// Clients take an offset that equals the length for success, so it is reported only once the file exists.
func TestTus_AnOffsetAtTheLengthMeansThatTheFileIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	url := r.tusCreate(3)
	r.meta.noComplete.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, r.tusPatch(url, 0, strings.NewReader("abc")).status)
	require.Equal(t, http.StatusServiceUnavailable, r.tus("HEAD", url, nil).status, "the bytes are there, but no file")
	r.meta.noComplete.Store(false)
	require.Equal(t, "3", r.tusHead(url).Get("Upload-Offset"))
	r.tusStored(url, []byte("abc"))
}

func TestTus_MetadataIsLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	send := func(n int) reply {
		return r.tus("POST", "/tus", nil, "Upload-Length", "1", "Upload-Metadata", fmt.Sprintf("a %s,b", b64(strings.Repeat("x", n))))
	}
	require.Equal(t, http.StatusCreated, send(2046).status)
	p := refused(t, send(2047), http.StatusBadRequest, rest.CodeInvalid)
	require.Equal(t, "metadata_size", p.Limit)
	require.Len(t, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions, 1)
}

// A type that no download can carry is dropped: pages send the type that the browser reports, which may be any text.
func TestTus_FileTypeIsOneThatADownloadCanCarry(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for given, kept := range map[string]string{
		"text/x": "text/x", "null": "application/octet-stream", "a/b\x80": "application/octet-stream", "a/" + strings.Repeat("b", 1100): "application/octet-stream",
	} {
		got := r.tus("POST", "/tus", nil, "Upload-Length", "0", "Upload-Metadata", "filetype "+b64(given))
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		file := r.call("GET", strings.Replace(got.location, "/tus/", "/files/", 1), nil)
		require.Equal(t, kept, file.header.Get("Content-Type"))
	}
}
