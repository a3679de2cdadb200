package data_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const joinToken = "swordfish"

// dial returns a client that is closed at the end of the test.
func dial(t testing.TB, address string, c data.DialConfig) *data.Client {
	t.Helper()
	control, err := chunks.Dial(address, chunks.DialConfig{JoinToken: c.JoinToken, Node: c.Node})
	require.NoError(t, err)
	c.GRPC, c.Log = control, rpctest.Quiet()
	client := data.Dial(address, c)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// overTCP serves chunks on loopback and returns a client.
func overTCP(t testing.TB, kept chunk.Store) *data.Client {
	t.Helper()
	l := rpctest.Listen(t)
	node := store.NewNodeID()
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: kept, Node: node, Version: "test",
		Beside: data.NewServer(data.ServerConfig{Chunks: kept, Node: node, JoinToken: joinToken, Log: rpctest.Quiet()}),
	}), l)
	return dial(t, l.Addr().String(), data.DialConfig{JoinToken: joinToken, Node: node})
}
