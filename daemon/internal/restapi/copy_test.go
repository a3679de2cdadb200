package restapi_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/proto/rest"
)

// shown returns the latest file of a name; or the zero file.
func (r *rig) shown(bucket, name string) (f rest.File) {
	r.t.Helper()
	page := decode[rest.FileList](r.t, r.call("GET", "/files?sort=name&bucket="+bucket+"&prefix="+url.QueryEscape(name), nil), http.StatusOK)
	for _, f := range page.Files {
		if f.Name == name {
			return f
		}
	}
	return f
}

func (r *rig) bucket(name string) {
	r.t.Helper()
	decode[rest.Bucket](r.t, r.document("POST", "/buckets", rest.NewBucket{Name: name}), http.StatusCreated)
}

// A copy is a separate file with the same bytes, type, metadata and checksums.
func TestCopy(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.bucket("archive")
	for _, size := range []int{0, 100, 300_001} {
		data := pattern(size)
		f := r.put("a/b", data, "X-Meta-Mtime", "now", "X-Checksum-Sha256", shaOf(data))
		got := r.document("POST", "/files/"+f.FileID+"/copy", rest.Target{Bucket: "archive", Name: "../b"})
		twin := decode[rest.File](t, got, http.StatusCreated)
		require.NotEqual(t, f.FileID, twin.FileID)
		require.Equal(t, "/files/"+twin.FileID, got.location)
		require.Equal(t, "archive", twin.Bucket)
		require.Equal(t, "../b", twin.Name)
		require.Equal(t, f.Checksums, twin.Checksums)
		require.Equal(t, f.ContentType, twin.ContentType)
		require.Equal(t, f.Meta, twin.Meta)
		require.Equal(t, twin, r.shown("archive", "../b"))
		r.holds(twin, data)
		require.Equal(t, http.StatusNoContent, r.call("DELETE", "/files/"+f.FileID, nil).status)
		r.holds(twin, data)
	}
}

// A file of many parts is copied as one; without a bucket the copy is in the file's.
func TestCopyOfParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.bucket("other")
	data := pattern(2*least + 99)
	_, path := r.begin(rest.NewSession{Name: "x", Bucket: "other"})
	r.putPart(path, 1, data[:least])
	r.putPart(path, 2, data[least:])
	f := r.complete(path, nil)
	twin := decode[rest.File](t, r.document("POST", "/files/"+f.FileID+"/copy", rest.Target{Name: "y"}), http.StatusCreated)
	require.Equal(t, "other", twin.Bucket)
	r.holds(twin, data)
	r.holds(f, data)
}

// A file can be copied to its own name.
func TestCopyOntoItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", pattern(300_000))
	twin := decode[rest.File](t, r.document("POST", "/files/"+f.FileID+"/copy", rest.Target{Name: "x"}), http.StatusCreated)
	require.NotEqual(t, f.FileID, twin.FileID)
	r.holds(twin, pattern(300_000))
}

// A client that waits for a long copy does not count as stalled.
func TestCopyLongerThanTheIdleTime(t *testing.T) {
	t.Parallel()
	const idle = 50 * time.Millisecond
	r := newRig(t, setup{idle: idle})
	f := r.put("x", pattern(300_000))
	_, path := r.begin(rest.NewSession{Name: "z"})
	for _, n := range r.nodes {
		n.SetHook(func(_ context.Context, call mem.Call) error {
			if call.Op == mem.OpCommit {
				<-time.After(4 * idle) // the time is what is tested
			}
			return nil
		})
	}
	twin := decode[rest.File](t, r.document("POST", "/files/"+f.FileID+"/copy", rest.Target{Name: "y"}), http.StatusCreated)
	decode[rest.SessionPart](t, r.call("PUT", path+"/parts/1?source="+f.FileID, nil), http.StatusOK)
	r.holds(twin, pattern(300_000))
}

// A rename keeps the file and replaces the file that had the new name.
func TestRename(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.bucket("other")
	data := pattern(300_001)
	f := r.put("old", data, "X-Meta-A", "b")
	hidden := r.put("new", []byte("replaced"))

	moved := decode[rest.File](t, r.document("POST", "/files/"+f.FileID+"/rename", rest.Target{Name: "new"}), http.StatusOK)
	want := f
	want.Name = "new"
	require.Equal(t, want, moved)
	require.Zero(t, r.shown("default", "old"))
	require.Equal(t, moved, r.shown("default", "new"))
	refused(t, r.call("GET", "/files/"+hidden.FileID, nil), http.StatusNotFound, rest.CodeNotFound)
	r.holds(moved, data)

	moved = decode[rest.File](t, r.document("POST", "/files/"+f.FileID+"/rename", rest.Target{Bucket: "other", Name: "there/x.txt"}), http.StatusOK)
	require.Equal(t, "other", moved.Bucket)
	require.Zero(t, r.shown("default", "new"))
	got := r.call("HEAD", "/files/"+f.FileID, nil)
	require.Contains(t, got.header.Get("Content-Disposition"), `"x.txt"`)
	require.Equal(t, "b", got.header.Get("X-Meta-A"))

	same := decode[rest.File](t, r.document("POST", "/files/"+f.FileID+"/rename", rest.Target{Name: "there/x.txt"}), http.StatusOK)
	require.Equal(t, moved, same)
	r.holds(moved, data)
}

func TestCopyAndRenameRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("x"))
	under := store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: "under way", Size: -1, State: store.Uploading, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
	require.NoError(t, r.meta.BeginFile(t.Context(), under))
	for _, verb := range []string{"/copy", "/rename"} {
		for _, document := range []string{
			``, `{}`, `{"name":""}`, `{"name":"a\u0000"}`, `{"name":"` + strings.Repeat("n", 1025) + `"}`, `{"name":"y","bucket":"A B"}`, `{"name":"y","to":"z"}`, `{"name":"y"}{}`,
		} {
			got := r.call("POST", "/files/"+f.FileID+verb, strings.NewReader(document), "Content-Type", "application/json")
			refused(t, got, http.StatusBadRequest, rest.CodeInvalid)
		}
		refused(t, r.call("POST", "/files/"+f.FileID+verb, strings.NewReader(`{"name":"y"}`)), http.StatusBadRequest, rest.CodeInvalid)
		refused(t, r.document("POST", "/files/"+f.FileID+verb, rest.Target{Bucket: "absent", Name: "y"}), http.StatusNotFound, rest.CodeNotFound)
		for _, bucket := range []string{"", "default"} {
			for _, id := range []string{store.NewFileID().String(), "no-uuid"} {
				refused(t, r.document("POST", "/files/"+id+verb, rest.Target{Bucket: bucket, Name: "y"}), http.StatusNotFound, rest.CodeNotFound)
			}
			refused(t, r.document("POST", "/files/"+under.ID.String()+verb, rest.Target{Bucket: bucket, Name: "y"}), http.StatusConflict, rest.CodeConflict)
		}
	}
	require.Zero(t, r.shown("default", "y"))
	require.Equal(t, f, r.shown("default", "x"))
}
