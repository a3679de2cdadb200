package data

import (
	"bufio"
	"context"
	"crypto/rand"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// serverConn is a connection to a server. One goroutine reads from it.
type serverConn struct {
	server *Server
	conn   *connlimit.Conn // counted
	raw    net.Conn        // the same without a second buffer
	in     *bufio.Reader
	nonce  [nonceSize]byte
	out    outbox

	batch      []received     // puts that were read and are to be stored together
	batchBytes int            // of their units
	background sync.WaitGroup // puts that are stored while further requests are read

	mu       sync.Mutex                    // guards what follows
	idle     bool                          // it waits for a request
	stopping bool                          // it takes no further request
	cancels  map[uint32]context.CancelFunc // of the puts that are stored in the background
}

// maxPuts bounds the puts that are stored together.
const maxPuts = 64

func newServerConn(s *Server, conn *connlimit.Conn) *serverConn {
	c := &serverConn{server: s, conn: conn, raw: conn.Conn, cancels: map[uint32]context.CancelFunc{}}
	c.in = bufio.NewReaderSize(c.raw, readBuffer)
	c.out.conn, c.out.file = c.raw, fileSender(c.raw)
	return c
}

// serve answers requests until the connection ends.
func (c *serverConn) serve() error {
	if err := c.greet(); err != nil {
		return err
	}
	var b [headSize]byte
	for c.waitForHead() {
		if _, err := io.ReadFull(c.in, b[:]); err != nil {
			return err
		}
		h := parseHead(b[:])
		if err := c.admit(&h, b[:]); err != nil {
			c.refuse(&h, err)
			return nil
		}
		if err := c.handle(&h); err != nil {
			return err
		}
	}
	return nil
}

// greet sends the random number that proofs on this connection must contain, and the node's time.
func (c *serverConn) greet() error {
	if _, err := rand.Read(c.nonce[:]); err != nil {
		return err
	}
	b := append([]byte(Magic), c.nonce[:]...)
	b = le.AppendUint64(b, uint64(c.server.config.Now().Unix()))
	if err := c.raw.SetDeadline(time.Now().Add(c.server.waits.first)); err != nil {
		return err
	}
	_, err := c.raw.Write(b)
	return err
}

// waitForHead waits for the first byte of a request, without a limit once the peer is proven. False: the connection is to end.
func (c *serverConn) waitForHead() bool {
	if !c.beginIdle() {
		return false
	}
	_, err := c.in.Peek(1)
	if !c.endIdle() || err != nil {
		return false
	}
	return c.in.Buffered() >= headSize || c.within(c.server.waits.head) == nil
}

// within limits the time of what is read next.
func (c *serverConn) within(d time.Duration) error { return c.raw.SetReadDeadline(time.Now().Add(d)) }

func (c *serverConn) beginIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return false
	}
	c.idle = true
	return !connlimit.Proven(c.conn.RemoteAddr()) || c.raw.SetReadDeadline(time.Time{}) == nil
}

func (c *serverConn) endIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = false
	return !c.stopping
}

// stopWhenIdle ends the connection as soon as it has no request in progress.
func (c *serverConn) stopWhenIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if c.idle {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// end waits for the puts in progress: until they are done if the server is stopping, otherwise they are cancelled, because the
// client is gone.
func (c *serverConn) end() {
	c.mu.Lock()
	if !c.stopping {
		for _, cancel := range c.cancels {
			cancel()
		}
	}
	c.mu.Unlock()
	c.background.Wait()
	for _, r := range c.takeBatch() { // the connection broke before they could be stored
		r.cancel()
		r.put.Unit.Release()
		<-c.server.slots
	}
}

// admit refuses a request before anything that follows its head is read.
func (c *serverConn) admit(h *head, b []byte) error {
	s, remote := c.server, c.conn.RemoteAddr()
	client := connlimit.ClientOf(remote)
	if !s.keys.proven(b, c.nonce[:], h.time, s.config.Now()) {
		s.config.Throttle.Failed(client, "join token")
		return rpc.WithCode(codes.Unauthenticated, store.Errorf(store.Denied, "the request has no proof of this cluster, or a wrong or old one").
			WithHint("Configure the same join token at all gateways and nodes of the cluster."))
	}
	if !connlimit.Proven(remote) {
		connlimit.Prove(remote)
		s.config.Throttle.Succeeded(client)
		if err := c.raw.SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
	}
	if !s.config.Node.IsZero() && !h.node.IsZero() && h.node != s.config.Node {
		return store.Errorf(store.Unavailable, "this is node %s, not node %s", s.config.Node, h.node).
			WithHint("Check whether two nodes have the same address.")
	}
	return h.check()
}

// handle serves one request. An error ends the connection.
func (c *serverConn) handle(h *head) (err error) {
	ctx := c.server.ctx
	if h.request != "" {
		ctx = telemetry.WithRequest(ctx, h.request)
	}
	switch h.op {
	case opPut:
		return c.put(ctx, h)
	case opStream:
		return c.stream(ctx, h)
	case opCancel:
		c.cancelPut(h.number)
		return c.settle()
	default:
		return c.get(ctx, h)
	}
}

// refuse answers a request that is not served to its end, and ends the connection: what is still to come is not understood.
func (c *serverConn) refuse(h *head, err error) {
	if c.fail(h.number, err) == nil {
		c.linger()
	}
}

// fail answers a request with an error.
func (c *serverConn) fail(number uint32, err error) error {
	return c.out.write(c.server.waits.idle, appendFailure(number, err), nil)
}

// lingerFor and lingerBytes bound how much a connection still takes after an error, so that the answer arrives: a connection that is
// closed with unread bytes is reset, and the other end loses what it has not read yet.
const (
	lingerFor   = time.Second
	lingerBytes = 8 << 20
)

func (c *serverConn) linger() {
	if c.conn.CloseWrite() == nil && c.within(lingerFor) == nil {
		_, _ = io.CopyN(io.Discard, c.in, lingerBytes)
	}
}

// stored answers a put or stream. sent is the label as it came.
func (c *serverConn) stored(number uint32, info chunk.Info, sent chunk.Label) []byte {
	var label []byte
	if info.Label != sent { // the chunk was there before, with another label
		label = encodeLabel(info.Label)
	}
	a := answer{kind: answerStored, number: number, length: uint32(storedSize + len(label))}
	return appendStored(a.append(make([]byte, 0, answerSize+storedSize+len(label))), info, label)
}
