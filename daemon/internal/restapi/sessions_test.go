package restapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// least is the smallest size of a part that is not the last.
const least = 1 << 20

// document sends a JSON document; nil sends none.
func (r *rig) document(method, path string, v any) reply {
	r.t.Helper()
	if v == nil {
		return r.call(method, path, nil)
	}
	body, err := json.Marshal(v)
	require.NoError(r.t, err)
	return r.call(method, path, bytes.NewReader(body), "Content-Type", "application/json")
}

// begin creates a session and returns it with its path.
func (r *rig) begin(n rest.NewSession) (rest.Session, string) {
	r.t.Helper()
	got := r.document("POST", "/sessions", n)
	s := decode[rest.Session](r.t, got, http.StatusCreated)
	require.Equal(r.t, "/sessions/"+s.SessionID, got.location)
	return s, "/sessions/" + s.SessionID
}

// part sends a part, with headers in pairs.
func (r *rig) part(session string, number int, data []byte, headers ...string) reply {
	r.t.Helper()
	return r.call("PUT", fmt.Sprintf("%s/parts/%d", session, number), bytes.NewReader(data), headers...)
}

func (r *rig) putPart(session string, number int, data []byte) {
	r.t.Helper()
	p := decode[rest.SessionPart](r.t, r.part(session, number, data), http.StatusOK)
	require.Equal(r.t, crcOf(data), p.CRC64NVME)
}

func (r *rig) complete(session string, want any) rest.File {
	r.t.Helper()
	return decode[rest.File](r.t, r.document("POST", session+"/complete", want), http.StatusOK)
}

func (r *rig) session(path string) rest.Session {
	r.t.Helper()
	return decode[rest.Session](r.t, r.call("GET", path, nil), http.StatusOK)
}

// holds requires that the file has exactly these bytes.
func (r *rig) holds(f rest.File, data []byte) {
	r.t.Helper()
	got := r.call("GET", "/files/"+f.FileID, nil)
	require.Equal(r.t, http.StatusOK, got.status)
	require.True(r.t, bytes.Equal(data, got.body), "%d bytes, not the %d expected", len(got.body), len(data))
	require.Equal(r.t, crcOf(data), got.header.Get("X-Checksum-Crc64nvme"))
	require.EqualValues(r.t, len(data), f.Size)
	require.Equal(r.t, crcOf(data), f.Checksums.CRC64NVME)
}

// partBodies sends a part in every supported way.
var partBodies = map[string]func(r *rig, path string, data []byte) *http.Request{
	"length known": func(r *rig, path string, data []byte) *http.Request {
		return r.request("PUT", path, bytes.NewReader(data))
	},
	"length unknown": func(r *rig, path string, data []byte) *http.Request {
		return r.request("PUT", path, struct{ io.Reader }{bytes.NewReader(data)}, "Content-Type", "multipart/form-data")
	},
	"checksum in front": func(r *rig, path string, data []byte) *http.Request {
		return r.request("PUT", path, bytes.NewReader(data), "X-Checksum-Crc64nvme", crcOf(data), "Content-Type", "text/plain")
	},
	"checksum behind": func(r *rig, path string, data []byte) *http.Request {
		req := r.request("PUT", path, struct{ io.Reader }{bytes.NewReader(data)})
		req.Trailer = http.Header{"X-Checksum-Crc64nvme": {crcOf(data)}}
		return req
	},
}

