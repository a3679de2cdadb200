package chunks_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
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

const unitSize = chunk.DefaultUnitSize

// unitsOf splits data into units, each of which reports its release.
func unitsOf(data []byte, back chan<- struct{}) []chunk.Unit {
	var units []chunk.Unit
	for len(data) > 0 {
		n := min(unitSize, len(data))
		units = append(units, chunk.NewUnit(data[:n:n], &lender{back: back}))
		data = data[n:]
	}
	return units
}

// lender reports a release; a second one panics.
type lender struct {
	back chan<- struct{}
	once atomic.Bool
}

func (l *lender) Release() {
	if l.once.Swap(true) {
		panic("a unit was released twice")
	}
	l.back <- struct{}{}
}

func (l *lender) Abandon() { l.Release() }

func put(ctx context.Context, c chunk.Store, id store.ChunkID, units []chunk.Unit) (chunk.Info, error) {
	w, err := c.Create(ctx, chunk.Spec{ID: id, UnitSize: unitSize})
	if err != nil {
		return chunk.Info{}, err
	}
	defer w.Abort()
	for i, u := range units {
		if err := w.Append(u); err != nil {
			for _, rest := range units[i+1:] {
				rest.Release()
			}
			return chunk.Info{}, err
		}
	}
	return w.Commit(chunktest.SampleLabel())
}

// serveChunks serves chunks without a token and returns the address.
func serveChunks(t testing.TB, kept chunk.Store) string {
	t.Helper()
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept}), l)
	return l.Addr().String()
}

// A client with generated code only talks to our server.
func TestServer_ServesStockClients(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, serveChunks(t, kept)))
	data := chunktest.Bytes(1, 2*unitSize+5)
	id := chunktest.NewID()

	s, err := client.PutChunk(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Send(&storagev1.PutChunkRequest{Spec: &storagev1.ChunkSpec{ChunkId: id.String(), UnitSize: unitSize}}))
	for _, u := range unitsOf(data, make(chan struct{}, 3)) {
		require.NoError(t, s.Send(&storagev1.PutChunkRequest{Data: u.Data, Crc32C: u.CRC}))
	}
	require.NoError(t, s.Send(&storagev1.PutChunkRequest{Label: &storagev1.Label{Key: "k"}}))
	resp, err := s.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, chunktest.SumOf(data, unitSize), resp.GetInfo().GetSum())
	require.EqualValues(t, len(data), resp.GetInfo().GetSize())

	r, err := client.GetChunk(t.Context(), &storagev1.GetChunkRequest{ChunkId: id.String()})
	require.NoError(t, err)
	var got []byte
	for {
		m, err := r.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.Equal(t, chunk.CRC32C(m.GetData()), m.GetCrc32C())
		got = append(got, m.GetData()...)
	}
	require.True(t, bytes.Equal(data, got))

	small := chunk.NewUnit([]byte("small"), nil)
	_, err = client.PutSmallChunk(t.Context(), &storagev1.PutSmallChunkRequest{
		Spec: &storagev1.ChunkSpec{ChunkId: chunktest.NewID().String(), UnitSize: unitSize}, Label: &storagev1.Label{}, Data: small.Data, Crc32C: small.CRC,
	})
	require.NoError(t, err)
}

// stockServer is a server with generated code only, over any store.
type stockServer struct {
	storagev1.UnimplementedStorageServiceServer
	data []byte // of the last chunk put
}

func (s *stockServer) PutChunk(in grpc.ClientStreamingServer[storagev1.PutChunkRequest, storagev1.PutChunkResponse]) error {
	s.data = nil
	var id string
	for {
		m, err := in.Recv()
		if err != nil {
			return err
		}
		if m.GetSpec() != nil {
			id = m.GetSpec().GetChunkId()
		}
		s.data = append(s.data, m.GetData()...)
		if m.GetLabel() != nil {
			return in.SendAndClose(&storagev1.PutChunkResponse{Info: &storagev1.ChunkInfo{ChunkId: id, Size: int64(len(s.data)), Label: m.GetLabel()}})
		}
	}
}

