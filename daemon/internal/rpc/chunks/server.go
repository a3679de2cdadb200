package chunks

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// ServerConfig configures the server of a storage node.
type ServerConfig struct {
	rpc.ServerConfig
	Chunks  chunk.Store            // served; the caller closes it after Shutdown
	Node    store.NodeID           // calls addressed to another node are refused; zero: none are
	Cluster func() store.ClusterID // the joined cluster, zero before; nil: always zero
	Version string                 // of the daemon
	Beside  rpc.Port               // another protocol on the same listener; nil: none
}

const (
	maxFrame   = chunk.MaxUnitSize + rpc.MaxControl // bytes of a request with a unit
	maxStreams = 1024                               // calls in progress on one connection
)

// limits suit a node that serves a few gateways, each with hundreds of transfers.
func limits() *rpc.Limits {
	return &rpc.Limits{
		Arriving: rpc.Quota{Total: 1024, Each: 512},
		Writes:   rpc.Quota{Total: 1024, Each: 512},
		Calls:    rpc.Quota{Total: 4096, Each: 2048},
		Waits:    rpc.DefaultWaits(),
	}
}

// NewServer creates the server of a storage node.
func NewServer(c ServerConfig) *rpc.Server { return newServer(c, limits()) }

func newServer(c ServerConfig, l *rpc.Limits) *rpc.Server {
	c.ServerConfig = c.WithDefaults()
	if c.Cluster == nil {
		c.Cluster = func() store.ClusterID { return store.ClusterID{} }
	}
	s := &storage{config: c}
	desc := storageDesc()
	return rpc.NewServer(c.ServerConfig, rpc.Service{
		Name:     desc.ServiceName,
		Register: func(g *grpc.Server) { g.RegisterService(&desc, s) },
		OnStop:   func() { s.stopping.Store(true) },
		Beside:   c.Beside,
		Purpose:  rpc.DataPlane,
		Node:     c.Node,
		Writes: map[string]rpc.Write{
			storagev1.StorageService_PutChunk_FullMethodName:      rpc.StreamedWrite,
			storagev1.StorageService_PutSmallChunk_FullMethodName: rpc.UnitWrite,
		},
		Codec:      newCodec(c.Buffers),
		Limits:     l,
		MaxRequest: maxFrame, MaxStreams: maxStreams, Window: rpc.Window, WriteBuffer: rpc.WriteBuffer, ReadBuffer: rpc.ReadBuffer,
	})
}

// storage implements StorageService. It returns errors of the store unchanged; the
// server's interceptors translate them.
type storage struct {
	storagev1.UnimplementedStorageServiceServer
	config   ServerConfig
	stopping atomic.Bool
}

// storageDesc is the generated service description with two changes: the request of
// PutSmallChunk is decoded as a frame, and all other requests are limited in size.
func storageDesc() grpc.ServiceDesc {
	desc := storagev1.StorageService_ServiceDesc
	desc.Methods = slices.Clone(desc.Methods)
	for i := range desc.Methods {
		if desc.Methods[i].MethodName == "PutSmallChunk" {
			desc.Methods[i].Handler = handlePutSmall
		} else {
			desc.Methods[i].Handler = rpc.BoundControl(desc.Methods[i].Handler)
		}
	}
	return desc
}

// handlePutSmall has the signature that grpc.MethodDesc requires.
//
//nolint:revive // the signature has the context in second place
func handlePutSmall(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error) {
	f := new(frame)
	if err := decode(f); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: storagev1.StorageService_PutSmallChunk_FullMethodName}
	taken := false
	resp, err := edge(ctx, f, info, func(ctx context.Context, _ any) (any, error) {
		taken = true
		return srv.(*storage).putSmall(ctx, f)
	})
	if !taken {
		f.unit.Release()
	}
	return resp, err
}