// Parts may arrive in any order, concurrently and with gaps in their numbers; the file is their concatenation.
func TestSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	numbers := []int{1, 2, 5, 10000}
	data := pattern(3*least + 4*unit + 12_345)
	sum := crcOf(data)
	size := int64(len(data))
	s, path := r.begin(rest.NewSession{
		Name: "big", Size: &size, ContentType: "multipart/mixed; boundary=x", Checksums: rest.PartsChecksum{CRC64NVME: sum}, Meta: rest.Meta{"mtime": "now"},
	})
	require.Equal(t, "default", s.Bucket)
	require.Equal(t, size, s.Size)
	require.Equal(t, sum, s.Checksums.CRC64NVME)
	require.True(t, s.ExpiresAt.After(s.CreatedAt.Add(6*24*time.Hour)))

	parts := [][]byte{data[:least], data[least : 2*least+1], data[2*least+1 : 3*least+2], data[3*least+2:]}
	ways := slices.Sorted(maps.Keys(partBodies))
	var sending sync.WaitGroup
	for _, i := range rand.Perm(len(parts)) {
		req := partBodies[ways[i]](r, fmt.Sprintf("%s/parts/%d", path, numbers[i]), parts[i])
		sending.Go(func() {
			if got, err := r.try(req); err != nil || got.status != http.StatusOK {
				t.Errorf("%s: %d %s %v", ways[i], got.status, got.body, err)
			}
		})
	}
	sending.Wait()
	r.empty()

	s = r.session(path)
	require.Equal(t, size, s.Received)
	require.Len(t, s.Parts, len(parts))
	refs := []rest.PartRef{}
	for i, p := range s.Parts {
		require.Equal(t, rest.SessionPart{Number: numbers[i], Size: int64(len(parts[i])), CRC64NVME: crcOf(parts[i]), StoredAt: p.StoredAt}, p)
		require.False(t, p.StoredAt.IsZero())
		refs = append(refs, rest.PartRef{Number: p.Number, CRC64NVME: p.CRC64NVME})
	}

	got := r.document("POST", path+"/complete", rest.CompleteSession{Size: &size, Checksums: rest.PartsChecksum{CRC64NVME: sum}, Parts: refs})
	f := decode[rest.File](t, got, http.StatusOK)
	require.Equal(t, s.SessionID, f.FileID)
	require.Equal(t, "/files/"+f.FileID, got.location)
	require.Equal(t, `"`+f.ETag+`"`, got.header.Get("ETag"))
	require.Equal(t, sum, got.header.Get("X-Checksum-Crc64nvme"))
	require.Equal(t, "multipart/mixed; boundary=x", f.ContentType)
	require.Equal(t, rest.Meta{"mtime": "now"}, f.Meta)
	require.True(t, f.Latest)
	r.holds(f, data)
	across := r.call("GET", "/files/"+f.FileID, nil, "Range", fmt.Sprintf("bytes=%d-%d", least-10, 2*least+10))
	require.True(t, bytes.Equal(data[least-10:2*least+11], across.body))

	d := decode[rest.FileMetadata](t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK)
	require.Len(t, d.Parts, len(parts))
	for i, p := range d.Parts {
		require.Equal(t, crcOf(parts[i]), p.CRC64NVME)
		require.EqualValues(t, len(parts[i]), p.Size)
	}
	gone(t, r.call("GET", path, nil))
}

// gone requires a 404 with a hint.
func gone(t testing.TB, got reply) {
	t.Helper()
	p := refused(t, got, http.StatusNotFound, rest.CodeNotFound)
	require.Contains(t, p.Hint, "create a new session")
	require.Contains(t, p.Hint, "file has the same id")
}

// Absent members have the defaults of a plain upload.
func TestSessionDefaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	s, path := r.begin(rest.NewSession{Name: "a/../b"})
	require.Equal(t, rest.Session{
		SessionID: s.SessionID, Bucket: "default", Name: "a/../b", Size: -1, ContentType: "application/octet-stream",
		CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt,
	}, s)
	f := r.complete(path, nil)
	r.holds(f, nil)
	require.Equal(t, "application/octet-stream", f.ContentType)

	_, path = r.begin(rest.NewSession{Name: "none of them"})
	r.putPart(path, 1, pattern(100))
	r.holds(r.complete(path, map[string]any{"parts": []rest.PartRef{}}), nil)
}

func TestSessionInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, document := range []string{
		``, `{`, `[]`, `{}`, `{"name":""}`, `{"name":"a\u0000"}`, `{"name":"x"} {}`, `{"name":"x","unknown":1}`, `{"name":"x","bucket":"A B"}`,
		`{"name":"x","size":-1}`, `{"name":"x","size":1.5}`, `{"name":"x","size":"1"}`,
		`{"name":"x","content_type":"text"}`, `{"name":"x","content_type":"text/plain\n"}`, `{"name":"x","content_type":"text/plain; a=\"é\""}`,
		`{"name":"x","content_type":"a/` + strings.Repeat("b", 2000) + `"}`,
		`{"name":"x","checksums":{"crc64nvme":"AAAA"}}`, `{"name":"x","checksums":{"sha256":"` + shaOf(nil) + `"}}`,
		`{"name":"x","meta":{"A":"b"}}`, `{"name":"x","meta":{"a":1}}`, `{"name":"x","meta":{"a":" b"}}`, `{"name":"x","meta":{"":"b"}}`,
	} {
		got := r.call("POST", "/sessions", strings.NewReader(document), "Content-Type", "application/json")
		refused(t, got, http.StatusBadRequest, rest.CodeInvalid)
	}
	refused(t, r.call("POST", "/sessions", strings.NewReader(`{"name":"x"}`)), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.document("POST", "/sessions", rest.NewSession{Name: "x", Bucket: "absent"}), http.StatusNotFound, rest.CodeNotFound)
	size := int64(store.MaxFileBytes + 1)
	refused(t, r.document("POST", "/sessions", rest.NewSession{Name: "x", Size: &size}), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	require.Empty(t, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions)
}

// A wrong checksum of the file changes nothing, and the session remains usable.
func TestSessionWrongWholeChecksum(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	old := r.put("x", []byte("old"))
	data := pattern(2 * least)
	_, path := r.begin(rest.NewSession{Name: "x"})
	r.putPart(path, 1, data[:least])
	r.putPart(path, 2, data[least:])
	before := r.session(path)
	p := refused(t, r.document("POST", path+"/complete", rest.CompleteSession{Checksums: rest.PartsChecksum{CRC64NVME: crcOf(data[1:])}}), http.StatusBadRequest, rest.CodeCorrupt)
	require.Contains(t, p.Detail, crcOf(data))
	require.Contains(t, p.Title, "do not match")
	refused(t, r.document("POST", path+"/complete", rest.CompleteSession{Checksums: rest.PartsChecksum{CRC64NVME: "AAAA"}}), http.StatusBadRequest, rest.CodeInvalid)
	require.Equal(t, before, r.session(path))
	r.holds(old, []byte("old"))

	r.holds(r.complete(path, rest.CompleteSession{Checksums: rest.PartsChecksum{CRC64NVME: crcOf(data)}}), data)
	refused(t, r.call("GET", "/files/"+old.FileID, nil), http.StatusNotFound, rest.CodeNotFound)
}

// The size and checksum of the creation are enforced as well as those of the completion.
func TestSessionBegunWithSizeAndChecksum(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(1000)
	size := int64(len(data))
	_, path := r.begin(rest.NewSession{Name: "x", Size: &size, Checksums: rest.PartsChecksum{CRC64NVME: crcOf(data)}})
	refused(t, r.call("POST", path+"/complete", nil), http.StatusBadRequest, rest.CodeInvalid)
	r.putPart(path, 1, pattern(999))
	refused(t, r.call("POST", path+"/complete", nil), http.StatusBadRequest, rest.CodeInvalid)
	r.putPart(path, 1, make([]byte, 1000))
	refused(t, r.call("POST", path+"/complete", nil), http.StatusBadRequest, rest.CodeCorrupt)
	r.putPart(path, 1, data)
	other := size + 1
	refused(t, r.document("POST", path+"/complete", rest.CompleteSession{Size: &other}), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("POST", path+"/complete", strings.NewReader(`{"size":-1}`), "Content-Type", "application/json"), http.StatusBadRequest, rest.CodeInvalid)
	r.empty()
	r.holds(r.complete(path, nil), data)
}

func TestSessionPartsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(2*least + 10)
	_, path := r.begin(rest.NewSession{Name: "x"})
	r.putPart(path, 1, data[:least])
	r.putPart(path, 2, []byte("small, and left out in the end"))
	r.putPart(path, 3, data[least:])
	for _, c := range []struct {
		parts  string
		status int
		code   rest.ProblemCode
		about  string
	}{
		{`[{"number":1},{"number":2},{"number":3},{"number":4}]`, http.StatusConflict, rest.CodeConflict, "part 4 has not arrived"},
		{`[{"number":1,"crc64nvme":"` + crcOf(nil) + `"},{"number":3}]`, http.StatusConflict, rest.CodeConflict, "part 1 has the checksum"},
		{`[{"number":1,"crc64nvme":"x"}]`, http.StatusBadRequest, rest.CodeInvalid, "part 1"},
		{`[{"number":3},{"number":1}]`, http.StatusBadRequest, rest.CodeInvalid, "part 1"},
		{`[{"number":1},{"number":1}]`, http.StatusBadRequest, rest.CodeInvalid, "part 1"},
		{`[{"number":0}]`, http.StatusBadRequest, rest.CodeInvalid, "part number 0"},
		{`[{"number":10001}]`, http.StatusBadRequest, rest.CodeInvalid, "part number 10001"},
		{`[{"number":1},{"number":2},{"number":3}]`, http.StatusBadRequest, rest.CodeInvalid, "part 2 has 30 bytes"},
		{`[{"number":1,"size":5}]`, http.StatusBadRequest, rest.CodeInvalid, "size"},
	} {
		got := r.call("POST", path+"/complete", strings.NewReader(`{"parts":`+c.parts+`}`), "Content-Type", "application/json")
		require.Contains(t, refused(t, got, c.status, c.code).Detail, c.about)
	}
	require.Contains(t, refused(t, r.call("POST", path+"/complete", nil), http.StatusBadRequest, rest.CodeInvalid).Detail, "part 2")
	r.empty()
	r.holds(r.complete(path, rest.CompleteSession{Parts: []rest.PartRef{{Number: 1}, {Number: 3, CRC64NVME: crcOf(data[least:])}}}), data)
}

// The longest possible part list is accepted; a longer document is refused.
func TestSessionLongPartList(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	var parts []rest.PartRef
	for n := range store.MaxParts {
		parts = append(parts, rest.PartRef{Number: n + 1, CRC64NVME: crcOf(nil)})
	}
	refused(t, r.document("POST", path+"/complete", rest.CompleteSession{Parts: parts}), http.StatusConflict, rest.CodeConflict)
	refused(t, r.document("POST", path+"/complete", rest.CompleteSession{Parts: slices.Repeat(parts, 5)}), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
}

// A completion whose response was lost can be repeated.
func TestSessionCompletedTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(5000)
	_, path := r.begin(rest.NewSession{Name: "x"})
	r.putPart(path, 1, data)
	size := int64(len(data))
	want := rest.CompleteSession{Size: &size, Checksums: rest.PartsChecksum{CRC64NVME: crcOf(data)}}
	f := r.complete(path, want)
	require.Equal(t, f, r.complete(path, want))
	require.Equal(t, f, r.complete(path, nil))
	refused(t, r.document("POST", path+"/complete", rest.CompleteSession{Checksums: rest.PartsChecksum{CRC64NVME: crcOf(nil)}}), http.StatusConflict, rest.CodeConflict)
	gone(t, r.part(path, 1, data))
	gone(t, r.call("DELETE", path, nil))
	r.holds(f, data)
	require.Equal(t, http.StatusNoContent, r.call("DELETE", "/files/"+f.FileID, nil).status)
	gone(t, r.call("POST", path+"/complete", nil))
}

func TestSessionAborted(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	r.putPart(path, 1, pattern(5000))
	require.Equal(t, http.StatusNoContent, r.call("DELETE", path, nil).status)
	r.unknown(path)
	r.empty()
	require.Empty(t, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions)
}

func TestSessionExpired(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{ttl: time.Microsecond})
	_, path := r.begin(rest.NewSession{Name: "x"})
	gone(t, r.call("GET", path, nil))
	gone(t, r.part(path, 1, []byte("x")))
	gone(t, r.call("POST", path+"/complete", nil))
	require.Empty(t, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions)
}

// unknown requires that no call finds the session.
func (r *rig) unknown(path string) {
	r.t.Helper()
	gone(r.t, r.call("GET", path, nil))
	gone(r.t, r.part(path, 1, []byte("x")))
	gone(r.t, r.call("POST", path+"/complete", nil))
	gone(r.t, r.call("DELETE", path, nil))
}

func TestSessionUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.unknown("/sessions/" + store.NewFileID().String())
	f := r.put("x", []byte("x"))
	gone(t, r.call("GET", "/sessions/"+f.FileID, nil)) // a file that never was a session
	for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"PUT", "/parts/1"}, {"POST", "/complete"}} {
		p := refused(t, r.call(call[0], "/sessions/no-uuid"+call[1], nil), http.StatusNotFound, rest.CodeNotFound)
		require.Contains(t, p.Hint, "POST /sessions")
	}
}

func TestListSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	decode[rest.Bucket](t, r.document("POST", "/buckets", rest.NewBucket{Name: "other"}), http.StatusCreated)
	var ids []string
	for i := range 7 {
		s, path := r.begin(rest.NewSession{Name: fmt.Sprintf("%c/%d", "ab"[i%2], i), Bucket: []string{"default", "other"}[i/4]})
		r.putPart(path, 1, pattern(i+1))
		ids = append(ids, s.SessionID)
	}
	walk := func(query string, pages int) (seen []string) {
		after := ""
		for range pages {
			page := decode[rest.SessionList](t, r.call("GET", "/sessions?"+query+"&after="+url.QueryEscape(after), nil), http.StatusOK)
			for _, s := range page.Sessions {
				require.Nil(t, s.Parts)
				require.Positive(t, s.Received)
				seen = append(seen, s.SessionID)
			}
			after = page.Next
			require.Equal(t, after != "", page.HasMore)
		}
		require.Empty(t, after, "no page follows")
		return seen
	}
	require.Equal(t, ids, walk("", 1))
	require.Equal(t, ids, walk("per_page=3", 3))
	require.Equal(t, ids[:4], walk("bucket=default&per_page=4", 1))
	require.Equal(t, ids[4:], walk("bucket=other&per_page=1", 3))
	require.Equal(t, []string{ids[1], ids[3]}, walk("bucket=default&prefix=b/&per_page=1", 2))
	require.Empty(t, walk("bucket=other&prefix=c", 1))

	for _, query := range []string{"per_page=0", "per_page=1001", "per_page=x", "after=x", "prefix=%zz"} {
		refused(t, r.call("GET", "/sessions?"+query, nil), http.StatusBadRequest, rest.CodeInvalid)
	}
	refused(t, r.call("GET", "/sessions?bucket=absent", nil), http.StatusNotFound, rest.CodeNotFound)
	p := refused(t, r.call("DELETE", "/buckets/other", nil), http.StatusConflict, rest.CodeConflict)
	require.Contains(t, p.Hint, "session")
}

// Session, copy and rename routes require a key.
func TestSessionsNeedAKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	r.putPart(path, 1, []byte("x"))
	f := r.put("y", []byte("y"))
	for _, call := range [][2]string{
		{"POST", "/sessions"},
		{"GET", "/sessions"},
		{"GET", path},
		{"DELETE", path},
		{"PUT", path + "/parts/1"},
		{"PUT", path + "/parts/1?source=" + f.FileID},
		{"POST", path + "/complete"},
		{"POST", "/files/" + f.FileID + "/copy"},
		{"POST", "/files/" + f.FileID + "/rename"},
	} {
		refused(t, r.bare(call[0], call[1]), http.StatusUnauthorized, rest.CodeDenied)
		stranger := r.request(call[0], call[1], strings.NewReader("z"))
		stranger.SetBasicAuth(r.pair.AccessKey, "guess")
		refused(t, r.do(stranger), http.StatusUnauthorized, rest.CodeDenied)
	}
	r.holds(r.complete(path, nil), []byte("x"))
}

// While the database is unavailable session calls return 503; afterwards the session continues.
func TestSessionDatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	r.putPart(path, 1, []byte("x"))
	r.meta.away.Store(true)
	for _, call := range [][2]string{{"GET", "/sessions"}, {"GET", path}, {"PUT", path + "/parts/1"}, {"POST", path + "/complete"}, {"DELETE", path}} {
		var body io.Reader
		if call[0] == "PUT" {
			body = strings.NewReader("y")
		}
		got := r.call(call[0], call[1], body)
		refused(t, got, http.StatusServiceUnavailable, rest.CodeUnavailable)
		require.NotEmpty(t, got.header.Get("Retry-After"))
	}
	got := r.document("POST", "/sessions", rest.NewSession{Name: "y"})
	refused(t, got, http.StatusServiceUnavailable, rest.CodeUnavailable)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	r.meta.away.Store(false)
	r.holds(r.complete(path, nil), []byte("x"))
}
