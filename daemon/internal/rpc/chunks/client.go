package chunks

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// connections is the number of TCP connections to a node. Each has one reading and one
// writing goroutine, so two connections can use two cores.
const connections = 2

// DialConfig configures a client.
type DialConfig struct {
	Node        store.NodeID                     // the expected node: a call that reaches another one is Unavailable; zero: any
	JoinToken   string                           // of the cluster; "" sends none
	Credentials credentials.TransportCredentials // nil: plain TCP
	Connections int                              // 0: two
	Buffers     *bufpool.Pool                    // nil: its own

	// Dialer replaces the network's dialer, for tests.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

// Client is the chunks of a remote node: a chunk.Store, chunk.SmallPutter,
// chunk.ManyDeleter and chunk.Verifier. Safe for concurrent use.
//
// Calls to an unreachable node are Unavailable at once, or within three seconds during the
// first attempt to connect; connecting is retried in the background. A node that does not
// answer blocks a call until its context ends.
type Client struct {
	links []*link
	peer  rpc.Peer
}

// link is a connection with the number of calls in progress on it.
type link struct {
	*grpc.ClientConn
	busy atomic.Int64
}

var (
	_ chunk.Store       = (*Client)(nil)
	_ chunk.SmallPutter = (*Client)(nil)
	_ chunk.ManyDeleter = (*Client)(nil)
	_ chunk.Verifier    = (*Client)(nil)
)

// Dial creates a client of the node at address (host:port) and begins to connect in the
// background. It fails only for an unusable address or configuration (Invalid). The caller
// must Close the client.
func Dial(address string, c DialConfig) (*Client, error) {
	if err := rpc.CheckAddress("node", address); err != nil && c.Dialer == nil {
		return nil, err
	}
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Connections == 0 {
		c.Connections = connections
	}
	client := &Client{peer: PeerOf(address)}
	for range c.Connections {
		conn, err := rpc.Connect(address, rpc.ConnectConfig{
			Purpose: rpc.DataPlane, JoinToken: c.JoinToken, Node: c.Node, Credentials: c.Credentials, Buffers: c.Buffers, Codec: newCodec(c.Buffers), Dialer: c.Dialer,
		})
		if err != nil {
			return nil, errors.Join(err, client.Close())
		}
		client.links = append(client.links, &link{ClientConn: conn})
		conn.Connect()
	}
	return client, nil
}

// Close closes the connections. Calls in progress fail with Canceled or Unavailable.
func (c *Client) Close() error {
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.ClientConn.Close())
	}
	return errors.Join(errs...)
}

// pick returns the connection with the fewest calls; the caller calls done at the end of its call.
func (c *Client) pick() *link {
	best := c.links[0]
	for _, l := range c.links[1:] {
		if l.busy.Load() < best.busy.Load() {
			best = l
		}
	}
	best.busy.Add(1)
	return best
}

func (l *link) done() { l.busy.Add(-1) }

// call makes a unary call and translates its error.
func (c *Client) call(ctx context.Context, method string, req, resp any) error {
	l := c.pick()
	defer l.done()
	if err := l.Invoke(ctx, method, req, resp); err != nil {
		return c.peer.Error(ctx, err)
	}
	return nil
}

// PutSmall implements chunk.SmallPutter.
func (c *Client) PutSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	err := spec.Validate()
	if err == nil {
		err = spec.CheckUnit(u, 0)
	}
	if err != nil {
		u.Release()
		return chunk.Info{}, err
	}
	held := new(lending)
	defer held.end()
	f := &frame{spec: specToWire(spec), label: labelToWire(label), unit: u, lending: held}
	resp := new(storagev1.PutSmallChunkResponse)
	err = c.call(ctx, storagev1.StorageService_PutSmallChunk_FullMethodName, f, resp)
	if !f.taken {
		u.Release()
	}
	if err != nil {
		return chunk.Info{}, err
	}
	return infoFromWire(resp.GetInfo())
}

// Stat implements chunk.Keeper.
func (c *Client) Stat(ctx context.Context, id store.ChunkID) (chunk.Info, error) {
	resp := new(storagev1.StatChunkResponse)
	err := c.call(ctx, storagev1.StorageService_StatChunk_FullMethodName, &storagev1.StatChunkRequest{ChunkId: id.String()}, resp)
	if err != nil {
		return chunk.Info{}, err
	}
	return infoFromWire(resp.GetInfo())
}

// Delete implements chunk.Keeper.
func (c *Client) Delete(ctx context.Context, id store.ChunkID) error {
	return c.call(ctx, storagev1.StorageService_DeleteChunk_FullMethodName,
		&storagev1.DeleteChunkRequest{ChunkId: id.String()}, new(storagev1.DeleteChunkResponse))
}