// putSmall takes over the frame's unit.
func (s *storage) putSmall(ctx context.Context, f *frame) (*storagev1.PutSmallChunkResponse, error) {
	spec, err := specFromWire(f.spec)
	if err != nil {
		f.unit.Release()
		return nil, err
	}
	label, err := labelFromWire(f.label)
	if err != nil {
		f.unit.Release()
		return nil, err
	}
	info, err := chunk.PutSmall(ctx, s.config.Chunks, spec, f.unit, label)
	if err != nil {
		return nil, err
	}
	return &storagev1.PutSmallChunkResponse{Info: infoToWire(info)}, nil
}

// PutChunk implements the service.
func (s *storage) PutChunk(stream grpc.ClientStreamingServer[storagev1.PutChunkRequest, storagev1.PutChunkResponse]) error {
	info, err := s.receive(stream)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&storagev1.PutChunkResponse{Info: infoToWire(info)})
}

// receive passes the units to the store one by one. A frame is taken off the stream only
// when the previous one is stored, so that flow control slows the sender down.
func (s *storage) receive(stream grpc.ServerStream) (chunk.Info, error) {
	f, err := nextFrame(stream)
	if err != nil {
		return chunk.Info{}, err
	}
	spec, err := specFromWire(f.spec)
	if err != nil {
		f.unit.Release()
		return chunk.Info{}, err
	}
	w, err := s.config.Chunks.Create(stream.Context(), spec)
	if err != nil {
		f.unit.Release()
		return chunk.Info{}, err
	}
	defer w.Abort()
	for {
		if len(f.unit.Data) > 0 {
			if err := w.Append(f.unit); err != nil {
				return chunk.Info{}, err
			}
		}
		if f.label != nil {
			break
		}
		if f, err = nextFrame(stream); err != nil {
			return chunk.Info{}, err
		}
		if f.spec != nil {
			f.unit.Release()
			return chunk.Info{}, store.Errorf(store.Invalid, "the write has a second spec").WithItem(spec.ID)
		}
	}
	label, err := labelFromWire(f.label)
	if err != nil {
		return chunk.Info{}, err
	}
	return w.Commit(label)
}

