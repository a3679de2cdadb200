package data

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Version is that of the protocol, which a node names when it joins.
const Version = 1

// Values of the setting --data-plane: how units travel.
const (
	Auto     = "auto" // through the data port where both ends have one
	OnlyGRPC = "grpc"
)

// CheckPlane refuses a value that --data-plane does not have.
func CheckPlane(plane string) error {
	if plane != Auto && plane != OnlyGRPC {
		return fmt.Errorf("--data-plane %q is neither %s nor %s", plane, Auto, OnlyGRPC)
	}
	return nil
}

// DialConfig configures a client.
type DialConfig struct {
	GRPC      *chunks.Client // of the same node, for all that the data port does not serve; it is closed with the client
	Node      store.NodeID   // the expected node: a request that reaches another one is Unavailable; zero: any
	JoinToken string         // of the cluster; "" makes proofs that say nothing
	Buffers   *bufpool.Pool  // nil: its own
	Log       *slog.Logger   // nil: slog.Default

	// Dialer replaces the network's dialer, for tests.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

// Client is the chunks of a remote node: a chunk.Store, chunk.SmallPutter and chunk.Verifier. Units travel through the node's
// data port, the rest, and all while the data port misbehaves, through gRPC. Safe for concurrent use.
//
// Calls to an unreachable node are Unavailable at once, or within three seconds of the first attempt to connect. A node that does
// not answer blocks a call until its context ends.
type Client struct {
	*chunks.Client
	address string
	config  DialConfig
	keys    *keys
	peer    rpc.Peer
	pool    pool
	puts    putQueue

	wrongUntil atomic.Int64 // Unix nanoseconds until which the data port is not used, because it misbehaved
	told       atomic.Bool  // that was logged
}

var (
	_ chunk.Store       = (*Client)(nil)
	_ chunk.SmallPutter = (*Client)(nil)
	_ chunk.Verifier    = (*Client)(nil)
)

// retryWrong is how long a data port that misbehaved is not used.
const retryWrong = time.Minute

// Dial creates a client of the node at address (host:port). It connects when it is used. The caller must Close it.
func Dial(address string, c DialConfig) *Client {
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Dialer == nil {
		var d net.Dialer
		c.Dialer = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	client := &Client{Client: c.GRPC, address: address, config: c, keys: newKeys(c.JoinToken), peer: chunks.PeerOf(address)}
	client.pool.client, client.pool.dialing = client, make(chan struct{}, maxDialing)
	client.puts.client, client.puts.patience = client, cancelLimit
	return client
}

// Close closes the connections. Calls in progress fail with Canceled or Unavailable.
func (c *Client) Close() error {
	c.pool.close()
	c.puts.close()
	return c.Client.Close()
}

// usable reports whether the data port is used.
func (c *Client) usable() bool {
	until := c.wrongUntil.Load()
	return until == 0 || time.Now().UnixNano() >= until
}

// fellBack reports whether err is misbehaviour of the data port, so that the call is made over gRPC instead.
func (c *Client) fellBack(err error) bool {
	wrong, ok := errors.AsType[misbehaviour](err)
	if !ok {
		return false
	}
	c.wrongUntil.Store(time.Now().Add(retryWrong).UnixNano())
	if !c.told.Swap(true) {
		c.config.Log.Warn("the data port of a node misbehaves; its units travel over gRPC", "address", c.address, "node", c.config.Node, "cause", wrong,
			"next", "check that the node has the version of the gateway; --data-plane grpc turns the data port off")
	}
	return true
}

// refused reports whether the node did not accept a proof. Over gRPC a wrong token is refused as well; the proof may only be too
// old, because the node's clock was set.
func refused(err error) bool { return errors.Is(err, store.Denied) }

// wrong translates an error of a connection.
func (c *Client) wrong(ctx context.Context, err error) error {
	if ended := rpc.EndOf(ctx, 0); ended != nil {
		return ended
	}
	if _, ok := errors.AsType[*store.Error](err); ok {
		return err
	}
	return c.unreachable("cannot be reached: " + err.Error())
}

func (c *Client) unreachable(why string) error {
	return &store.Error{Kind: store.Unavailable, Msg: c.peer.What + " " + c.address + " " + why, Hint: c.peer.Hint}
}

// PutSmall implements chunk.SmallPutter.
func (c *Client) PutSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	if !c.usable() {
		return c.Client.PutSmall(ctx, spec, u, label)
	}
	err := spec.Validate()
	if err == nil {
		err = spec.CheckUnit(u, 0)
	}
	if err != nil {
		u.Release()
		return chunk.Info{}, err
	}
	return c.puts.put(ctx, spec, u, label)
}

// Create implements chunk.WriterOpener. It makes no request: that is sent with the first unit.
func (c *Client) Create(ctx context.Context, spec chunk.Spec) (chunk.Writer, error) {
	if !c.usable() {
		return c.Client.Create(ctx, spec)
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	return &writer{client: c, ctx: ctx, spec: spec}, nil
}

// Open implements chunk.ReaderOpener.
func (c *Client) Open(ctx context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	if !c.usable() || first < 0 {
		return c.Client.Open(ctx, id, first, count)
	}
	r := &reader{client: c, ctx: ctx, id: id, first: first, count: count}
	if err := r.begin(); err != nil {
		if r.fallBack(err) {
			return r, nil
		}
		return nil, err
	}
	return r, nil
}

const (
	dialTimeout  = 3 * time.Second
	greetTimeout = 5 * time.Second
	firstPause   = 100 * time.Millisecond // after a failed attempt to connect
	longestPause = 5 * time.Second
	maxIdle      = 16 // connections without a request that a client keeps
	maxOpen      = 96 // connections of a client, so that two gateways on one host stay within what a node accepts from an address; further requests take gRPC
	maxDialing   = 8  // connections that are being opened at once: a node closes the oldest of more than 16 that are not proven
)

// errCrowded is the error of a request for which there is no connection left.
var errCrowded = errors.New("too many connections to the data port")

// pool has the connections to the data port that gets and streams use.
type pool struct {
	client  *Client
	dialing chan struct{} // one for each connection that is being opened

	mu     sync.Mutex // guards what follows
	idle   []*clientConn
	open   int
	closed bool
	pause  time.Duration // after the last attempt to connect, if it failed
	until  time.Time     // of the pause
	failed error         // of that attempt
}

// take returns a connection that is idle, or a new one.
func (p *pool) take(ctx context.Context) (*clientConn, error) {
	if c, err := p.takeIdle(); c != nil || err != nil {
		return c, err
	}
	select {
	case p.dialing <- struct{}{}:
		defer func() { <-p.dialing }()
	case <-ctx.Done():
		return nil, p.client.wrong(ctx, ctx.Err())
	}
	if c, err := p.takeIdle(); c != nil || err != nil { // meanwhile
		return c, err
	}
	return p.connect(ctx)
}

// takeIdle returns a connection that is idle, nil where a new one may be opened, and the error where it may not.
func (p *pool) takeIdle() (*clientConn, error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		switch {
		case p.closed:
			p.mu.Unlock()
			return nil, errClosedClient
		case n == 0:
			defer p.mu.Unlock()
			if p.open >= maxOpen {
				return nil, errCrowded
			}
			if p.failed != nil && time.Now().Before(p.until) {
				return nil, p.failed
			}
			return nil, nil
		}
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.alive() {
			return c, nil
		}
		c.discard()
	}
}

// connect opens a connection.
func (p *pool) connect(ctx context.Context) (*clientConn, error) {
	c, err := p.client.connect(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.pause, p.failed = 0, nil
		p.open++
		c.pool = p
		return c, nil
	}
	if _, wrong := errors.AsType[misbehaviour](err); !wrong && ctx.Err() == nil {
		p.pause = min(max(2*p.pause, firstPause), longestPause)
		p.until, p.failed = time.Now().Add(p.pause), err
	}
	return nil, err
}

// put returns a connection whose request has ended well.
func (p *pool) put(c *clientConn) {
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.discard()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.discard()
	}
}
