package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, p profile.Profile) *client.Client {
	t.Helper()
	c := client.New(client.Config{Profile: p, Agent: "test"})
	t.Cleanup(c.Close)
	return c
}

func start(t *testing.T) (*resttest.Server, *client.Client) {
	t.Helper()
	s := resttest.New(t)
	return s, dial(t, s.Profile())
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	ctx := t.Context()
	one := 1
	b, err := c.CreateBucket(ctx, "photos", &one)
	require.NoError(t, err)
	require.Equal(t, 1, *b.Survive)
	_, err = c.CreateBucket(ctx, "photos", nil)
	require.Equal(t, fault.Conflict, fault.ExitOf(err))
	require.EqualError(t, err, `bucket "photos" exists already`)
	require.Equal(t, "Choose another name.", fault.SaidOf(err))

	list, err := c.Buckets(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	b, err = c.Bucket(ctx, "photos")
	require.NoError(t, err)
	require.Equal(t, "photos", b.Name)
	_, err = c.Bucket(ctx, "nope")
	require.EqualError(t, err, `bucket "nope" does not exist`)
	require.Equal(t, "s3ctl bucket create s3://nope", fault.HintOf(err))

	s.Add("photos", "x", "x")
	require.Equal(t, fault.Conflict, fault.ExitOf(c.DeleteBucket(ctx, "photos")))
	f, err := c.Latest(ctx, "photos", "x")
	require.NoError(t, err)
	require.NoError(t, c.DeleteFile(ctx, f.FileID))
	require.Equal(t, fault.NotFound, fault.ExitOf(c.DeleteFile(ctx, f.FileID)))
	require.NoError(t, c.DeleteBucket(ctx, "photos"))
	require.Equal(t, fault.NotFound, fault.ExitOf(c.DeleteBucket(ctx, "photos")))
}

func TestLatest_IsTheOneOfExactlyThisName(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	s.Add("default", "a/b", "1")
	s.Add("default", "a/b/c", "2")
	want := s.Add("default", "a/b", "3")
	got, err := c.Latest(t.Context(), "default", "a/b")
	require.NoError(t, err)
	require.Equal(t, want.FileID, got.FileID)
	_, err = c.Latest(t.Context(), "default", "a/x")
	require.EqualError(t, err, "the object does not exist")
	require.Equal(t, "s3ctl ls s3://default/a/", fault.HintOf(err))
	_, err = c.Latest(t.Context(), "nope", "a")
	require.EqualError(t, err, `bucket "nope" does not exist`)
	m, err := c.Metadata(t.Context(), want.FileID)
	require.NoError(t, err)
	require.Len(t, m.Parts, 1)
}

// The concatenated pages equal one long page, for any page size.
func TestList_PagesJoinInOrder(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	names := []string{"../x", "a", "a/1", "a/2", "a//3", "b/1", "c", "z/é"}
	for _, n := range names {
		s.Add("default", n, n)
	}
	for _, tc := range []struct {
		prefix, delimiter string
		want              []string
	}{
		{"", "", []string{"../x", "a", "a//3", "a/1", "a/2", "b/1", "c", "z/é"}},
		{"", "/", []string{"../", "a", "a/", "b/", "c", "z/"}},
		{"a/", "/", []string{"a//", "a/1", "a/2"}},
		{"nothing", "", nil},
	} {
		for size := range 9 {
			var got []string
			for e, err := range c.List(t.Context(), client.Query{Bucket: "default", Prefix: tc.prefix, Delimiter: tc.delimiter, PageSize: size}) {
				require.NoError(t, err)
				require.Equal(t, e.File == nil, tc.delimiter != "" && strings.HasSuffix(e.Name, "/"))
				got = append(got, e.Name)
			}
			require.Equal(t, tc.want, got, "%+v in pages of %d", tc, size)
		}
	}
	for e, err := range c.List(t.Context(), client.Query{Bucket: "default"}) {
		require.NoError(t, err)
		require.Equal(t, "../x", e.Name)
		break // the caller may stop early
	}
	for _, err := range c.List(t.Context(), client.Query{Bucket: "nope"}) {
		require.EqualError(t, err, `bucket "nope" does not exist`)
	}
}

func upload(name, data string) client.Upload {
	return client.Upload{Bucket: "default", Name: name, Size: int64(len(data)), ContentType: "text/plain", Body: strings.NewReader(data)}
}

func TestUpload_InAllForms(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	big := strings.Repeat("0123456789abcdef", 400_000) // larger than every buffer, and sent with Expect: 100-continue
	crc := s.Add("default", "big", big).Checksums.CRC64NVME

	f, err := c.Upload(t.Context(), upload("known", big))
	require.NoError(t, err)
	require.Equal(t, crc, f.Checksums.CRC64NVME)
	require.Equal(t, "text/plain", f.ContentType)

	u := upload("header", big)
	u.CRC = crc
	_, err = c.Upload(t.Context(), u)
	require.NoError(t, err)

	u = upload("wrong", big)
	u.CRC = "AAAAAAAAAAA="
	_, err = c.Upload(t.Context(), u)
	require.Equal(t, fault.Corrupt, fault.ExitOf(err))

	f, err = c.Upload(t.Context(), upload("../empty//", ""))
	require.NoError(t, err)
	require.Zero(t, f.Size)
	require.Equal(t, []string{"../empty//", "big", "header", "known"}, s.Names("default"))
}

func TestUpload_FailuresKeepTheirCause(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	u := upload("x", "x")
	u.Bucket = "nope"
	_, err := c.Upload(t.Context(), u)
	require.EqualError(t, err, `bucket "nope" does not exist`)

	cause := fault.New(problem.Conflict, "the file changed")
	u = upload("x", strings.Repeat("x", 1<<20))
	u.Body = io.MultiReader(strings.NewReader("xxx"), failing{cause})
	_, err = c.Upload(t.Context(), u)
	require.ErrorIs(t, err, cause)

	ctx, cancel := context.WithCancel(t.Context())
	u.Body = readerFunc(func([]byte) (int, error) { cancel(); return 0, errors.New("whatever") })
	_, err = c.Upload(ctx, u)
	require.ErrorIs(t, err, context.Canceled)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestDownload_WholeAndRanges(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	f := s.Add("default", "x", "0123456789")
	for _, tc := range []struct {
		r    *client.Range
		want string
	}{
		{nil, "0123456789"},
		{&client.Range{First: 2, Last: 4}, "234"},
		{&client.Range{First: 7, Last: -1}, "789"},
		{&client.Range{First: -2}, "89"},
	} {
		d, err := c.Download(t.Context(), f, tc.r)
		require.NoError(t, err)
		data, err := io.ReadAll(d)
		require.NoError(t, err)
		require.NoError(t, d.Close())
		require.Equal(t, tc.want, string(data))
	}
	_, err := c.Download(t.Context(), f, &client.Range{First: 10, Last: -1})
	require.EqualError(t, err, "the file has 10 bytes")
	require.Equal(t, fault.Invalid, fault.ExitOf(err))
	_, err = c.Download(t.Context(), rest.File{FileID: "none"}, nil)
	require.Equal(t, fault.NotFound, fault.ExitOf(err))
}

func TestDownload_AnEarlyEndIsAnError(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "only this")
		return true
	})
	d, err := c.Download(t.Context(), rest.File{FileID: "x", Size: 100}, nil)
	require.NoError(t, err)
	defer d.Close()
	_, err = io.ReadAll(d)
	require.Equal(t, fault.Unavailable, fault.ExitOf(err))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// The stall timeout is short because the test waits for it to expire.
