package resttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Suite checks what a gateway's REST API promises its clients, as far as s3ctl relies on it. The in-memory Server and a real
// gateway both pass it. Each test creates its own bucket with a name that begins with prefix, so that it can be repeated.
func Suite(t *testing.T, p profile.Profile, prefix string) {
	c := client.New(client.Config{Profile: p, Agent: "suite"})
	t.Cleanup(c.Close)
	for name, test := range map[string]func(*suite){
		"Health": (*suite).health, "WrongKey": (*suite).wrongKey, "Buckets": (*suite).bucketCalls, "Upload": (*suite).upload,
		"Replace": (*suite).replace, "WrongChecksum": (*suite).wrongChecksum, "Range": (*suite).ranges, "Absent": (*suite).absent,
		"Listing": (*suite).listing, "Delete": (*suite).deletes, "DeleteByName": (*suite).deletesByName, "Copy": (*suite).copies, "Rename": (*suite).renames,
		"Session": (*suite).session, "SessionConflicts": (*suite).sessionConflicts, "SessionAbort": (*suite).sessionAbort,
		"SessionsOfAPrefix": (*suite).sessionsOfAPrefix, "CopyPart": (*suite).copyPart,
	} {
		t.Run(name, func(t *testing.T) {
			s := &suite{T: t, c: c, profile: p, bucket: fmt.Sprintf("%s-%d", prefix, buckets.Add(1))}
			_, err := c.CreateBucket(s.Context(), s.bucket, nil)
			require.NoError(t, err)
			test(s)
		})
	}
}

// buckets numbers the buckets of all suites of a process.
var buckets atomic.Int64

// suite is one test with a bucket of its own.
type suite struct {
	*testing.T
	c       *client.Client
	profile profile.Profile
	bucket  string
}

func (s *suite) put(name, data string) rest.File {
	s.Helper()
	f, err := s.c.Upload(s.Context(), client.Upload{
		Bucket: s.bucket, Name: name, ContentType: "text/plain", Meta: map[string]string{"color": "red"},
		Size: int64(len(data)), CRC: crcOf([]byte(data)), Body: strings.NewReader(data),
	})
	require.NoError(s, err)
	return f
}

func (s *suite) get(f rest.File, r *client.Range) string {
	s.Helper()
	body, err := s.c.Download(s.Context(), f, r)
	require.NoError(s, err)
	defer body.Close()
	data, err := io.ReadAll(body)
	require.NoError(s, err)
	return string(data)
}

// fails requires an error of a kind.
func (s *suite) fails(kind problem.Kind, err error) {
	s.Helper()
	require.Error(s, err)
	require.Equal(s, kind.String(), fault.KindOf(err).String(), "%v", err)
}

func (s *suite) health() {
	h, err := s.c.Health(s.Context())
	require.NoError(s, err)
	require.Equal(s, rest.HealthOK, h.Status)
}

func (s *suite) wrongKey() {
	wrong := s.profile
	wrong.Secret = strings.Repeat("x", 40)
	c := client.New(client.Config{Profile: wrong})
	defer c.Close()
	_, err := c.Buckets(s.Context())
	s.fails(problem.Denied, err)
	_, err = c.Health(s.Context())
	require.NoError(s, err, "health needs no key")
}

func (s *suite) bucketCalls() {
	_, err := s.c.CreateBucket(s.Context(), s.bucket, nil)
	s.fails(problem.Exists, err)
	two, nine := 2, 9
	_, err = s.c.CreateBucket(s.Context(), s.bucket+"-nine", &nine)
	s.fails(problem.Invalid, err)
	made, err := s.c.CreateBucket(s.Context(), s.bucket+"-two", &two)
	require.NoError(s, err)
	require.Equal(s, 2, *made.Survive)
	got, err := s.c.Bucket(s.Context(), made.Name)
	require.NoError(s, err)
	require.Equal(s, made.Name, got.Name)
	all, err := s.c.Buckets(s.Context())
	require.NoError(s, err)
	require.Contains(s, names(all), made.Name)
	s.put("k", "v")
	s.put("k2", "twelve bytes")
	s.usage(13, 2)
	s.put("k", "longer")
	s.usage(18, 2)
	s.fails(problem.Conflict, s.c.DeleteBucket(s.Context(), s.bucket))
	require.NoError(s, s.c.DeleteBucket(s.Context(), made.Name))
	s.fails(problem.NotFound, s.c.DeleteBucket(s.Context(), made.Name))
	_, err = s.c.Bucket(s.Context(), made.Name)
	s.fails(problem.NotFound, err)
}

