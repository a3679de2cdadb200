package httpedge_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// newEdge returns a router behind an edge, and the key that it accepts.
func newEdge(t *testing.T) (*echo.Echo, access.KeyPair) {
	t.Helper()
	master, err := access.NewMasterKey(make([]byte, access.MasterKeySize))
	require.NoError(t, err)
	meta := mem.NewMetadata()
	pair, _, err := access.EnsureRoot(t.Context(), meta, master, access.KeyPair{})
	require.NoError(t, err)
	return httpedge.New(httpedge.Config{
		Auth: access.NewAuthenticator(access.Config{Credentials: meta, Master: master}),
		Log:  slog.New(slog.DiscardHandler), Public: []string{"/public"},
	}), pair
}

// The handler knows who called, and its context carries the id that the response names.
func TestCallerAndRequestID(t *testing.T) {
	t.Parallel()
	router, pair := newEdge(t)
	var caller access.Principal
	var id string
	handler := func(c echo.Context) error {
		caller, id = httpedge.Caller(c), telemetry.Request(c.Request().Context())
		return c.NoContent(http.StatusNoContent)
	}
	router.GET("/public", handler)
	router.GET("/private", handler)
	for range 2 { // looked up, then cached
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/private", nil)
		r.SetBasicAuth(pair.AccessKey, pair.Secret)
		router.ServeHTTP(rec, r)
		require.Equal(t, http.StatusNoContent, rec.Code)
		require.Equal(t, access.Principal{AccessKey: pair.AccessKey}, caller)
		require.NotEmpty(t, id)
		require.Equal(t, id, rec.Header().Get("X-Request-Id"))
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/public", nil)
	r.SetBasicAuth(pair.AccessKey, "wrong")
	router.ServeHTTP(httptest.NewRecorder(), r)
	require.Zero(t, caller, "credentials of a public route are not checked, so they prove nothing")
}

// A trailer arrives although the edge replaced the request, announced or not.
func TestTrailer(t *testing.T) {
	t.Parallel()
	router, pair := newEdge(t)
	var got http.Header
	router.POST("/x", func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, httpedge.Body(c)); err != nil {
			return err
		}
		got = httpedge.Trailer(c)
		return c.NoContent(http.StatusNoContent)
	})
	for _, announce := range []string{"", "Trailer: X-Sum\r\n"} {
		server := httptest.NewUnstartedServer(router)
		server.Start()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		head := http.Request{Header: http.Header{}}
		head.SetBasicAuth(pair.AccessKey, pair.Secret)
		_, err = io.Copy(conn, strings.NewReader("POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "+head.Header.Get("Authorization")+"\r\n"+announce+
			"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n"))
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(answer), "204 No Content")
		require.NoError(t, conn.Close())
		server.Close()
		require.Equal(t, "7", got.Get("X-Sum"), announce)
	}
}