// DeleteMany implements chunk.ManyDeleter. A node of an earlier release gets a call for each chunk.
func (c *Client) DeleteMany(ctx context.Context, ids []store.ChunkID) []error {
	if err := chunk.CheckMany(ids); err != nil {
		return chunk.AllFailed(ids, err)
	}
	if len(ids) == 0 {
		return nil
	}
	req, resp := &storagev1.DeleteChunksRequest{ChunkIds: make([]string, len(ids))}, new(storagev1.DeleteChunksResponse)
	for i, id := range ids {
		req.ChunkIds[i] = id.String()
	}
	err := c.call(ctx, storagev1.StorageService_DeleteChunks_FullMethodName, req, resp)
	if rpc.CodeOf(err) == codes.Unimplemented {
		return chunk.DeleteEach(ctx, c, ids)
	}
	results := resp.GetResults()
	if n := len(results); err == nil && n != 0 && n != len(ids) {
		err = store.Errorf(store.Internal, "node %s answered for %d of %d deletions", c.peer.Address, n, len(ids))
	}
	if err != nil {
		return chunk.AllFailed(ids, err)
	}
	errs := make([]error, len(ids))
	for i, r := range results {
		errs[i] = rpc.FromDetail(r.GetError())
	}
	return errs
}

// List implements chunk.Keeper. A long list takes several calls.
func (c *Client) List(ctx context.Context, after store.ChunkID, limit int) ([]chunk.Listed, error) {
	var listed []chunk.Listed
	for len(listed) < limit {
		want := min(limit-len(listed), store.MaxListLimit)
		page, err := c.listPage(ctx, after, want)
		if err != nil {
			return nil, err
		}
		listed = append(listed, page...)
		if len(page) < want {
			break
		}
		after = listed[len(listed)-1].ID
	}
	return listed, nil
}

func (c *Client) listPage(ctx context.Context, after store.ChunkID, limit int) ([]chunk.Listed, error) {
	req := &storagev1.ListChunksRequest{Limit: int32(limit)}
	if after != (store.ChunkID{}) {
		req.After = after.String()
	}
	resp := new(storagev1.ListChunksResponse)
	if err := c.call(ctx, storagev1.StorageService_ListChunks_FullMethodName, req, resp); err != nil {
		return nil, err
	}
	if len(resp.GetChunks()) > limit {
		return nil, store.Errorf(store.Internal, "node %s listed %d chunks, where at most %d were requested", c.peer.Address, len(resp.GetChunks()), limit)
	}
	listed := make([]chunk.Listed, len(resp.GetChunks()))
	for i, w := range resp.GetChunks() {
		id, err := store.ParseChunkID(w.GetChunkId())
		if err != nil {
			return nil, err
		}
		listed[i] = chunk.Listed{ID: id, Sum: store.ChunkSum(w.GetSum()), Damaged: w.GetDamaged()}
	}
	return listed, nil
}

// Verify implements chunk.Verifier.
func (c *Client) Verify(ctx context.Context, id store.ChunkID) error {
	return c.call(ctx, storagev1.StorageService_VerifyChunk_FullMethodName,
		&storagev1.VerifyChunkRequest{ChunkId: id.String()}, new(storagev1.VerifyChunkResponse))
}

// Capacity implements chunk.Keeper.
func (c *Client) Capacity(ctx context.Context) (store.Capacity, error) {
	h, err := c.Health(ctx)
	return h.Capacity, err
}

// Health is the state that a node reports.
type Health struct {
	Node     store.NodeID
	Cluster  store.ClusterID // zero before it joined one
	Version  string
	Stopping bool // it finishes the calls in progress and accepts no new ones
	Capacity store.Capacity
}

// Health queries the node's state. Errors: Unavailable, Denied, Canceled.
func (c *Client) Health(ctx context.Context) (Health, error) {
	resp := new(storagev1.HealthCheckResponse)
	if err := c.call(ctx, storagev1.StorageService_HealthCheck_FullMethodName, new(storagev1.HealthCheckRequest), resp); err != nil {
		return Health{}, err
	}
	h := Health{
		Version:  resp.GetVersion(),
		Stopping: resp.GetState() == storagev1.NodeState_NODE_STATE_STOPPING,
		Capacity: rpc.CapacityFromWire(resp.GetCapacity()),
	}
	var err error
	if h.Node, err = store.ParseNodeID(resp.GetNodeId()); err == nil && resp.GetClusterId() != "" {
		h.Cluster, err = store.ParseClusterID(resp.GetClusterId())
	}
	return h, err
}

// stream is an open streaming call. Its context ends with the call, so that gRPC frees
// everything that belongs to it.
type stream struct {
	grpc.ClientStream
	client *Client
	ctx    context.Context // the caller's
}

// openStream begins a streaming call on the least used connection. The caller must end ctx
// to free the stream's resources, and then call release.
func (c *Client) openStream(ctx context.Context, desc *grpc.StreamDesc, method string) (s *stream, release func(), err error) {
	l := c.pick()
	raw, err := l.NewStream(ctx, desc, method)
	if err != nil {
		l.done()
		return nil, nil, c.peer.Error(ctx, err)
	}
	return &stream{raw, c, ctx}, l.done, nil
}

// wrong translates an error of gRPC on the stream.
func (s *stream) wrong(err error) error { return s.client.peer.Error(s.ctx, err) }

// PeerOf describes the storage node at an address in messages.
func PeerOf(address string) rpc.Peer {
	return rpc.Peer{What: "storage node", Address: address, Hint: "Check that s3storage runs there and that this host can reach the address."}
}
