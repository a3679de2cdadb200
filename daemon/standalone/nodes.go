package standalone

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/gateway"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// nodes are the storage nodes of this process.
type nodes struct {
	meta    store.Nodes
	every   time.Duration // heartbeat
	log     *slog.Logger
	buffers *bufpool.Pool
	all     []node
}

type node struct {
	name   string
	chunks *chunkfs.Store
}

// openNodes opens every node's directory and makes it a member of the cluster.
func openNodes(ctx context.Context, c Config, meta store.Nodes, log *slog.Logger, buffers *bufpool.Pool) (_ *nodes, err error) {
	ns := &nodes{meta: meta, every: c.Heartbeat, log: log, buffers: buffers}
	defer func() {
		if err != nil {
			err = errors.Join(err, ns.close())
		}
	}()
	members, err := meta.Members(ctx)
	if err != nil {
		return ns, err
	}
	names, dirs := c.directories()
	for i, dir := range dirs {
		if err := ns.open(ctx, names[i], dir, members, int64(c.Reserve)); err != nil {
			return ns, err
		}
	}
	return ns, nil
}

// open opens one directory. A new directory replaces one that was lost under the same
// name: the lost node is marked removed, so that its chunks count as lost.
func (ns *nodes) open(ctx context.Context, name, dir string, members store.Membership, reserve int64) error {
	chunks, err := chunkfs.Open(ctx, chunkfs.Config{Dir: dir, Reserve: reserve, Identity: chunkfs.Identity{Cluster: members.Cluster}, Buffers: ns.buffers, Log: ns.log})
	if err != nil {
		return err
	}
	ns.all = append(ns.all, node{name, chunks})
	id := chunks.Identity().Node
	for _, m := range members.Nodes {
		if m.Name == name && m.ID != id && m.State != store.NodeRemoved {
			ns.log.Warn("the directory of a node is new; the node that used this name before is removed", "node", name, "directory", dir, "was", m.ID, "is", id)
			if err := ns.meta.SetNodeState(ctx, m.ID, store.NodeRemoved, ""); err != nil {
				return err
			}
		}
	}
	if err := chunks.Bind(members.Cluster); err != nil {
		return err
	}
	capacity, err := chunks.Capacity(ctx)
	if err != nil {
		return err
	}
	_, err = ns.meta.JoinNode(ctx, store.Node{ID: id, Name: name, Weight: 1, Capacity: capacity, Version: gateway.Version()})
	return err
}

// connect returns the chunks of a node: the same interface as over gRPC, called directly.
func (ns *nodes) connect(n store.Node) (chunk.Store, io.Closer, error) {
	for _, have := range ns.all {
		if have.chunks.Identity().Node == n.ID {
			return have.chunks, io.NopCloser(nil), nil
		}
	}
	return nil, nil, store.Errorf(store.Unavailable, "node %q is not in this process", n.Name).
		WithHint("Start with the directories of all nodes, or remove the node.")
}

// heartbeater sends the heartbeats of all nodes of this process.
func (ns *nodes) heartbeater() cluster.Heartbeater {
	all := make(map[store.NodeID]chunk.Store, len(ns.all))
	for _, n := range ns.all {
		all[n.chunks.Identity().Node] = n.chunks
	}
	return cluster.Heartbeater{Meta: ns.meta, Nodes: all, Every: ns.every, Log: ns.log}
}

func (ns *nodes) close() error {
	var errs []error
	for _, n := range ns.all {
		errs = append(errs, n.chunks.Close())
	}
	return errors.Join(errs...)
}
