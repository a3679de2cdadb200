package restapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/restapi"
	"github.com/ringstore/ringstore/proto/rest"
)

// origins is a setup in which pages of these origins may use the API.
func origins(t *testing.T, list ...string) setup {
	t.Helper()
	o, err := httpedge.ParseOrigins(list)
	require.NoError(t, err)
	return setup{config: func(c *restapi.Config) { c.AllowedOrigins = o }}
}

// A browser adds remembered credentials to requests of any page. No such request changes anything.
func TestCrossOrigin_WritesOfForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, origins(t, "https://console.example.org"))
	victim := r.put("payroll", []byte("true"))
	form, formType := makeForm(t, field{name: "name", value: "payroll"}, field{name: "file", value: "false", filename: "x"})
	const doc = "application/json"
	writes := []struct{ method, path, contentType, body string }{
		{"POST", "/files?name=payroll", "text/plain", "false"},
		{"POST", "/files", formType, string(form)},
		{"POST", "/buckets", doc, `{"name":"mine"}`},
		{"POST", "/sessions", doc, `{"name":"x"}`},
		{"POST", "/files/" + victim.FileID + "/rename", doc, `{"name":"x"}`},
		{"PATCH", "/buckets/default", doc, `{"survive":0}`},
		{"PATCH", "/nodes/5b3c2d1e-0f9a-4b8c-9d7e-6f5a4b3c2d1e", doc, `{"desired_weight":1}`},
		{"DELETE", "/files/" + victim.FileID, "", ""},
		{"POST", "/tus", "text/plain", ""},
	}
	pages := [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"},
		{"Origin", "http://evil.example"},
		{"Origin", "null"},
		{"Origin", "https://console.example.org.evil.example"},
		{"Origin", "http://console.example.org"},
	}
	for _, w := range writes {
		for _, page := range pages {
			got := r.call(w.method, w.path, strings.NewReader(w.body), append([]string{"Content-Type", w.contentType}, page...)...)
			p := refused(t, got, http.StatusForbidden, rest.CodeDenied)
			require.Contains(t, p.Detail, "a web page of", "%s %s %v", w.method, w.path, page)
		}
	}
	all := decode[rest.FileList](t, r.call("GET", "/files", nil), http.StatusOK)
	require.Len(t, all.Files, 1)
	require.Equal(t, victim.FileID, all.Files[0].FileID)
	require.Equal(t, []byte("true"), r.call("GET", "/files/"+victim.FileID, nil).body)
	require.Empty(t, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions)
	require.Len(t, decode[rest.BucketList](t, r.call("GET", "/buckets", nil), http.StatusOK).Buckets, 1)
}

func TestCrossOrigin_OwnPagesProgramsAndConfiguredOriginsMayWrite(t *testing.T) {
	t.Parallel()
	r := newRig(t, origins(t, "https://console.example.org"))
	for _, headers := range [][]string{
		nil,
		{"Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-Site", "none"},
		{"Origin", "http://" + r.addr},
		{"Origin", "https://console.example.org", "Sec-Fetch-Site", "cross-site"},
	} {
		r.put("x", []byte("x"), headers...)
	}
}

// A page of a configured origin can read every response, including a refusal of its key.
func TestCrossOrigin_ConfiguredPagesReadAnswers(t *testing.T) {
	t.Parallel()
	const origin = "https://console.example.org"
	r := newRig(t, origins(t, origin))
	for _, path := range []string{"/files", "/files/nonsense", "/nowhere"} {
		for _, key := range []string{"", "Basic eA=="} {
			got := r.call("GET", path, nil, "Origin", origin, "Authorization", key)
			require.Equal(t, origin, got.header.Get("Access-Control-Allow-Origin"), path)
			require.Equal(t, "Origin", got.header.Get("Vary"))
			require.Empty(t, got.header.Get("Access-Control-Allow-Credentials"), "remembered keys are not for other origins")
		}
	}
	ask := func(origin string) reply {
		req := r.request("OPTIONS", "/files", nil, "Origin", origin,
			"Access-Control-Request-Method", "DELETE", "Access-Control-Request-Headers", "authorization,x-meta-a")
		resp, err := r.client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return whole(t, resp)
	}
	got := ask(origin)
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, "authorization,x-meta-a", got.header.Get("Access-Control-Allow-Headers"))
	require.Contains(t, got.header.Get("Access-Control-Allow-Methods"), "DELETE")
	for name := range ask("https://evil.example").header {
		require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
	}
	for name := range r.call("GET", "/files", nil, "Origin", "https://evil.example").header {
		require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
	}
}

