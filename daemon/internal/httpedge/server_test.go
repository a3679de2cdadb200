package httpedge_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin starts a server whose requests block until release.
func begin(t *testing.T) (srv *httpedge.Server, url string, entered, release chan struct{}, served chan error) {
	t.Helper()
	entered, release, served = make(chan struct{}), make(chan struct{}), make(chan error, 1)
	srv = httpedge.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, "done")
	}), httpedge.Problems{}, slog.New(slog.DiscardHandler))
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { served <- srv.Serve(l) }()
	return srv, "http://" + l.Addr().String(), entered, release, served
}

type outcome struct {
	body string
	err  error
}

func get(t *testing.T, url string) chan outcome {
	out := make(chan outcome, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	go func() {
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			out <- outcome{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		out <- outcome{string(body), err}
	}()
	return out
}

func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	srv, url, entered, release, served := begin(t)
	got := get(t, url)
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(context.Background()) }()
	require.NoError(t, <-served, "no more connections are taken")
	close(release)
	require.Equal(t, outcome{body: "done"}, <-got)
	require.NoError(t, <-stopped)
}

func TestShutdownClosesConnections(t *testing.T) {
	t.Parallel()
	srv, url, entered, _, served := begin(t)
	got := get(t, url)
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, srv.Shutdown(ctx), context.Canceled)
	require.Error(t, (<-got).err)
	require.NoError(t, <-served)
}

func TestServeReportsWhyItEnds(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Error(t, httpedge.NewServer(http.NotFoundHandler(), httpedge.Problems{}, nil).Serve(l))
}
