package cluster

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// connections holds one connection per node, created on first use.
type connections struct {
	connect func(store.Node) (chunk.Store, io.Closer, error)
	linger  time.Duration
	log     *slog.Logger

	mu     sync.Mutex // guards what follows; held while connecting, which does not wait for the node
	open   map[store.NodeID]*conn
	old    map[*conn]*time.Timer // replaced; closed when the timer fires
	closed bool
}

// conn is a connection to the node at an address.
type conn struct {
	place  place
	chunks chunk.Store
	closer io.Closer // may be nil
}

// place is how a node is reached.
type place struct {
	address  string
	dataPort int
}

func placeOf(n store.Node) place { return place{n.Address, n.DataPort} }

// get returns the connection to the node where it is now.
func (c *connections) get(n store.Node) (chunk.Store, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, store.Errorf(store.Unavailable, "the connections to the storage nodes were closed")
	}
	if k, ok := c.open[n.ID]; ok {
		if k.place == placeOf(n) {
			return k.chunks, nil
		}
		c.retire(n.ID, k)
	}
	chunks, closer, err := c.connect(n)
	if err != nil {
		return nil, &store.Error{Op: "cluster.Connect", Kind: store.Unavailable, Item: "node " + n.Name, Err: err}
	}
	c.open[n.ID] = &conn{place: placeOf(n), chunks: chunks, closer: closer}
	return chunks, nil
}

// keep retires the connections of nodes that are not in the view or are reached in another way.
func (c *connections) keep(v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, k := range c.open {
		if m, ok := v.Member(id); !ok || placeOf(m.Node) != k.place {
			c.retire(id, k)
		}
	}
}

// retire closes a connection after linger, so that calls in flight can finish. The caller holds mu.
func (c *connections) retire(id store.NodeID, k *conn) {
	delete(c.open, id)
	c.old[k] = time.AfterFunc(c.linger, func() {
		c.mu.Lock()
		_, mine := c.old[k] // false if close was called before
		delete(c.old, k)
		c.mu.Unlock()
		if !mine {
			return
		}
		if err := k.close(); err != nil {
			c.log.Warn("closing a connection to a storage node failed", "address", k.place.address, "error", err)
		}
	})
}

func (k *conn) close() error {
	if k.closer == nil {
		return nil
	}
	return k.closer.Close()
}

func (c *connections) close() error {
	c.mu.Lock()
	var all []*conn
	for k, timer := range c.old {
		timer.Stop()
		all = append(all, k)
	}
	for _, k := range c.open {
		all = append(all, k)
	}
	clear(c.old)
	clear(c.open)
	c.closed = true
	c.mu.Unlock()

	var errs []error
	for _, k := range all {
		errs = append(errs, k.close())
	}
	return errors.Join(errs...)
}