// nextFrame receives a frame, whose unit then belongs to the caller.
func nextFrame(stream grpc.ServerStream) (*frame, error) {
	f := new(frame)
	err := stream.RecvMsg(f)
	if errors.Is(err, io.EOF) {
		return nil, store.Errorf(store.Invalid, "the write ended without a label")
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// GetChunk implements the service.
func (s *storage) GetChunk(req *storagev1.GetChunkRequest, stream grpc.ServerStreamingServer[storagev1.GetChunkResponse]) error {
	id, err := store.ParseChunkID(req.GetChunkId())
	if err != nil {
		return err
	}
	count := -1
	if req.UnitCount != nil {
		if req.GetUnitCount() < 0 {
			return store.Errorf(store.Invalid, "unit count %d is negative", req.GetUnitCount()).WithItem(id)
		}
		count = clampInt(req.GetUnitCount())
	}
	r, err := s.config.Chunks.Open(stream.Context(), id, clampInt(req.GetFirstUnit()), count)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f := frame{unit: u}
		err = stream.SendMsg(&f)
		if !f.taken {
			u.Release()
		}
		if err != nil {
			return err
		}
	}
}

// clampInt limits a received number to the range of int; the store refuses what is out of range.
func clampInt(n int64) int { return int(min(max(n, math.MinInt), math.MaxInt)) }

// StatChunk implements the service.
func (s *storage) StatChunk(ctx context.Context, req *storagev1.StatChunkRequest) (*storagev1.StatChunkResponse, error) {
	id, err := store.ParseChunkID(req.GetChunkId())
	if err != nil {
		return nil, err
	}
	info, err := s.config.Chunks.Stat(ctx, id)
	if err != nil {
		return nil, err
	}
	return &storagev1.StatChunkResponse{Info: infoToWire(info)}, nil
}

// DeleteChunk implements the service.
func (s *storage) DeleteChunk(ctx context.Context, req *storagev1.DeleteChunkRequest) (*storagev1.DeleteChunkResponse, error) {
	id, err := store.ParseChunkID(req.GetChunkId())
	if err != nil {
		return nil, err
	}
	if err := s.config.Chunks.Delete(ctx, id); err != nil {
		return nil, err
	}
	return &storagev1.DeleteChunkResponse{}, nil
}

// maxResultText bounds each text of a result in bytes, so that 1000 of them fit in an answer.
const maxResultText = 1 << 10

// DeleteChunks implements the service.
func (s *storage) DeleteChunks(ctx context.Context, req *storagev1.DeleteChunksRequest) (*storagev1.DeleteChunksResponse, error) {
	n := len(req.GetChunkIds())
	if n < 1 || n > store.MaxListLimit {
		return nil, store.Errorf(store.Invalid, "%d chunks are not within 1..%d", n, store.MaxListLimit)
	}
	ids := make([]store.ChunkID, n)
	for i, text := range req.GetChunkIds() {
		var err error
		if ids[i], err = store.ParseChunkID(text); err != nil {
			return nil, err
		}
	}
	resp := new(storagev1.DeleteChunksResponse)
	for i, err := range chunk.DeleteMany(ctx, s.config.Chunks, ids) {
		if err == nil {
			continue
		}
		if resp.Results == nil {
			resp.Results = make([]*storagev1.DeleteResult, n)
			for j := range resp.Results {
				resp.Results[j] = new(storagev1.DeleteResult)
			}
		}
		resp.Results[i].Error = rpc.Detail(err, maxResultText)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return resp, nil
}

// ListChunks implements the service.
func (s *storage) ListChunks(ctx context.Context, req *storagev1.ListChunksRequest) (*storagev1.ListChunksResponse, error) {
	var after store.ChunkID
	if req.GetAfter() != "" {
		var err error
		if after, err = store.ParseChunkID(req.GetAfter()); err != nil {
			return nil, err
		}
	}
	if req.GetLimit() < 1 || req.GetLimit() > store.MaxListLimit {
		return nil, store.Errorf(store.Invalid, "limit %d is not within 1..%d", req.GetLimit(), store.MaxListLimit)
	}
	listed, err := s.config.Chunks.List(ctx, after, int(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	resp := &storagev1.ListChunksResponse{Chunks: make([]*storagev1.ListedChunk, len(listed))}
	for i, one := range listed {
		resp.Chunks[i] = &storagev1.ListedChunk{ChunkId: one.ID.String(), Sum: uint32(one.Sum), Damaged: one.Damaged}
	}
	return resp, nil
}

// VerifyChunk implements the service. A store without ChunkVerifier is read instead.
func (s *storage) VerifyChunk(ctx context.Context, req *storagev1.VerifyChunkRequest) (*storagev1.VerifyChunkResponse, error) {
	id, err := store.ParseChunkID(req.GetChunkId())
	if err != nil {
		return nil, err
	}
	if err := chunk.Verify(ctx, s.config.Chunks, id); err != nil {
		return nil, err
	}
	return &storagev1.VerifyChunkResponse{}, nil
}

// HealthCheck implements the service.
func (s *storage) HealthCheck(ctx context.Context, _ *storagev1.HealthCheckRequest) (*storagev1.HealthCheckResponse, error) {
	capacity, err := s.config.Chunks.Capacity(ctx)
	if err != nil {
		return nil, err
	}
	resp := &storagev1.HealthCheckResponse{
		State:    storagev1.NodeState_NODE_STATE_SERVING,
		Version:  s.config.Version,
		NodeId:   s.config.Node.String(),
		Capacity: rpc.CapacityToWire(capacity),
	}
	switch {
	case s.stopping.Load():
		resp.State = storagev1.NodeState_NODE_STATE_STOPPING
	case capacity.Free <= 0:
		resp.State = storagev1.NodeState_NODE_STATE_FULL
	}
	if cluster := s.config.Cluster(); !cluster.IsZero() {
		resp.ClusterId = cluster.String()
	}
	return resp, nil
}