// usage requires the usage of the bucket, also in the list.
func (s *suite) usage(bytes, files int64) {
	s.Helper()
	b, err := s.c.Bucket(s.Context(), s.bucket)
	require.NoError(s, err)
	require.Equal(s, rest.Usage{Bytes: bytes, Files: files}, b.Usage)
	all, err := s.c.Buckets(s.Context())
	require.NoError(s, err)
	require.Contains(s, all, b)
}

func names(buckets []rest.Bucket) (list []string) {
	for _, b := range buckets {
		list = append(list, b.Name)
	}
	return list
}

func (s *suite) upload() {
	for _, data := range []string{"", "x", strings.Repeat("0123456789", 1000)} {
		f := s.put("dir/name ü", data)
		require.EqualValues(s, len(data), f.Size)
		require.Equal(s, crcOf([]byte(data)), f.Checksums.CRC64NVME)
		latest, err := s.c.Latest(s.Context(), s.bucket, "dir/name ü")
		require.NoError(s, err)
		require.Equal(s, f.FileID, latest.FileID)
		require.Equal(s, "text/plain", latest.ContentType)
		require.Equal(s, "red", latest.Meta["color"])
		require.Equal(s, data, s.get(f, nil))
		m, err := s.c.Metadata(s.Context(), f.FileID)
		require.NoError(s, err)
		require.Equal(s, f.ETag, m.ETag)
		require.Equal(s, "dir/name ü", m.Name)
	}
	_, err := s.c.Upload(s.Context(), client.Upload{Bucket: s.bucket + "-absent", Name: "k", ContentType: "text/plain", Body: strings.NewReader("")})
	s.fails(problem.NotFound, err)
}

func (s *suite) replace() {
	old, now := s.put("k", "old"), s.put("k", "new")
	require.NotEqual(s, old.FileID, now.FileID)
	latest, err := s.c.Latest(s.Context(), s.bucket, "k")
	require.NoError(s, err)
	require.Equal(s, now.FileID, latest.FileID)
	require.Equal(s, "new", s.get(latest, nil))
	_, err = s.c.Download(s.Context(), old, nil)
	s.fails(problem.NotFound, err)
}

func (s *suite) wrongChecksum() {
	s.put("k", "right")
	_, err := s.c.Upload(s.Context(), client.Upload{
		Bucket: s.bucket, Name: "k", ContentType: "text/plain", Size: 5, CRC: crcOf([]byte("other")), Body: strings.NewReader("wrong"),
	})
	s.fails(problem.Corrupt, err)
	latest, err := s.c.Latest(s.Context(), s.bucket, "k")
	require.NoError(s, err)
	require.Equal(s, "right", s.get(latest, nil), "a refused upload changes nothing")
}

func (s *suite) ranges() {
	f := s.put("k", "0123456789")
	for r, want := range map[client.Range]string{
		{First: 0, Last: 0}: "0", {First: 3, Last: 5}: "345", {First: 7, Last: -1}: "789", {First: 8, Last: 99}: "89", {First: -4}: "6789",
	} {
		require.Equal(s, want, s.get(f, &r), "%+v", r)
	}
}

func (s *suite) absent() {
	_, err := s.c.Latest(s.Context(), s.bucket, "absent")
	s.fails(problem.NotFound, err)
	f := s.put("k", "v")
	require.NoError(s, s.c.DeleteFile(s.Context(), f.FileID))
	_, err = s.c.Metadata(s.Context(), f.FileID)
	s.fails(problem.NotFound, err)
	_, err = s.c.Download(s.Context(), f, nil)
	s.fails(problem.NotFound, err)
	for _, err := range s.c.List(s.Context(), client.Query{Bucket: s.bucket + "-absent"}) {
		s.fails(problem.NotFound, err)
	}
}

func (s *suite) listing() {
	for _, name := range []string{"a", "a/1", "a/2/x", "a-b", "b/", "b/1", "ü"} {
		s.put(name, name)
	}
	for _, size := range []int{1, 2, 1000} {
		for _, tc := range []struct{ prefix, delimiter, want string }{
			{"", "", "a a-b a/1 a/2/x b/ b/1 ü"},
			{"a", "", "a a-b a/1 a/2/x"},
			{"", "/", "a a-b a/* b/* ü"},
			{"a/", "/", "a/1 a/2/*"},
			{"none", "", ""},
		} {
			require.Equal(s, tc.want, s.list(client.Query{Bucket: s.bucket, Prefix: tc.prefix, Delimiter: tc.delimiter, PageSize: size}), "%+v, pages of %d", tc, size)
		}
	}
}