func (s *stockServer) PutSmallChunk(_ context.Context, m *storagev1.PutSmallChunkRequest) (*storagev1.PutSmallChunkResponse, error) {
	s.data = m.GetData()
	return &storagev1.PutSmallChunkResponse{Info: &storagev1.ChunkInfo{ChunkId: m.GetSpec().GetChunkId(), Size: int64(len(m.GetData())), Label: m.GetLabel()}}, nil
}

func (s *stockServer) GetChunk(_ *storagev1.GetChunkRequest, out grpc.ServerStreamingServer[storagev1.GetChunkResponse]) error {
	for _, u := range unitsOf(s.data, make(chan struct{}, 100)) {
		if err := out.Send(&storagev1.GetChunkResponse{Data: u.Data, Crc32C: u.CRC}); err != nil {
			return err
		}
	}
	return nil
}

// Our client talks to a server with generated code only.
func TestClient_UsesStockServers(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	g := grpc.NewServer()
	storagev1.RegisterStorageServiceServer(g, &stockServer{})
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); require.NoError(t, <-served) })

	c := dial(t, l.Addr().String(), chunks.DialConfig{})
	data, back := chunktest.Bytes(2, 3*unitSize+1), make(chan struct{}, 10)
	info, err := put(t.Context(), c, chunktest.NewID(), unitsOf(data, back))
	require.NoError(t, err)
	require.EqualValues(t, len(data), info.Size)
	require.Equal(t, "photos.example", info.Label.Bucket.String())
	got, err := chunktest.Read(t.Context(), c, info.ID)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	_, err = c.PutSmall(t.Context(), chunk.Spec{ID: info.ID, UnitSize: unitSize}, chunk.NewUnit(data[:100_000], nil), chunk.Label{})
	require.NoError(t, err)
	got, err = chunktest.Read(t.Context(), c, info.ID)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data[:100_000], got))
	for range 4 {
		rpctest.Await(t, "the units", back)
	}
}

func TestServer_RefusesWhatIsMalformed(t *testing.T) {
	t.Parallel()
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, serveChunks(t, mem.NewChunks())))
	spec := &storagev1.ChunkSpec{ChunkId: chunktest.NewID().String(), UnitSize: unitSize}
	u := chunk.NewUnit([]byte("data"), nil)
	step := &storagev1.PutChunkRequest{Data: u.Data, Crc32C: u.CRC}
	write := func(steps ...*storagev1.PutChunkRequest) error {
		s, err := client.PutChunk(t.Context())
		require.NoError(t, err)
		for _, m := range steps {
			if s.Send(m) != nil {
				break // the answer has the reason
			}
		}
		_, err = s.CloseAndRecv()
		return err
	}
	negative := int64(-1)
	stream := func(r *storagev1.GetChunkRequest) error {
		s, err := client.GetChunk(t.Context(), r)
		require.NoError(t, err)
		_, err = s.Recv()
		return err
	}
	for name, err := range map[string]error{
		"nothing":       write(),
		"no spec":       write(step),
		"two specs":     write(&storagev1.PutChunkRequest{Spec: spec}, step, &storagev1.PutChunkRequest{Spec: spec}),
		"no label":      write(&storagev1.PutChunkRequest{Spec: spec}, step),
		"bad id":        write(&storagev1.PutChunkRequest{Spec: &storagev1.ChunkSpec{ChunkId: "../../etc/passwd", UnitSize: 1}}),
		"bad file id":   write(&storagev1.PutChunkRequest{Spec: spec}, step, &storagev1.PutChunkRequest{Label: &storagev1.Label{FileId: "x"}}),
		"get id":        stream(&storagev1.GetChunkRequest{ChunkId: "x"}),
		"get count":     stream(&storagev1.GetChunkRequest{ChunkId: spec.GetChunkId(), UnitCount: &negative}),
		"stat id":       rpctest.ErrOf(client.StatChunk(t.Context(), &storagev1.StatChunkRequest{ChunkId: "x"})),
		"delete id":     rpctest.ErrOf(client.DeleteChunk(t.Context(), &storagev1.DeleteChunkRequest{})),
		"verify id":     rpctest.ErrOf(client.VerifyChunk(t.Context(), &storagev1.VerifyChunkRequest{ChunkId: "x"})),
		"list after":    rpctest.ErrOf(client.ListChunks(t.Context(), &storagev1.ListChunksRequest{After: "x", Limit: 1})),
		"list limit":    rpctest.ErrOf(client.ListChunks(t.Context(), &storagev1.ListChunksRequest{})),
		"small spec":    rpctest.ErrOf(client.PutSmallChunk(t.Context(), &storagev1.PutSmallChunkRequest{Data: u.Data})),
		"small file id": rpctest.ErrOf(client.PutSmallChunk(t.Context(), &storagev1.PutSmallChunkRequest{Spec: spec, Label: &storagev1.Label{FileId: "x"}, Data: u.Data})),
	} {
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%s: %v", name, err)
	}
	_, err := client.StatChunk(t.Context(), &storagev1.StatChunkRequest{ChunkId: spec.GetChunkId()})
	require.Equal(t, codes.NotFound, status.Code(err), "nothing of all that is kept")
}

