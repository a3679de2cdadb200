package restapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/rest"
)

// talk opens a raw connection that writes requests and reads responses.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	key  string
	sent string // the beginning of what was sent last
}

func (r *rig) talk(t *testing.T) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &talk{t: t, conn: conn, in: bufio.NewReader(conn), key: basic(r.pair.AccessKey, r.pair.Secret)}
}

// request writes a request; headers are lines.
func (k *talk) request(line, body string, headers ...string) string {
	lines := append([]string{line + " HTTP/1.1", "Host: x", "Authorization: " + k.key, "Content-Type: text/plain"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func (k *talk) send(text string) {
	k.t.Helper()
	k.sent = text[:min(len(text), 100)]
	_, err := io.WriteString(k.conn, text)
	require.NoError(k.t, err)
}

func (k *talk) answer() reply {
	k.t.Helper()
	resp, err := http.ReadResponse(k.in, nil)
	require.NoError(k.t, err, k.sent)
	defer resp.Body.Close()
	if resp.Close {
		resp.Header.Set("Connection", "close") // ReadResponse has taken it out
	}
	body, err := io.ReadAll(resp.Body)
	require.NoError(k.t, err)
	return reply{status: resp.StatusCode, header: resp.Header, body: body}
}

// over requires that the connection closes without another response.
func (k *talk) over() {
	k.t.Helper()
	rest, _ := io.ReadAll(k.in) // a reset is an end, too
	require.Empty(k.t, string(rest))
}

const chunked = "3\r\nabc\r\n0\r\n\r\n"

// A request with both lengths closes its connection, so that bytes that a proxy may have forwarded as body are not served as a request.
func TestWire_AmbiguousRequestsEndTheirConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	smuggled := func(k *talk) string { return k.request("DELETE /buckets/default", "", "X-Smuggled: 1") }
	for name, both := range map[string][]string{
		"length first":   {"Content-Length: 5", "Transfer-Encoding: chunked"},
		"length last":    {"Transfer-Encoding: chunked", "Content-Length: 5"},
		"in other cases": {"CONTENT-length:5", "transfer-ENCODING: chunked"},
		"twice":          {"Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5"},
	} {
		k := r.talk(t)
		text := k.request("POST /files?name=x", chunked, both...)
		k.send(text + smuggled(k))
		got := k.answer()
		require.Equal(t, http.StatusCreated, got.status, "%s: %s", name, got.body)
		require.Equal(t, "close", got.header.Get("Connection"), name)
		k.over()

		k = r.talk(t)
		for i := range text { // however it is cut
			k.send(text[i : i+1])
		}
		require.Equal(t, "close", k.answer().header.Get("Connection"), "%s, in single bytes", name)
		k.over()

		k = r.talk(t) // behind requests that were right, in one piece with them
		k.send(k.request("GET /health/live", "") + k.request("POST /files?name=y", "abc", "Content-Length: 3") + text + smuggled(k))
		require.Equal(t, http.StatusOK, k.answer().status)
		require.Equal(t, http.StatusCreated, k.answer().status)
		require.Equal(t, "close", k.answer().header.Get("Connection"), "%s, behind others", name)
		k.over()
	}
}

// Unambiguous requests keep their connection: chunked, with a length and without a body, in turn.
func TestWire_PlainRequestsKeepTheirConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	k := r.talk(t)
	large := strings.Repeat("x", 100_000)
	for range 3 {
		for _, text := range []string{
			k.request("POST /files?name=a", chunked, "Transfer-Encoding: chunked"),
			k.request("POST /files?name=b", "abc", "Content-Length: 3"),
			k.request("POST /files?name=c", large, fmt.Sprintf("Content-Length: %d", len(large))),
			k.request("POST /files?name=d", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(large), large), "Transfer-Encoding: chunked"),
			k.request("GET /files", ""),
		} {
			k.send(text)
			got := k.answer()
			require.Less(t, got.status, 300, "%s", got.body)
			require.Empty(t, got.header.Get("Connection"))
		}
	}
}

// Requests that never reach a handler get problem documents, too.
func TestWire_TheLibrarysRefusalsAreProblemDocuments(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	for text, want := range map[string]struct {
		status int
		code   rest.ProblemCode
	}{
		"GET /files\r\n\r\n":                                 {400, rest.CodeInvalid},
		"nonsense\r\n\r\n":                                   {400, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\n\r\n":                        {400, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n": {400, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n":  {400, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": {400, rest.CodeInvalid},
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n":                                             {400, rest.CodeInvalid},
		"GET /files HTTP/3.0\r\nHost: x\r\n\r\n":                                           {505, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n":                {501, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\nHost: x\r\nExpect: much\r\n\r\n":                           {417, rest.CodeInvalid},
		"GET /files HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 40<<10):              {431, rest.CodeTooLarge},
	} {
		for _, behind := range []bool{false, true} {
			k := r.talk(t)
			if behind { // a request that was answered
				k.send(k.request("GET /files", ""))
				require.Equal(t, http.StatusOK, k.answer().status)
			}
			k.send(text)
			got := k.answer()
			p := decode[rest.Problem](t, got, want.status)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"), "%.60q", text)
			require.Equal(t, want.code, p.Code)
			require.Equal(t, want.status, p.Status)
			require.NotEmpty(t, p.Detail)
			require.NotEmpty(t, p.Hint)
			if want.status == 431 {
				require.Equal(t, "header_size", p.Limit)
			}
			k.over()
		}
	}
}

// A file that looks like an error response of net/http is sent unchanged, however it is split into writes.
func TestWire_DownloadsThatLookLikeRefusalsStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{quick: true})
	const trap = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	for _, data := range [][]byte{[]byte(trap), bytes.Repeat([]byte(trap), 100), append(bytes.Repeat([]byte("x"), unit), trap...)} {
		f := r.put("x", data)
		for range 2 { // the second on a connection that was idle
			require.True(t, bytes.Equal(data, r.call("GET", "/files/"+f.FileID, nil).body))
		}
	}
}
