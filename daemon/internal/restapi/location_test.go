package restapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/rest"
)

// behindProxy returns the URL of a proxy that serves the whole API below a path prefix.
func (r *rig) behindProxy(folder string) string {
	r.t.Helper()
	transport := &http.Transport{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.addr})
	proxy.Transport = transport
	srv := httptest.NewServer(http.StripPrefix(folder, proxy))
	r.t.Cleanup(func() {
		srv.Close()
		transport.CloseIdleConnections()
	})
	return srv.URL + folder
}

// A Location is correct behind a proxy that adds a prefix to every path.
// tus/tus-node-server#366, tus/tusd#38.
func TestLocation_BehindAProxyWithAFolder(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"", "/store", "/a/b%20c"} {
		r := newRig(t, setup{quick: true})
		base := "http://" + r.addr
		if folder != "" {
			base = r.behindProxy(strings.ReplaceAll(folder, "%20", " "))
			base = strings.ReplaceAll(base, " ", "%20")
		}
		send := func(method, at string, body string, headers ...string) *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(body))
			require.NoError(t, err)
			req.SetBasicAuth(r.pair.AccessKey, r.pair.Secret)
			for i := 0; i < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			resp, err := r.client.Do(req)
			require.NoError(t, err)
			t.Cleanup(func() { resp.Body.Close() })
			return resp
		}
		// made follows the Location that a request is answered with.
		made := func(resp *http.Response) *url.URL {
			require.Less(t, resp.StatusCode, 300)
			require.False(t, strings.HasPrefix(resp.Header.Get("Location"), "/"), "an absolute path loses the proxy's folder")
			at, err := resp.Location()
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(at.String(), base+"/"), "%s", at)
			found := send("HEAD", at.String(), "", "Tus-Resumable", "1.0.0")
			require.Equal(t, http.StatusOK, found.StatusCode, "%s", at)
			return at
		}
		const doc = "application/json"
		for _, path := range []string{"/tus", "/tus/"} {
			made(send("POST", base+path, "", "Tus-Resumable", "1.0.0", "Upload-Length", "3"))
		}
		file := made(send("POST", base+"/files?name=x%2Fy", "x", "Content-Type", "text/plain"))
		form, contentType := makeForm(t, field{name: "file", value: "x", filename: "a"})
		made(send("POST", base+"/files", string(form), "Content-Type", contentType))
		made(send("POST", file.String()+"/copy", `{"name":"copy"}`, "Content-Type", doc))
		made(send("POST", base+"/buckets", `{"name":"photos"}`, "Content-Type", doc))
		session := made(send("POST", base+"/sessions", `{"name":"s"}`, "Content-Type", doc))
		require.Equal(t, http.StatusOK, send("PUT", session.String()+"/parts/1", "x").StatusCode)
		made(send("POST", session.String()+"/complete", ""))
	}
}

// Every GET route also serves HEAD, with the same status and headers and no body.
func TestHead_WhereverGetIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	f := r.put("x", []byte("x"))
	s := decode[rest.Session](t, r.call("POST", "/sessions", strings.NewReader(`{"name":"s"}`), "Content-Type", "application/json"), http.StatusCreated)
	for _, path := range []string{
		"/files", "/files?page=0", "/files/" + f.FileID, "/files/" + f.FileID + "/metadata", "/files/nonsense", "/sessions", "/sessions/" + s.SessionID,
		"/buckets", "/buckets/default", "/buckets/absent", "/nodes", "/gateways", "/health", "/health/live", "/health/ready", "/openapi.json",
	} {
		get, head := r.call("GET", path, nil), r.call("HEAD", path, nil)
		require.Equal(t, get.status, head.status, path)
		require.Empty(t, head.body, path)
		for _, name := range []string{"Content-Type", "Content-Length", "ETag", "Cache-Control"} {
			require.Equal(t, get.header.Get(name), head.header.Get(name), "%s: %s", path, name)
		}
	}
	req := r.request("HEAD", "/health", nil)
	resp, err := r.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "no key is needed where GET needs none")
	for _, path := range []string{"/sessions/" + s.SessionID + "/complete", "/files/" + f.FileID + "/copy"} {
		require.Equal(t, http.StatusMethodNotAllowed, r.call("HEAD", path, nil).status, path)
	}
}