func TestServer_TakesOnlyCallsWithTheToken(t *testing.T) {
	t.Parallel()
	l, node := rpctest.Listen(t), store.NewNodeID()
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: mem.NewChunks(), Node: node,
	}), l)
	address := l.Addr().String()
	for name, config := range map[string]chunks.DialConfig{"none": {}, "wrong": {JoinToken: "perch"}} {
		c := dial(t, address, config)
		back := make(chan struct{}, 2)
		_, err := c.Capacity(t.Context())
		require.ErrorIs(t, err, store.Denied, name)
		require.NotEmpty(t, store.HintOf(err))
		_, err = chunktest.Read(t.Context(), c, chunktest.NewID())
		require.ErrorIs(t, err, store.Denied, name)
		_, err = put(t.Context(), c, chunktest.NewID(), unitsOf(chunktest.Bytes(3, 100_000), back))
		require.ErrorIs(t, err, store.Denied, name)
		_, err = c.PutSmall(t.Context(), chunk.Spec{ID: chunktest.NewID(), UnitSize: unitSize}, unitsOf(chunktest.Bytes(3, 100_000), back)[0], chunk.Label{})
		require.ErrorIs(t, err, store.Denied, name)
		rpctest.Await(t, "the unit", back)
		rpctest.Await(t, "the small unit", back)
	}
	_, err := dial(t, address, chunks.DialConfig{JoinToken: joinToken}).Capacity(t.Context())
	require.NoError(t, err)

	conn := rpctest.Conn(t, address)
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "ringstore.storage.v1.StorageService"})
	require.NoError(t, err, "health is for everybody")
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, answer.GetStatus())
	_, err = storagev1.NewStorageServiceClient(conn).HealthCheck(
		metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+joinToken), &storagev1.HealthCheckRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err), "the join token itself opens nothing")
}

func TestServer_RefusesCallsForAnotherNode(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: mem.NewChunks(), Node: store.NewNodeID()}), l)
	err := dial(t, l.Addr().String(), chunks.DialConfig{Node: store.NewNodeID()}).Delete(t.Context(), chunktest.NewID())
	require.ErrorIs(t, err, store.Unavailable)
	require.ErrorContains(t, err, "this is node")
}

func TestServer_ReflectionListsTheService(t *testing.T) {
	t.Parallel()
	s, err := grpc_reflection_v1.NewServerReflectionClient(rpctest.Conn(t, serveChunks(t, mem.NewChunks()))).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "ringstore.storage.v1.StorageService"},
	}))
	m, err := s.Recv()
	require.NoError(t, err)
	require.NotEmpty(t, m.GetFileDescriptorResponse().GetFileDescriptorProto())
}

