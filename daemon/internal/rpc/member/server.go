package member

import (
	"context"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	clusterv1 "github.com/ringstore/ringstore/proto/cluster/v1"
)

// DefaultHeartbeat is the default time between two heartbeats.
const DefaultHeartbeat = 10 * time.Second

// beatWindow is how long heartbeats are collected before they are stored together.
const beatWindow = 200 * time.Millisecond

// beatTimeout bounds the write of a batch, which does not end with any caller's context.
const beatTimeout = 5 * time.Second

// ServerConfig configures a gateway's server for nodes.
type ServerConfig struct {
	rpc.ServerConfig
	Nodes     store.Nodes   // where membership is stored
	Heartbeat time.Duration // sent to nodes; 0: DefaultHeartbeat
}

// The server moves small messages over many connections.
const (
	maxStreams = 64       // calls in progress on one connection
	window     = 64 << 10 // gRPC's minimum: one request
	buffer     = 8 << 10  // bytes per connection and direction
)

// limits suit a gateway with a few thousand nodes, each of which makes one call
// at a time. Many nodes may share an address.
func limits() *rpc.Limits {
	return &rpc.Limits{
		Arriving: rpc.Quota{Total: 256, Each: 64},
		Calls:    rpc.Quota{Total: 2048, Each: 512},
		Waits:    rpc.DefaultWaits(),
	}
}

// NewServer creates the server to which nodes send joins and heartbeats.
func NewServer(c ServerConfig) *rpc.Server {
	c.ServerConfig = c.WithDefaults()
	if c.Heartbeat == 0 {
		c.Heartbeat = DefaultHeartbeat
	}
	m := &members{config: c, beats: beats{nodes: c.Nodes}}
	return rpc.NewServer(c.ServerConfig, rpc.Service{
		Name:       clusterv1.MembershipService_ServiceDesc.ServiceName,
		Register:   func(g *grpc.Server) { clusterv1.RegisterMembershipServiceServer(g, m) },
		Purpose:    rpc.Membership,
		Limits:     limits(),
		MaxRequest: rpc.MaxControl, MaxStreams: maxStreams, Window: window, WriteBuffer: buffer, ReadBuffer: buffer,
	})
}

// members implements MembershipService.
type members struct {
	clusterv1.UnimplementedMembershipServiceServer
	config ServerConfig
	beats  beats

	mu sync.Mutex
	id store.ClusterID // guarded by mu; zero until it was read, then constant
}

// Join implements the service.
func (m *members) Join(ctx context.Context, req *clusterv1.JoinRequest) (*clusterv1.JoinResponse, error) {
	n, err := nodeFromWire(req)
	if err != nil {
		return nil, err
	}
	if err := m.sameCluster(ctx, req.GetClusterId()); err != nil {
		return nil, err
	}
	view, err := m.config.Nodes.JoinNode(ctx, n)
	if err != nil {
		return nil, err
	}
	m.config.Log.Info("a node joined", "node", n.Name, "id", n.ID, "address", n.Address, "zone", n.Zone, "version", n.Version, "epoch", view.Epoch)
	return &clusterv1.JoinResponse{
		ClusterId:         view.Cluster.String(),
		Epoch:             uint64(view.Epoch),
		HeartbeatInterval: durationpb.New(m.config.Heartbeat),
	}, nil
}

func nodeFromWire(req *clusterv1.JoinRequest) (store.Node, error) {
	id, err := store.ParseNodeID(req.GetNodeId())
	if err != nil {
		return store.Node{}, err
	}
	n := store.Node{
		ID:       id,
		Name:     req.GetName(),
		Address:  req.GetAddress(),
		Zone:     req.GetZone(),
		Weight:   int(req.GetWeight()),
		Capacity: rpc.CapacityFromWire(req.GetCapacity()),
		Version:  req.GetVersion(),
		DataPort: max(0, min(int(req.GetDataPort()), math.MaxInt16)),
	}
	if n.Address == "" {
		return n, store.Errorf(store.Invalid, "node %q has no address", n.Name)
	}
	return n, n.Validate()
}

// sameCluster refuses a node that belongs to another cluster. "": it belongs to none yet.
func (m *members) sameCluster(ctx context.Context, wanted string) error {
	if wanted == "" {
		return nil
	}
	theirs, err := store.ParseClusterID(wanted)
	if err != nil {
		return err
	}
	ours, err := m.cluster(ctx)
	if err != nil || ours == theirs {
		return err
	}
	return store.Errorf(store.PreconditionFailed, "the node's data belongs to cluster %s, this is cluster %s", theirs, ours).
		WithHint("Configure a gateway of the node's own cluster, or start the node with an empty data directory.")
}

func (m *members) cluster(ctx context.Context) (store.ClusterID, error) {
	m.mu.Lock()
	id := m.id
	m.mu.Unlock()
	if !id.IsZero() {
		return id, nil
	}
	view, err := m.config.Nodes.Members(ctx)
	if err != nil {
		return id, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id = view.Cluster
	return m.id, nil
}

// Heartbeat implements the service.
func (m *members) Heartbeat(ctx context.Context, req *clusterv1.HeartbeatRequest) (*clusterv1.HeartbeatResponse, error) {
	id, err := store.ParseNodeID(req.GetNodeId())
	if err != nil {
		return nil, err
	}
	if err := m.sameCluster(ctx, req.GetClusterId()); err != nil {
		return nil, err
	}
	if err := m.beats.add(ctx, store.Beat{Node: id, Capacity: rpc.CapacityFromWire(req.GetCapacity())}); err != nil {
		return nil, err
	}
	return &clusterv1.HeartbeatResponse{HeartbeatInterval: durationpb.New(m.config.Heartbeat)}, nil
}

// beats combines the heartbeats of many nodes into one write per beatWindow.
type beats struct {
	nodes store.Nodes

	mu   sync.Mutex
	open *beatBatch // collects beats; nil when none arrived since the last write. Guarded by mu
}

// beatBatch is stored in one write. unknown and err may be read when done is closed.
type beatBatch struct {
	beats   map[store.NodeID]store.Beat // the last beat of each node; guarded by beats.mu while open
	done    chan struct{}
	unknown map[store.NodeID]bool
	err     error
}

// add returns when the beat is stored. NotFound: the node is not a member.
func (b *beats) add(ctx context.Context, beat store.Beat) error {
	batch := b.put(beat)
	select {
	case <-batch.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case batch.err != nil:
		return batch.err
	case batch.unknown[beat.Node]:
		return store.Errorf(store.NotFound, "no member has this id").WithItem(beat.Node)
	}
	return nil
}

func (b *beats) put(beat store.Beat) *beatBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		batch := &beatBatch{beats: map[store.NodeID]store.Beat{}, done: make(chan struct{})}
		b.open = batch
		time.AfterFunc(beatWindow, func() { b.write(batch) })
	}
	b.open.beats[beat.Node] = beat
	return b.open
}

func (b *beats) write(batch *beatBatch) {
	defer close(batch.done)
	b.mu.Lock()
	b.open = nil
	b.mu.Unlock()
	all := make([]store.Beat, 0, len(batch.beats))
	for _, beat := range batch.beats {
		all = append(all, beat)
	}
	ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
	defer cancel()
	var unknown []store.NodeID
	unknown, batch.err = b.nodes.BeatNodes(ctx, all)
	batch.unknown = make(map[store.NodeID]bool, len(unknown))
	for _, id := range unknown {
		batch.unknown[id] = true
	}
}

// weightToWire limits a weight to the range of int32; the gateway refuses invalid weights.
func weightToWire(n int) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }
