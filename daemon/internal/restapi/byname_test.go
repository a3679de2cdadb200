package restapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// The latest file of a name is read in one call, with ranges and conditions as by id.
func TestByName(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	const name = "a/é b?#%2f"
	path := "/files/by-name?name=" + url.QueryEscape(name)
	refused(t, r.call("GET", path, nil), http.StatusNotFound, rest.CodeNotFound)
	r.put(name, []byte("first"))
	f := r.put(name, []byte("second"))

	got := r.call("GET", path, nil)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "second", string(got.body))
	require.Equal(t, f.FileID, got.header.Get("Content-Location"), "relative to /files/by-name this is the file by its id")
	require.Equal(t, `"`+f.ETag+`"`, got.header.Get("ETag"))

	head := r.call("HEAD", path, nil)
	require.Equal(t, http.StatusOK, head.status)
	require.Equal(t, got.header.Get("Content-Length"), head.header.Get("Content-Length"))
	require.Empty(t, head.body)

	got = r.call("GET", path+"&bucket=default", nil, "Range", "bytes=1-2")
	require.Equal(t, http.StatusPartialContent, got.status)
	require.Equal(t, "ec", string(got.body))
	require.Equal(t, http.StatusNotModified, r.call("GET", path, nil, "If-None-Match", `"`+f.ETag+`"`).status)
	refused(t, r.call("GET", path, nil, "If-Match", `"other"`), http.StatusPreconditionFailed, rest.CodePreconditionFailed)

	require.Equal(t, http.StatusNoContent, r.call("DELETE", "/files/"+f.FileID, nil).status)
	refused(t, r.call("GET", path, nil), http.StatusNotFound, rest.CodeNotFound)
}

// The latest file of a name is deleted in one step, and nothing else.
func TestDeleteByName(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, name := range []string{"x", "/a//../é b?#%2f&+", "by-name", strings.Repeat("x", 1024)} {
		path := "/files/by-name?name=" + url.QueryEscape(name)
		refused(t, r.call("DELETE", path, nil), http.StatusNotFound, rest.CodeNotFound)
		f := r.put(name, []byte("first"))
		require.Equal(t, http.StatusNoContent, r.call("DELETE", path, nil).status)
		refused(t, r.call("GET", path, nil), http.StatusNotFound, rest.CodeNotFound)
		refused(t, r.call("DELETE", path, nil), http.StatusNotFound, rest.CodeNotFound)
		id, err := store.ParseFileID(f.FileID)
		require.NoError(t, err)
		deleted, err := r.meta.File(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, r.pair.AccessKey, deleted.ChangedBy, "the caller is recorded")
	}
	_ = decode[rest.Bucket](t, r.call("POST", "/buckets", strings.NewReader(`{"name":"other"}`), "Content-Type", "application/json"), http.StatusCreated)
	r.put("x", []byte("kept"))
	refused(t, r.call("DELETE", "/files/by-name?bucket=other&name=x", nil), http.StatusNotFound, rest.CodeNotFound)
	require.Equal(t, http.StatusOK, r.call("GET", "/files/by-name?name=x", nil).status)
}

// Of many deletions at once with the same condition one happens, and it deletes the file of the condition.
func TestDeleteByName_OneOfManyWins(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("seen"))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := r.try(r.request("DELETE", "/files/by-name?name=x", nil, "If-Match", `"`+f.ETag+`"`))
			if err != nil {
				t.Error(err)
			}
			switch got.status {
			case http.StatusNoContent:
				won.Add(1)
			case http.StatusPreconditionFailed:
			default:
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
	newer := r.put("x", []byte("newer"))
	refused(t, r.call("DELETE", "/files/by-name?name=x", nil, "If-Match", `"`+f.ETag+`"`), http.StatusPreconditionFailed, rest.CodePreconditionFailed)
	refused(t, r.call("DELETE", "/files/by-name?name=x", nil, "If-None-Match", `"`+newer.ETag+`"`), http.StatusPreconditionFailed, rest.CodePreconditionFailed)
	require.Equal(t, "newer", string(r.call("GET", "/files/by-name?name=x", nil).body))
	require.Equal(t, http.StatusNoContent, r.call("DELETE", "/files/by-name?name=x", nil, "If-None-Match", `"`+f.ETag+`"`).status)
}

func TestByNameBadParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, query := range []string{"", "?name=", "?name=%00", "?name=a&name=b", "?name=" + strings.Repeat("x", 1025)} {
		for _, method := range []string{"GET", "DELETE"} {
			refused(t, r.call(method, "/files/by-name"+query, nil), http.StatusBadRequest, rest.CodeInvalid)
		}
	}
	refused(t, r.call("DELETE", "/files/by-name?bucket=absent&name=x", nil), http.StatusNotFound, rest.CodeNotFound)
	refused(t, r.call("GET", "/files/by-name?bucket=absent&name=x", nil), http.StatusNotFound, rest.CodeNotFound)
}
