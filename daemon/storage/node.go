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

	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
	"github.com/ringstore/ringstore/daemon/internal/noderpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Node is a storage node: a data directory, served over gRPC, member of a cluster.
type Node struct {
	config   Config
	log      *slog.Logger
	chunks   *chunkfs.Store
	listener net.Listener
	server   *noderpc.Server
	joiner   *noderpc.Joiner
	self     store.Node
	joined   chan struct{} // closed after the first join
	once     sync.Once     // closes joined
}

// New opens the data directory and the port; Run serves. Between the two only
// Close may be called besides the methods that tell. Errors: Conflict (the
// directory is in use, or another cluster's), Corrupt, Invalid, Unavailable (port), Canceled.
func New(ctx context.Context, c Config, version string, log *slog.Logger) (n *Node, err error) {
	n = &Node{config: c, log: log, joined: make(chan struct{})}
	n.chunks, err = chunkfs.Open(ctx, chunkfs.Config{Dir: c.Data, Reserve: int64(c.Reserve), Limit: int64(c.Limit), Log: log})
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
	n.server = noderpc.NewStorageServer(noderpc.StorageConfig{
		ServerConfig: noderpc.ServerConfig{JoinToken: c.JoinToken.Reveal(), Log: log},
		Chunks:       n.chunks,
		Node:         n.self.ID,
		Cluster:      func() store.ClusterID { return n.chunks.Identity().Cluster },
		Version:      version,
	})
	n.joiner, err = noderpc.NewJoiner(noderpc.JoinerConfig{
		Gateways:  c.Gateway,
		JoinToken: c.JoinToken.Reveal(),
		Node:      n.self,
		Cluster:   n.chunks.Identity().Cluster,
		Capacity:  n.chunks.Capacity,
		Joined:    n.keepCluster,
		Heartbeat: c.Heartbeat,
		Log:       log,
	})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// introduce works out what the node tells of itself.
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
	if _, _, err := net.SplitHostPort(n.self.Address); err != nil {
		return store.Errorf(store.Invalid, "--advertise %q is not host:port", n.self.Address)
	}
	return n.self.Validate()
}

// keepCluster writes down which cluster took the node in; it is for good.
func (n *Node) keepCluster(id store.ClusterID) error {
	if err := n.chunks.Bind(id); err != nil {
		return err
	}
	n.once.Do(func() { close(n.joined) })
	return nil
}

// Self tells how the node introduces itself to the cluster.
func (n *Node) Self() store.Node { return n.self }

// Address is where the node serves.
func (n *Node) Address() net.Addr { return n.listener.Addr() }

// Joined is closed once a cluster has taken the node in.
func (n *Node) Joined() <-chan struct{} { return n.joined }

// Run serves and stays a member until ctx ends, then lets calls under way end
// within the grace time and closes the data directory. Its error is nil after a
// stop, also one that had to cut calls off, and otherwise says what made going
// on impossible, such as that the node was removed from its cluster. Call it once.
func (n *Node) Run(ctx context.Context) error {
	if ctx.Err() != nil {
		return n.Close() // no service has begun that would do it
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

// cutTime is what the server may take beyond the grace time, to cut off calls that have not ended.
const cutTime = 10 * time.Second

// stopServing ends the server. Calls that had to be cut off are the callers' to repeat, not a failed stop.
func (n *Node) stopServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.Grace)
	defer cancel()
	err := n.server.Shutdown(ctx)
	if errors.Is(err, store.Canceled) {
		n.log.Warn("stopped before all calls had ended", "grace", n.config.Grace, "cause", err)
		return nil
	}
	return err
}

// Close frees what New took, when Run is not called.
func (n *Node) Close() error {
	return errors.Join(n.listener.Close(), n.chunks.Close())
}
