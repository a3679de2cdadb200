package noderpc_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/test/bufconn"

	"github.com/ringstore/ringstore/daemon/internal/noderpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for events that must happen; only a failing test uses it up.
const patience = 30 * time.Second

const joinToken = "swordfish"

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// serve runs a server on l until the test ends.
func serve(t testing.TB, s *noderpc.Server, l net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // at once: open calls are to be interrupted
		_ = s.Shutdown(ctx)
		require.NoError(t, <-served)
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// dial returns a client that is closed at the end of the test.
func dial(t testing.TB, address string, c noderpc.DialConfig) *noderpc.Client {
	t.Helper()
	client, err := noderpc.Dial(address, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// overTCP serves chunks on loopback and returns a client.
func overTCP(t testing.TB, chunks store.Chunks) *noderpc.Client {
	t.Helper()
	l := listen(t)
	node := store.NewNodeID()
	serve(t, noderpc.NewStorageServer(noderpc.StorageConfig{
		ServerConfig: noderpc.ServerConfig{JoinToken: joinToken, Log: quiet()}, Chunks: chunks, Node: node, Version: "test",
	}), l)
	return dial(t, l.Addr().String(), noderpc.DialConfig{JoinToken: joinToken, Node: node})
}

// overBuffer is overTCP without a network.
func overBuffer(t testing.TB, chunks store.Chunks) *noderpc.Client {
	t.Helper()
	l := bufconn.Listen(64 << 10)
	serve(t, noderpc.NewStorageServer(noderpc.StorageConfig{ServerConfig: noderpc.ServerConfig{Log: quiet()}, Chunks: chunks}), l)
	return dial(t, "buffer", noderpc.DialConfig{Dialer: func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }})
}

// await waits for a signal that must come.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain", what)
		panic("unreachable")
	}
}