// Every tus response to a page has the headers that let the page read it, including early refusals.
// tus/tus-node-server#873.
func TestCrossOrigin_PagesReadRefusalsOfTus(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	const wrong = "Basic d3Jvbmc6a2V5"
	for _, try := range []struct{ method, path, key string }{
		{"POST", "/tus", wrong},
		{"POST", "/tus", "Basic eA=="},
		{"POST", "/tus/", wrong},
		{"PATCH", "/tus/0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", wrong},
		{"HEAD", "/tus/0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", wrong},
		{"HEAD", "/tus/0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", ""},
		{"GET", "/tus", ""},
		{"POST", "/tus/a/b/c", ""},
	} {
		got := r.call(try.method, try.path, nil, "Origin", "https://page.example", "Tus-Resumable", "1.0.0", "Upload-Length", "1", "Upload-Offset", "0", "Authorization", try.key)
		require.GreaterOrEqual(t, got.status, 400)
		require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"), "%v", try)
		require.Equal(t, "1.0.0", got.header.Get("Tus-Resumable"))
		require.Contains(t, got.header.Get("Access-Control-Expose-Headers"), "X-Request-Id")
	}
}

// No tus request works without the header that forces a preflight, and no response permits remembered credentials.
func TestCrossOrigin_NothingSimpleWorksOnTus(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	url := r.tusCreate(10)
	for _, origin := range []string{"", "https://page.example", "http://" + r.addr} {
		for _, try := range [][]string{
			{"POST", "/tus", "Upload-Length", "1"},
			{"POST", "/tus/", "Upload-Length", "0"},
			{"POST", "/tus", "Upload-Length", "1", "Content-Type", "text/plain"},
			{"POST", url, "X-HTTP-Method-Override", "DELETE"},
			{"POST", url, "X-HTTP-Method-Override", "PATCH", "Upload-Offset", "0", "Content-Type", tusType},
			{"PATCH", url, "Upload-Offset", "0", "Content-Type", tusType},
			{"DELETE", url},
			{"HEAD", url},
		} {
			headers := try[2:]
			if origin != "" {
				headers = append(headers, "Origin", origin)
			}
			got := r.call(try[0], try[1], strings.NewReader("x"), headers...)
			require.Contains(t, []int{http.StatusForbidden, http.StatusPreconditionFailed}, got.status, "%v", try)
			require.Empty(t, got.header.Get("Access-Control-Allow-Credentials"))
		}
	}
	require.Equal(t, "0", r.tusHead(url).Get("Upload-Offset"))
	require.Len(t, decode[rest.SessionList](t, r.call("GET", "/sessions", nil), http.StatusOK).Sessions, 1)
	r.empty()
}

func TestParseOrigins_Refuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "*", "null", "example.org", "https://", "https://example.org/", "https://example.org/x", "HTTPS://example.org", "https://u@example.org", "ftp://x", "https://x?y"} {
		_, err := httpedge.ParseOrigins([]string{bad})
		require.Error(t, err, "%q", bad)
	}
	_, err := httpedge.ParseOrigins([]string{"http://localhost:3000", "https://[::1]:8443", "https://example.org"})
	require.NoError(t, err)
}
