package restapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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

func TestByNameBadParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, query := range []string{"", "?name=", "?name=%00", "?name=a&name=b", "?name=" + strings.Repeat("x", 1025)} {
		refused(t, r.call("GET", "/files/by-name"+query, nil), http.StatusBadRequest, rest.CodeInvalid)
	}
	refused(t, r.call("GET", "/files/by-name?bucket=absent&name=x", nil), http.StatusNotFound, rest.CodeNotFound)
}
