package chunks_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/test/bufconn"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const joinToken = "swordfish"

// dial returns a client that is closed at the end of the test.
func dial(t testing.TB, address string, c chunks.DialConfig) *chunks.Client {
	t.Helper()
	client, err := chunks.Dial(address, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// overTCP serves chunks on loopback and returns a client.
func overTCP(t testing.TB, kept chunk.Store) *chunks.Client {
	t.Helper()
	l := rpctest.Listen(t)
	node := store.NewNodeID()
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: kept, Node: node, Version: "test",
	}), l)
	return dial(t, l.Addr().String(), chunks.DialConfig{JoinToken: joinToken, Node: node})
}

// overBuffer is overTCP without a network.
func overBuffer(t testing.TB, kept chunk.Store) *chunks.Client {
	t.Helper()
	l := bufconn.Listen(64 << 10)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept}), l)
	return dial(t, "buffer", chunks.DialConfig{Dialer: func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }})
}