func TestDownload_ASilentServerIsGivenUp(t *testing.T) {
	t.Parallel()
	s := resttest.New(t)
	release := make(chan struct{})
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "a little")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	c := client.New(client.Config{Profile: s.Profile(), Stall: 20 * time.Millisecond})
	t.Cleanup(c.Close)
	t.Cleanup(func() { close(release) })
	d, err := c.Download(t.Context(), rest.File{FileID: "x", Size: 100}, nil)
	if err == nil {
		defer d.Close()
		_, err = io.ReadAll(d)
	}
	require.ErrorContains(t, err, "the connection stalled: nothing was received")
	require.Equal(t, fault.Unavailable, fault.ExitOf(err))
}

func TestErrors_WhatSomethingElseAnswers(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	for status, want := range map[int]fault.Exit{
		400: fault.Invalid, 401: fault.Denied, 403: fault.Denied, 409: fault.Conflict, 412: fault.Conflict, 413: fault.NoSpace, 416: fault.Invalid,
		507: fault.NoSpace, 408: fault.Unavailable, 429: fault.Unavailable, 502: fault.Unavailable, 503: fault.Unavailable, 504: fault.Unavailable, 500: fault.Failed, 418: fault.Failed,
	} {
		s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "<html>", status)
			return true
		})
		_, err := c.Buckets(t.Context())
		require.Equal(t, want, fault.ExitOf(err), "%d: %v", status, err)
		require.ErrorContains(t, err, fmt.Sprint(status))
		e, ok := errors.AsType[*fault.Error](err)
		require.True(t, ok)
		require.Equal(t, 7*time.Second, e.RetryAfter)
	}
	for header, want := range map[string]time.Duration{"100000": time.Minute, "-1": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "": 0} {
		s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", header)
			resttest.Refuse(w, 503, rest.CodeNoQuorum, "", "")
			return true
		})
		_, err := c.Buckets(t.Context())
		e, ok := errors.AsType[*fault.Error](err)
		require.True(t, ok)
		require.Equal(t, want, e.RetryAfter)
		require.Equal(t, "no_quorum", e.Error(), "without a detail the title must do")
	}
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "<html>hello"); return true })
	_, err := c.Buckets(t.Context())
	require.ErrorContains(t, err, "not the expected JSON")
	_, err = c.Upload(t.Context(), upload("x", "x"))
	require.ErrorContains(t, err, "not the expected JSON")
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "{}"); return true })
	_, err = c.Upload(t.Context(), upload("x", "x"))
	require.ErrorContains(t, err, "has no file")
}

func TestErrors_WrongKeyAndNobodyThere(t *testing.T) {
	t.Parallel()
	s := resttest.New(t)
	p := s.Profile()
	p.Secret = "wrong"
	_, err := dial(t, p).Buckets(t.Context())
	require.Equal(t, fault.Denied, fault.ExitOf(err))
	require.Contains(t, fault.HintOf(err), "profile")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	p.Endpoint = "http://" + l.Addr().String() + "/"
	c := dial(t, p)
	require.Equal(t, "http://"+l.Addr().String(), c.Endpoint())
	_, err = c.Buckets(t.Context())
	require.EqualError(t, err, "cannot reach "+c.Endpoint()+": connection refused")
	require.Contains(t, fault.HintOf(err), "make up")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Buckets(ctx)
	require.ErrorIs(t, err, context.Canceled)

	p.Endpoint = "http://[broken"
	_, err = dial(t, p).Buckets(t.Context())
	require.Equal(t, fault.Invalid, fault.ExitOf(err))
	_, err = dial(t, p).Upload(t.Context(), upload("x", "x"))
	require.Equal(t, fault.Invalid, fault.ExitOf(err))
	_, err = dial(t, p).Download(t.Context(), rest.File{FileID: "x"}, nil)
	require.Equal(t, fault.Invalid, fault.ExitOf(err))
}
