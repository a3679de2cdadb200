package data

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ServerConfig configures the data port of a node.
type ServerConfig struct {
	Chunks    chunk.Store      // served; the caller closes it after Shutdown
	Node      store.NodeID     // requests meant for another node are refused; zero: none are
	JoinToken string           // of the cluster; "" accepts all requests
	Buffers   *bufpool.Pool    // nil: its own
	Throttle  *access.Throttle // counts requests with a wrong proof; nil: its own
	Log       *slog.Logger     // nil: slog.Default
	Now       func() time.Time // nil: time.Now
}

// waits are the time limits of a server; those of requests are the same as over gRPC.
type waits struct {
	first time.Duration // from a connection to its first request
	head  time.Duration // for the rest of a head, and for a label
	unit  time.Duration // for a unit to arrive, once its first byte has, and for an answer to be taken
	idle  time.Duration // between two units of a stream
}

func defaultWaits() waits {
	w := rpc.DefaultWaits()
	return waits{first: 5 * time.Second, head: w.Control, unit: w.Unit, idle: w.Idle}
}

// readBuffer is the size of a connection's read buffer in bytes: a few small puts fit in one read call.
const readBuffer = 32 << 10

// maxPutsTotal bounds the puts in progress at a node, and with them its memory for units.
const maxPutsTotal = 1024

// Server answers the requests of connections that are passed to it. Safe for concurrent use.
type Server struct {
	config ServerConfig
	keys   *keys
	waits  waits

	ctx   context.Context //nolint:containedctx // of all requests; ends when they are interrupted
	stop  context.CancelFunc
	slots chan struct{} // one for each put in progress

	mu    sync.Mutex // guards what follows
	conns map[*serverConn]struct{}
	ended bool          // no connection may begin a request any more
	gone  chan struct{} // closed when ended and conns is empty
}

// NewServer creates the data port of a node.
func NewServer(c ServerConfig) *Server { return newServer(c, defaultWaits()) }

func newServer(c ServerConfig, w waits) *Server {
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Throttle == nil {
		c.Throttle = access.NewThrottle(access.ThrottleConfig{Log: c.Log})
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{config: c, keys: newKeys(c.JoinToken), waits: w, conns: map[*serverConn]struct{}{}, gone: make(chan struct{}), slots: make(chan struct{}, maxPutsTotal)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Magic implements rpc.Port.
func (s *Server) Magic() string { return Magic }

// Serve implements rpc.Port: it answers the requests of a connection whose magic was read, and closes it.
func (s *Server) Serve(conn *connlimit.Conn) {
	c := newServerConn(s, conn)
	if !s.add(c) {
		_ = conn.Close()
		return
	}
	defer s.remove(c) // after it is closed, so that no client takes it for one that serves
	defer conn.Close()
	if err := c.serve(); err != nil && !isOver(err) {
		s.config.Log.Debug("a connection to the data port ended", "client", conn.RemoteAddr(), "error", err)
	}
	c.end()
}

// isOver reports whether the other end closed the connection, or was too slow.
func isOver(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

func (s *Server) add(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.ended && len(s.conns) == 0 {
		close(s.gone)
	}
}

// Shutdown implements rpc.Port: it ends connections without a request, and waits for the others until ctx ends, then it interrupts
// them and waits up to rpc.HardStop for their requests to end. Canceled when some were interrupted, Internal when some still run. It
// is called once.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.stop()
	s.each(func(c *serverConn) { c.stopWhenIdle() })
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
	}
	s.stop()
	s.each(func(c *serverConn) { _ = c.conn.Close() })
	limit := time.NewTimer(rpc.HardStop)
	defer limit.Stop()
	select {
	case <-s.gone:
		return store.Errorf(store.Canceled, "requests to the data port were interrupted: %w", context.Cause(ctx))
	case <-limit.C:
		return store.Errorf(store.Internal, "requests to the data port are still running %s after their connections were closed", rpc.HardStop)
	}
}

// each ends the server for further connections, and calls do for each open one.
func (s *Server) each(do func(*serverConn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && len(s.conns) == 0 {
		close(s.gone)
	}
	s.ended = true
	for c := range s.conns {
		do(c)
	}
}