func TestClient_HealthTellsWhoAnswers(t *testing.T) {
	t.Parallel()
	l, node, cluster, kept := rpctest.Listen(t), store.NewNodeID(), store.NewClusterID(), mem.NewChunks()
	kept.SetLimit(0)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept, Node: node, Version: "1.2.3",
		Cluster: func() store.ClusterID { return cluster },
	}), l)
	h, err := dial(t, l.Addr().String(), chunks.DialConfig{}).Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.DiskFull, h.Capacity.Disk.State)
	require.NotEmpty(t, h.Capacity.Disk.Reason)
	h.Capacity.Disk = store.Disk{}
	require.Equal(t, chunks.Health{Node: node, Cluster: cluster, Version: "1.2.3"}, h)
	full, err := storagev1.NewStorageServiceClient(rpctest.Conn(t, l.Addr().String())).HealthCheck(t.Context(), &storagev1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, storagev1.NodeState_NODE_STATE_FULL, full.GetState())
}

// panicky panics on request.
type panicky struct{ chunk.Store }

func (panicky) Stat(context.Context, store.ChunkID) (chunk.Info, error) { panic("stat") }
func (panicky) Open(context.Context, store.ChunkID, int, int) (chunk.Reader, error) {
	panic("open")
}

func TestServer_SurvivesPanics(t *testing.T) {
	t.Parallel()
	c := overTCP(t, panicky{mem.NewChunks()})
	for range 2 {
		_, err := c.Stat(t.Context(), chunktest.NewID())
		require.ErrorIs(t, err, store.Internal)
		require.NotContains(t, err.Error(), "goroutine", "the stack stays in the log")
		_, err = chunktest.Read(t.Context(), c, chunktest.NewID())
		require.ErrorIs(t, err, store.Internal)
	}
}

func TestDial_RefusesAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	_, err := chunks.Dial("localhost", chunks.DialConfig{})
	require.ErrorIs(t, err, store.Invalid)
}

// Every call to an unreachable node fails soon and releases its units.
func TestClient_NodeAway(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	c := dial(t, address, chunks.DialConfig{})
	back := make(chan struct{}, 3)
	ctx, cancel := context.WithTimeout(t.Context(), rpctest.Patience)
	defer cancel()
	_, err := put(ctx, c, chunktest.NewID(), unitsOf(chunktest.Bytes(4, 2*unitSize), back))
	require.ErrorIs(t, err, store.Unavailable)
	require.ErrorContains(t, err, "storage node "+address+" cannot be reached: dial tcp")
	require.NotEmpty(t, store.HintOf(err))
	_, err = c.PutSmall(ctx, chunk.Spec{ID: chunktest.NewID(), UnitSize: unitSize}, unitsOf(chunktest.Bytes(4, 100), back)[0], chunk.Label{})
	require.ErrorIs(t, err, store.Unavailable)
	_, err = c.Stat(ctx, chunktest.NewID())
	require.ErrorIs(t, err, store.Unavailable)
	for range 3 {
		rpctest.Await(t, "the units", back)
	}
	require.NoError(t, ctx.Err(), "it was the node that failed the calls, not the deadline")
}

// A client reconnects to a node that restarts.
func TestClient_NodeComesBack(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	address := l.Addr().String()
	s := chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: mem.NewChunks()})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := dial(t, address, chunks.DialConfig{})
	_, err := c.Capacity(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(t.Context()))
	require.NoError(t, <-served)
	require.Eventually(t, func() bool { _, err = c.Capacity(t.Context()); return errors.Is(err, store.Unavailable) }, rpctest.Patience, time.Millisecond)

	l, err = net.Listen("tcp", address)
	require.NoError(t, err)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: mem.NewChunks()}), l)
	require.Eventually(t, func() bool { _, err := c.Capacity(t.Context()); return err == nil }, rpctest.Patience, 10*time.Millisecond)
}