// list returns the names of a listing, with a star after common prefixes.
func (s *suite) list(q client.Query) string {
	s.Helper()
	var list []string
	for e, err := range s.c.List(s.Context(), q) {
		require.NoError(s, err)
		if e.File == nil {
			e.Name += "*"
		}
		list = append(list, e.Name)
	}
	return strings.Join(list, " ")
}

func (s *suite) deletes() {
	f := s.put("k", "v")
	require.NoError(s, s.c.DeleteFile(s.Context(), f.FileID))
	s.fails(problem.NotFound, s.c.DeleteFile(s.Context(), f.FileID))
	require.Empty(s, s.list(client.Query{Bucket: s.bucket}))
}

// deletesByName sends its requests itself: s3ctl deletes by id what it looked up.
func (s *suite) deletesByName() {
	send := func(bucket, name, header, value string) int {
		s.Helper()
		query := url.Values{"bucket": {bucket}, "name": {name}}
		req, err := http.NewRequestWithContext(s.Context(), http.MethodDelete, s.profile.Endpoint+"/files/by-name?"+query.Encode(), nil)
		require.NoError(s, err)
		req.SetBasicAuth(s.profile.AccessKey, s.profile.Secret)
		if header != "" {
			req.Header.Set(header, value)
		}
		answer, err := http.DefaultClient.Do(req)
		require.NoError(s, err)
		require.NoError(s, answer.Body.Close())
		return answer.StatusCode
	}
	for _, name := range []string{"k", "/a//b/../c", "é b?#%2f&+", "by-name"} {
		require.Equal(s, http.StatusNotFound, send(s.bucket, name, "", ""), name)
		require.Equal(s, http.StatusPreconditionFailed, send(s.bucket, name, "If-Match", "*"), name)
		old := s.put(name, "old")
		f := s.put(name, "new")
		s.put(name+"x", "beside it")
		require.Equal(s, http.StatusPreconditionFailed, send(s.bucket, name, "If-Match", `"`+old.ETag+`"`), name)
		require.Equal(s, http.StatusPreconditionFailed, send(s.bucket, name, "If-None-Match", "*"), name)
		require.Equal(s, "new", s.get(f, nil))
		require.Equal(s, http.StatusNoContent, send(s.bucket, name, "If-Match", `"`+f.ETag+`"`), name)
		require.Equal(s, name+"x", s.list(client.Query{Bucket: s.bucket}))
		require.Equal(s, http.StatusNoContent, send(s.bucket, name+"x", "", ""), name)
	}
	require.Equal(s, http.StatusNotFound, send(s.bucket+"-absent", "k", "", ""))
}

func (s *suite) copies() {
	f := s.put("k", "value")
	made, err := s.c.Copy(s.Context(), f.FileID, s.bucket, "copy")
	require.NoError(s, err)
	require.NotEqual(s, f.FileID, made.FileID)
	require.Equal(s, []any{f.Size, f.ContentType, f.Meta, f.Checksums.CRC64NVME}, []any{made.Size, made.ContentType, made.Meta, made.Checksums.CRC64NVME})
	require.Equal(s, "value", s.get(made, nil))
	require.Equal(s, "copy k", s.list(client.Query{Bucket: s.bucket}))
	_, err = s.c.Copy(s.Context(), f.FileID, s.bucket+"-absent", "copy")
	s.fails(problem.NotFound, err)
}

func (s *suite) renames() {
	f := s.put("old", "value")
	s.put("new", "replaced")
	for range 2 { // repeating it changes nothing
		moved, err := s.c.Rename(s.Context(), f.FileID, s.bucket, "new")
		require.NoError(s, err)
		require.Equal(s, f.FileID, moved.FileID)
	}
	require.Equal(s, "new", s.list(client.Query{Bucket: s.bucket}))
	latest, err := s.c.Latest(s.Context(), s.bucket, "new")
	require.NoError(s, err)
	require.Equal(s, "value", s.get(latest, nil))
}

func (s *suite) begin(name string) rest.Session {
	s.Helper()
	made, err := s.c.CreateSession(s.Context(), rest.NewSession{Bucket: s.bucket, Name: name, ContentType: "text/plain"})
	require.NoError(s, err)
	return made
}

func (s *suite) putPart(ctx context.Context, session string, number int, data string) error {
	p, err := s.c.PutPart(ctx, client.PartUpload{
		Session: session, Number: number, Size: int64(len(data)), CRC: crcOf([]byte(data)), Body: strings.NewReader(data),
	})
	if err == nil {
		require.Equal(s, []any{number, int64(len(data)), crcOf([]byte(data))}, []any{p.Number, p.Size, p.CRC64NVME})
	}
	return err
}

