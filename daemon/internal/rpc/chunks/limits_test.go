package chunks_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// impatient serves chunks without a token, with short deadlines.
func impatient(t *testing.T, kept chunk.Store, calls int) string {
	t.Helper()
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewImpatientServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept}, 50*time.Millisecond, calls), l)
	return l.Addr().String()
}

// A stream whose sender is silent is ended, and nothing of it is stored.
func TestLimits_IdleStreamsEnd(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, impatient(t, kept, 0)))
	for name, frames := range map[string]int{"before the first frame": 0, "in the middle": 1} {
		id := chunktest.NewID()
		s, err := client.PutChunk(t.Context())
		require.NoError(t, err)
		for range frames {
			data := chunktest.Bytes(1, 1000)
			require.NoError(t, s.Send(&storagev1.PutChunkRequest{Spec: &storagev1.ChunkSpec{ChunkId: id.String(), UnitSize: unitSize}, Data: data, Crc32C: chunk.CRC32C(data)}))
		}
		err = s.RecvMsg(new(storagev1.PutChunkResponse)) // only the server can end the call
		require.Equal(t, codes.DeadlineExceeded, status.Code(err), "%s: %v", name, err)
		_, err = kept.Stat(t.Context(), id)
		require.ErrorIs(t, err, store.NotFound, name)
	}
	r, err := grpc_reflection_v1.NewServerReflectionClient(rpctest.Conn(t, impatient(t, kept, 0))).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	_, err = r.Recv()
	require.Error(t, err, "a call that needs no token has a limit for the whole")
	require.NotErrorIs(t, err, io.EOF)
}

// A reader that does not read loses its stream.
func TestLimits_IdleReadersEnd(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	id := chunktest.NewID()
	chunktest.Put(t, kept, id, chunktest.Bytes(2, 16*unitSize))
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, impatient(t, kept, 1)))
	s, err := client.GetChunk(t.Context(), &storagev1.GetChunkRequest{ChunkId: id.String()})
	require.NoError(t, err)
	require.Eventually(t, func() bool { // its share of the quota is free again
		_, err := client.StatChunk(t.Context(), &storagev1.StatChunkRequest{ChunkId: id.String()})
		return err == nil
	}, rpctest.Patience, time.Millisecond)
	for err == nil {
		_, err = s.Recv()
	}
	require.False(t, errors.Is(err, io.EOF), "it did not get all")
}

// More calls than a client may have are refused as Unavailable, not as a full disk, and its quota becomes free again.
func TestLimits_CallsOfOneClient(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	id := chunktest.NewID()
	chunktest.Put(t, kept, id, chunktest.Bytes(2, 16*unitSize))
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewImpatientServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept}, rpctest.Patience, 2), l)
	c := dial(t, l.Addr().String(), chunks.DialConfig{})
	var readers []chunk.Reader
	for range 2 {
		r, err := c.Open(t.Context(), id, 0, -1)
		require.NoError(t, err)
		u, err := r.Next()
		require.NoError(t, err)
		u.Release()
		readers = append(readers, r)
	}
	_, err := c.Stat(t.Context(), id)
	require.ErrorIs(t, err, store.Unavailable)
	require.ErrorContains(t, err, "too many calls")
	require.NotEmpty(t, store.HintOf(err))
	for _, r := range readers {
		require.NoError(t, r.Close())
	}
	require.Eventually(t, func() bool { return rpctest.ErrOf(c.Stat(t.Context(), id)) == nil }, rpctest.Patience, time.Millisecond)
}

func TestLimits_SizeOfRequests(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", rpc.MaxControl)
	node := storagev1.NewStorageServiceClient(rpctest.Conn(t, serveChunks(t, mem.NewChunks())))
	_, err := node.StatChunk(t.Context(), &storagev1.StatChunkRequest{ChunkId: long})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "the limit is 65536")
	s, err := node.GetChunk(t.Context(), &storagev1.GetChunkRequest{ChunkId: long})
	require.NoError(t, err)
	_, err = s.Recv()
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "the limit is 65536")
	_, err = node.StatChunk(metadata.AppendToOutgoingContext(t.Context(), "x", long), &storagev1.StatChunkRequest{})
	require.Error(t, err, "and so is the metadata of a call")
}

// A call that the gate refuses gets the same answer, however distant its deadline is.
func TestLimits_RefusedWithAFarDeadline(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: mem.NewChunks()}), l)
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, l.Addr().String()))
	ctx, cancel := context.WithTimeout(t.Context(), 10_000*time.Hour)
	defer cancel()
	_, err := client.HealthCheck(ctx, &storagev1.HealthCheckRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	p, err := client.PutChunk(ctx)
	require.NoError(t, err)
	require.Equal(t, codes.Unauthenticated, status.Code(p.RecvMsg(new(storagev1.PutChunkResponse))))
}

// Guesses of the token are logged and lose their connection; the right token still works from the
// same address.
func TestLimits_GuessesOfTheToken(t *testing.T) {
	t.Parallel()
	var log rpctest.Log
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: slog.New(slog.NewTextHandler(&log, nil))}, Chunks: mem.NewChunks(),
	}), l)
	member := dial(t, l.Addr().String(), chunks.DialConfig{JoinToken: joinToken})
	stranger := storagev1.NewStorageServiceClient(rpctest.Conn(t, l.Addr().String()))
	dropped := 0
	for range 100 {
		_, err := stranger.HealthCheck(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer guess"), &storagev1.HealthCheckRequest{})
		require.Error(t, err)
		if status.Code(err) == codes.Unavailable {
			dropped++
		}
		_, err = member.Capacity(t.Context())
		require.NoError(t, err)
	}
	require.Positive(t, dropped)
	require.Equal(t, 1, bytes.Count([]byte(log.String()), []byte("authentication failed")))
	require.NotContains(t, log.String(), "guess")
}

// Many health checks from one address are refused, a normal number is not.
func TestLimits_ServicesWithoutKey(t *testing.T) {
	t.Parallel()
	address := serveChunks(t, mem.NewChunks())
	conn := rpctest.Conn(t, address)
	var watches []grpc_health_v1.Health_WatchClient
	for range 4 {
		w, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = w.Recv()
		require.NoError(t, err)
		watches = append(watches, w)
	}
	_, err := grpc_health_v1.NewHealthClient(rpctest.Conn(t, address)).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Len(t, watches, 4)
}