// A node that stalls blocks the writer, and the end of the writer's context unblocks it.
func TestClient_StalledNode(t *testing.T) {
	t.Parallel()
	kept, never := mem.NewChunks(), make(chan struct{})
	kept.SetHook(mem.Stall(never, mem.OpAppend))
	c := overTCP(t, kept)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := c.Create(ctx, chunk.Spec{ID: chunktest.NewID(), UnitSize: unitSize})
	require.NoError(t, err)
	defer w.Abort()
	data := chunktest.Bytes(5, unitSize)
	var appended atomic.Int64
	failed := make(chan error, 1)
	go func() {
		for {
			if err := w.Append(chunk.NewUnit(data, nil)); err != nil {
				failed <- err
				return
			}
			appended.Add(1)
		}
	}()
	// The bytes sent ahead are bounded by the window and the send buffers, far below the
	// memory of the host.
	last := int64(-1)
	require.Eventually(t, func() bool { n := appended.Load(); rest := n == last && n > 0; last = n; return rest }, rpctest.Patience, 200*time.Millisecond)
	require.Less(t, last, int64(64))
	cancel()
	require.ErrorIs(t, rpctest.Await(t, "Append to fail", failed), store.Canceled)
}

// proxy is between a client and a node, and can close the connections.
type proxy struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newProxy(t testing.TB, to string) *proxy {
	p := &proxy{Listener: rpctest.Listen(t)}
	p.wg.Go(func() {
		for {
			in, err := p.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			p.wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			p.wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() { _ = p.Close(); p.cut(); p.wg.Wait() })
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// gRPC drops buffers that were queued for a broken connection or an aborted stream; their
// units are released all the same, each once.
func TestClient_UnitsComeBackFromABrokenStream(t *testing.T) {
	t.Parallel()
	for name, hurt := range map[string]func(*proxy, chunk.Writer){
		"connection": func(p *proxy, _ chunk.Writer) { p.cut() },
		"abort":      func(_ *proxy, w chunk.Writer) { w.Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept, never := mem.NewChunks(), make(chan struct{})
			kept.SetHook(mem.Stall(never, mem.OpAppend))
			p := newProxy(t, serveChunks(t, kept))
			c := dial(t, p.Addr().String(), chunks.DialConfig{})
			w, err := c.Create(t.Context(), chunk.Spec{ID: chunktest.NewID(), UnitSize: unitSize})
			require.NoError(t, err)
			defer w.Abort()

			var lent atomic.Int64
			back := make(chan struct{}, 1000)
			failed := make(chan error, 1)
			go func() {
				for {
					u := unitsOf(make([]byte, unitSize), back)[0]
					lent.Add(1)
					if err := w.Append(u); err != nil {
						failed <- err
						return
					}
				}
			}()
			require.Eventually(t, func() bool { return lent.Load() > 2 }, rpctest.Patience, time.Millisecond)
			hurt(p, w)
			require.Error(t, rpctest.Await(t, "Append to fail", failed))
			w.Abort()
			require.Len(t, back, int(lent.Load()), "all units are returned when Abort returns, without a garbage collection")
		})
	}
}

// Shutdown lets calls in progress finish and accepts no new ones.
func TestServer_ShutdownWaitsForCalls(t *testing.T) {
	t.Parallel()
	kept, goOn := mem.NewChunks(), make(chan struct{})
	waiting := make(chan struct{})
	stall := mem.Stall(goOn, mem.OpCommit)
	kept.SetHook(func(ctx context.Context, call mem.Call) error {
		if call.Op == mem.OpCommit {
			close(waiting)
		}
		return stall(ctx, call)
	})
	l := rpctest.Listen(t)
	s := chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := dial(t, l.Addr().String(), chunks.DialConfig{Connections: 1})
	answered := make(chan error, 1)
	go func() {
		_, err := put(t.Context(), c, chunktest.NewID(), []chunk.Unit{chunk.NewUnit([]byte("x"), nil)})
		answered <- err
	}()
	rpctest.Await(t, "the commit", waiting)
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, rpctest.Patience, time.Millisecond, "no new connections are taken")
	close(goOn)
	require.NoError(t, rpctest.Await(t, "the put", answered))
	require.NoError(t, rpctest.Await(t, "Shutdown", down))
	require.NoError(t, rpctest.Await(t, "Serve to end", served))
}

// Shutdown interrupts calls that do not finish in time.
func TestServer_ShutdownHasALimit(t *testing.T) {
	t.Parallel()
	kept, never := mem.NewChunks(), make(chan struct{})
	waiting := make(chan struct{})
	kept.SetHook(func(ctx context.Context, call mem.Call) error {
		if call.Op == mem.OpStat {
			close(waiting)
			return mem.Stall(never)(ctx, call)
		}
		return nil
	})
	l := rpctest.Listen(t)
	s := chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := dial(t, l.Addr().String(), chunks.DialConfig{})
	answered := make(chan error, 1)
	go func() { _, err := c.Stat(t.Context(), chunktest.NewID()); answered <- err }()
	rpctest.Await(t, "the call", waiting)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Shutdown(ctx), store.Canceled)
	require.NoError(t, rpctest.Await(t, "Serve to end", served))
	require.ErrorIs(t, rpctest.Await(t, "the call", answered), store.Unavailable)
}

