package restapi_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Metadata is returned unchanged by every route that describes a file.
func TestMeta(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(1000)
	want := rest.Meta{"mtime": "2026-11-23T10:15:30.123456789Z", "a_b-9": `~ "value", with; signs`, "empty": ""}
	headers := []string{"X-Meta-Mtime", want["mtime"], "x-meta-A_B-9", want["a_b-9"], "X-META-EMPTY", ""}
	raw := r.put("raw", data, headers...)
	body, contentType := makeForm(t, field{name: "file", value: string(data), filename: "form"})
	form := decode[rest.File](t, r.call("POST", "/files", bytes.NewReader(body), append(headers, "Content-Type", contentType)...), http.StatusCreated)
	_, path := r.begin(rest.NewSession{Name: "session", Meta: want})
	require.Equal(t, want, r.session(path).Meta)
	require.Equal(t, want, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions[0].Meta)
	r.putPart(path, 1, data)

	for _, f := range []rest.File{raw, form, r.complete(path, nil)} {
		require.Equal(t, want, f.Meta, f.Name)
		require.Equal(t, want, r.shown("default", f.Name).Meta)
		require.Equal(t, want, decode[rest.FileMetadata](t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK).Meta)
		for _, method := range []string{"GET", "HEAD"} {
			for _, span := range []string{"", "bytes=1-2"} {
				require.Equal(t, want, metaIn(r.call(method, "/files/"+f.FileID, nil, "Range", span).header))
			}
		}
	}
	require.Nil(t, r.put("none", data).Meta)
}

// metaIn reads the headers that carry metadata.
func metaIn(h http.Header) rest.Meta {
	meta := rest.Meta{}
	for name, values := range h {
		if name, ok := strings.CutPrefix(name, "X-Meta-"); ok {
			meta[strings.ToLower(name)] = strings.Join(values, "|")
		}
	}
	return meta
}

// A problem document carries no metadata of the file.
func TestMetaNotOfProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", pattern(300_000), "X-Meta-A", "b")
	for _, n := range r.nodes {
		n.SetHook(mem.Fail(store.Errorf(store.Unavailable, "the node is away"), mem.OpOpen))
	}
	for status, headers := range map[int][]string{
		http.StatusServiceUnavailable:           nil,
		http.StatusRequestedRangeNotSatisfiable: {"Range", "bytes=300000-"},
		http.StatusPreconditionFailed:           {"If-Match", `"x"`},
	} {
		got := r.call("GET", "/files/"+f.FileID, nil, headers...)
		require.Equal(t, status, got.status, "%s", got.body)
		require.Empty(t, metaIn(got.header))
	}
}

func TestMetaInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	many := []string{}
	for i := range 30 {
		many = append(many, fmt.Sprintf("X-Meta-%02d", i), strings.Repeat("v", 67)) // 69 bytes each, 2070 together
	}
	send := func(headers []string) reply {
		req := r.request("POST", "/files?name=x", strings.NewReader("x"), "Content-Type", "text/plain")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Add(headers[i], headers[i+1])
		}
		return r.do(req)
	}
	for _, headers := range [][]string{
		{"X-Meta-" + strings.Repeat("n", 65), "v"},
		{"X-Meta-", "v"},
		{"X-Meta-a.b", "v"},
		{"X-Meta-A", "\xc3\xa9"},
		{"X-Meta-A", "tab\tin"},
		{"X-Meta-A", strings.Repeat("v", 2048)},
		{"X-Meta-A", "1", "X-Meta-A", "2"},
		many,
	} {
		refused(t, send(headers), http.StatusBadRequest, rest.CodeInvalid)
	}
	r.empty()
	decode[rest.File](t, send([]string{"X-Meta-" + strings.Repeat("n", 64), strings.Repeat("v", 2048-64)}), http.StatusCreated)
	decode[rest.File](t, send(many[:2*29]), http.StatusCreated)
}
