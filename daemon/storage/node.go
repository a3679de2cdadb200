package storage

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/rpc/member"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Node is a storage node: a data directory that is served over gRPC, and a member of a cluster.
type Node struct {
	config   Config
	log      *slog.Logger
	chunks   *chunkfs.Store
	listener net.Listener
	server   *rpc.Server
	joiner   *member.Joiner
	self     store.Node
	joined   chan struct{} // closed after the first join
	once     sync.Once     // closes joined
}

// New opens the data directory and the port; Run serves. Before Run only the getters and Close
// may be called. Errors: Conflict (the
// directory is in use, or another cluster's), Corrupt, Invalid, Unavailable (port), Canceled.
func New(ctx context.Context, c Config, version string, log *slog.Logger) (n *Node, err error) {
	n = &Node{config: c, log: log, joined: make(chan struct{})}
	buffers := bufpool.New()
	n.chunks, err = chunkfs.Open(ctx, chunkfs.Config{Dir: c.Data, Reserve: int64(c.Reserve), Limit: int64(c.Limit), Buffers: buffers, Log: log})
	if err != nil {
		return nil, err
	}
	n.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, errors.Join(store.Errorf(store.Unavailable, "--listen %s: %w", c.Listen, err).
			WithHint("Choose another address with --listen, or stop what uses this one."), n.chunks.Close())
	}
	if err := n.introduce(version); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.server = chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: c.JoinToken.Reveal(), Buffers: buffers, Log: log},
		Chunks:       n.chunks,
		Node:         n.self.ID,
		Cluster:      func() store.ClusterID { return n.chunks.Identity().Cluster },
		Version:      version,
		Beside:       n.dataPort(buffers),
	})
	n.joiner, err = member.NewJoiner(member.JoinerConfig{
		Gateways:  c.Gateway,
		JoinToken: c.JoinToken.Reveal(),
		Node:      n.self,
		Cluster:   n.chunks.Identity().Cluster,
		Capacity:  n.chunks.Capacity,
		Joined:    n.keepCluster,
		Heartbeat: c.Heartbeat,
		Log:       log,
		Buffers:   buffers,
	})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// dataPort is the data port that the node offers, or nil.
func (n *Node) dataPort(buffers *bufpool.Pool) rpc.Port {
	if n.self.DataPort == 0 {
		return nil
	}
	return data.NewServer(data.ServerConfig{Chunks: n.chunks, Node: n.self.ID, JoinToken: n.config.JoinToken.Reveal(), Buffers: buffers, Log: n.log})
}

// introduce determines how the node describes itself to the cluster.
func (n *Node) introduce(version string) error {
	host, port, err := net.SplitHostPort(n.listener.Addr().String())
	if err != nil {
		return store.Errorf(store.Internal, "address %s: %w", n.listener.Addr(), err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = host
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = hostname
	}
	n.self = store.Node{
		ID:      n.chunks.Identity().Node,
		Name:    cmp.Or(n.config.Name, hostname+"-"+port),
		Address: cmp.Or(n.config.Advertise, net.JoinHostPort(host, port)),
		Zone:    n.config.Zone,
		Weight:  n.config.Weight,
		Version: version,
	}
	if n.config.DataPlane != data.OnlyGRPC {
		n.self.DataPort = data.Version
	}
	if _, _, err := net.SplitHostPort(n.self.Address); err != nil {
		return store.Errorf(store.Invalid, "--advertise %q is not host:port", n.self.Address)
	}
	return n.self.Validate()
}

// keepCluster stores the id of the joined cluster, permanently.
func (n *Node) keepCluster(id store.ClusterID) error {
	if err := n.chunks.Bind(id); err != nil {
		return err
	}
	n.once.Do(func() { close(n.joined) })
	return nil
}

// Self is the node's description of itself to the cluster.
func (n *Node) Self() store.Node { return n.self }

// Address is the address that the node serves.
func (n *Node) Address() net.Addr { return n.listener.Addr() }

// Joined is closed when a cluster has accepted the node.
func (n *Node) Joined() <-chan struct{} { return n.joined }

// Run serves and stays a member until ctx ends, then lets calls in progress finish within
// the grace time and closes the data directory. It returns nil after a stop, even if calls had
// to be interrupted, and otherwise the reason for its end, such as the removal of the node from
// its cluster. Call it once.
func (n *Node) Run(ctx context.Context) error {
	if ctx.Err() != nil {
		return n.Close() // no service was started that would do it
	}
	g := lifecycle.NewGroup(n.log)
	g.Add(lifecycle.ReturnMemory())
	g.Add(lifecycle.Service{
		Name: "data directory",
		Stop: func(context.Context) error { return n.chunks.Close() },
	})
	g.Add(lifecycle.Service{
		Name:  "server",
		Run:   func(context.Context) error { return n.server.Serve(n.listener) },
		Stop:  n.stopServing,
		Limit: n.config.Grace + cutTime,
	})
	g.Add(lifecycle.Service{Name: "membership", Run: n.joiner.Run})
	return g.Run(ctx)
}

// cutTime is how long the server may take after the grace time to interrupt remaining calls.
const cutTime = 10 * time.Second

// stopServing ends the server. Interrupted calls are repeated by their callers and are no failure.
func (n *Node) stopServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.Grace)
	defer cancel()
	err := n.server.Shutdown(ctx)
	if errors.Is(err, store.Canceled) {
		n.log.Warn("stopped before all calls had finished", "grace", n.config.Grace, "cause", err)
		return nil
	}
	return err
}

// Close releases the resources of New; for use when Run is not called.
func (n *Node) Close() error {
	var err error
	if n.server != nil {
		err = n.server.Shutdown(context.Background()) // it has no calls, but goroutines for them
	}
	return errors.Join(err, n.listener.Close(), n.chunks.Close())
}