// lying sends a unit that does not match its checksum, or none at all.
type lying struct {
	storagev1.UnimplementedStorageServiceServer
	answer *storagev1.GetChunkResponse
}

func (l lying) GetChunk(_ *storagev1.GetChunkRequest, out grpc.ServerStreamingServer[storagev1.GetChunkResponse]) error {
	return out.Send(l.answer)
}

func TestClient_ChecksWhatArrives(t *testing.T) {
	t.Parallel()
	for want, answer := range map[store.Kind]*storagev1.GetChunkResponse{
		store.Corrupt:  {Data: []byte("rotten"), Crc32C: 1},
		store.Internal: {},
	} {
		l := rpctest.Listen(t)
		g := grpc.NewServer()
		storagev1.RegisterStorageServiceServer(g, lying{answer: answer})
		served := make(chan error, 1)
		go func() { served <- g.Serve(l) }()
		t.Cleanup(func() { g.Stop(); require.NoError(t, <-served) })
		_, err := chunktest.Read(t.Context(), dial(t, l.Addr().String(), chunks.DialConfig{}), chunktest.NewID())
		require.ErrorIs(t, err, want)
	}
}

func TestCheckHealth(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	s := chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: mem.NewChunks()})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	require.NoError(t, rpc.CheckHealth(t.Context(), l.Addr().String(), nil))
	require.NoError(t, s.Shutdown(t.Context()))
	require.NoError(t, <-served)
	require.ErrorIs(t, rpc.CheckHealth(t.Context(), l.Addr().String(), nil), store.Unavailable)
}

// plain hides the optional interfaces of a store.
type plain struct{ chunk.Store }

func TestServer_VerifiesAStoreThatCannot(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	c := overTCP(t, plain{kept})
	id := chunktest.NewID()
	require.ErrorIs(t, c.Verify(t.Context(), id), store.NotFound)
	chunktest.Put(t, c, id, chunktest.Bytes(6, 50_000))
	require.NoError(t, c.Verify(t.Context(), id))
	require.True(t, kept.CorruptUnit(id, 3))
	require.ErrorIs(t, c.Verify(t.Context(), id), store.Corrupt)
}

// Streams that are not read do not block others on the same connection, however many there are.
func TestClient_IdleReadersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	c := dial(t, serveChunks(t, mem.NewChunks()), chunks.DialConfig{Connections: 1})
	id, data := chunktest.NewID(), chunktest.Bytes(7, 8*unitSize)
	_, err := put(t.Context(), c, id, unitsOf(data, make(chan struct{}, 8)))
	require.NoError(t, err)
	for range 150 { // together more than the connection's window
		r, err := c.Open(t.Context(), id, 0, -1)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
	}
	got, err := chunktest.Read(t.Context(), c, id)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}
