package restapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// logText collects the lines of a logger.
type logText struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// linesWith returns the lines that contain all of the texts.
func (l *logText) linesWith(texts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for line := range strings.Lines(l.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}

func (l *logText) logger(t *testing.T) *slog.Logger {
	t.Helper()
	log, err := telemetry.NewLogger(l, "debug", telemetry.JSON)
	require.NoError(t, err)
	return log
}

// overWire serves the chunks by gRPC, with a log, and returns a client of them.
func overWire(t *testing.T, kept chunk.Store, log *slog.Logger) chunk.Store {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: log}, Chunks: kept})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	client, err := chunks.Dial(l.Addr().String(), chunks.DialConfig{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, server.Shutdown(context.Background()))
		require.NoError(t, <-served)
	})
	return client
}

// A request that fails because of a node has one id in the response and in the log lines of the gateway, of its engine and of the node.
func TestRequestIDReachesEngineAndNode(t *testing.T) {
	t.Parallel()
	var gateway, node logText
	nodeLog := node.logger(t)
	r := newRig(t, setup{
		nodes: 1, log: gateway.logger(t),
		wire: func(c *mem.Chunks) chunk.Store { return overWire(t, c, nodeLog) },
	})
	f := r.put("x", pattern(5000))
	r.damage(f, func(n *mem.Chunks, id store.ChunkID) { n.CorruptUnit(id, 0) })
	got := r.call("GET", "/files/"+f.FileID, nil, "X-Request-Id", "test-4711")
	require.Equal(t, http.StatusInternalServerError, got.status)
	const id = `"request":"test-4711"`
	require.Equal(t, "test-4711", got.header.Get("X-Request-Id"))
	require.NotEmpty(t, node.linesWith(id, "a call failed"))
	require.NotEmpty(t, gateway.linesWith(id, "a chunk cannot be read"))
	require.Eventually(t, func() bool { return len(gateway.linesWith(id, `"msg":"request"`, `"status":500`)) == 1 }, 20*time.Second, 5*time.Millisecond)
}