// wholePart is the content of a part of the least size that a part before the last may have.
var wholePart = strings.Repeat("0123456789abcdef", minPart/16)

func (s *suite) session() {
	x := s.begin("k")
	require.NoError(s, s.putPart(s.Context(), x.SessionID, 2, "world"))
	require.NoError(s, s.putPart(s.Context(), x.SessionID, 1, "too small"))
	_, err := s.c.CompleteSession(s.Context(), x.SessionID, rest.CompleteSession{})
	s.fails(problem.Invalid, err)
	require.NoError(s, s.putPart(s.Context(), x.SessionID, 1, wholePart), "a part can be replaced")
	now, err := s.c.Session(s.Context(), x.SessionID)
	require.NoError(s, err)
	require.EqualValues(s, minPart+5, now.Received)
	require.Len(s, now.Parts, 2)
	size := int64(minPart + 5)
	want := rest.CompleteSession{Size: &size, Checksums: rest.PartsChecksum{CRC64NVME: crcOf([]byte(wholePart + "world"))}}
	f, err := s.c.CompleteSession(s.Context(), x.SessionID, want)
	require.NoError(s, err)
	require.Equal(s, "efworld", s.get(f, &client.Range{First: -7}))
	again, err := s.c.CompleteSession(s.Context(), x.SessionID, want)
	require.NoError(s, err, "completing again returns the file")
	require.Equal(s, f.FileID, again.FileID)
	_, err = s.c.Session(s.Context(), x.SessionID)
	s.fails(problem.NotFound, err)
}

func (s *suite) sessionConflicts() {
	x := s.begin("k")
	require.NoError(s, s.putPart(s.Context(), x.SessionID, 1, "hello"))
	_, err := s.c.CompleteSession(s.Context(), x.SessionID, rest.CompleteSession{Checksums: rest.PartsChecksum{CRC64NVME: crcOf([]byte("other"))}})
	s.fails(problem.Corrupt, err)
	_, err = s.c.CompleteSession(s.Context(), x.SessionID, rest.CompleteSession{Parts: []rest.PartRef{{Number: 1}, {Number: 2}}})
	s.fails(problem.Conflict, err)
	_, err = s.c.PutPart(s.Context(), client.PartUpload{
		Session: x.SessionID, Number: 2, Size: 5, CRC: crcOf([]byte("other")), Body: strings.NewReader("wrong"),
	})
	s.fails(problem.Corrupt, err)
	f, err := s.c.CompleteSession(s.Context(), x.SessionID, rest.CompleteSession{Parts: []rest.PartRef{{Number: 1, CRC64NVME: crcOf([]byte("hello"))}}})
	require.NoError(s, err, "a refused completion leaves the session as it was")
	require.Equal(s, "hello", s.get(f, nil))
}

func (s *suite) sessionAbort() {
	x := s.begin("k")
	require.NoError(s, s.putPart(s.Context(), x.SessionID, 1, "hello"))
	require.NoError(s, s.c.AbortSession(s.Context(), x.SessionID))
	s.fails(problem.NotFound, s.putPart(s.Context(), x.SessionID, 2, "world"))
	_, err := s.c.CompleteSession(s.Context(), x.SessionID, rest.CompleteSession{})
	s.fails(problem.NotFound, err)
	require.Empty(s, s.list(client.Query{Bucket: s.bucket}))
}

func (s *suite) sessionsOfAPrefix() {
	want := []string{s.begin("a/1").SessionID, s.begin("a/2").SessionID}
	s.begin("b")
	var got []string
	for x, err := range s.c.Sessions(s.Context(), s.bucket, "a/") {
		require.NoError(s, err)
		got = append(got, x.SessionID)
	}
	require.Equal(s, want, got, "in order of creation")
}

func (s *suite) copyPart() {
	f := s.put("source", "x"+wholePart+"end")
	x := s.begin("k")
	for number, at := range [][2]int64{{1, minPart}, {minPart + 1, 0}} { // a range, and everything after it
		p, err := s.c.CopyPart(s.Context(), x.SessionID, number+1, f.FileID, at[0], at[1])
		require.NoError(s, err)
		require.Equal(s, number+1, p.Number)
	}
	_, err := s.c.CopyPart(s.Context(), x.SessionID, 3, f.FileID, 5, 2*minPart)
	s.fails(problem.OutOfRange, err)
	made, err := s.c.CompleteSession(s.Context(), x.SessionID, rest.CompleteSession{Parts: []rest.PartRef{{Number: 1}, {Number: 2}}})
	require.NoError(s, err)
	require.Equal(s, crcOf([]byte(wholePart+"end")), made.Checksums.CRC64NVME)
}
