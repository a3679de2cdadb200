package rpc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// HardStop is how long handlers may take to end after their streams were closed.
const HardStop = 5 * time.Second

// streamWorkers is the number of goroutines that are kept to handle calls; further calls get goroutines of their own. A kept
// goroutine has grown its stack already, which a new one does several times in each call.
const streamWorkers = 16

// Server is a gRPC server with one service, health and reflection. Safe for
// concurrent use.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	limits connlimit.Config
	onStop func()
	beside Port // nil: none
}

// Port is another protocol on the listener of a Server.
type Port interface {
	Magic() string           // with which its connections begin; no longer than the preface of HTTP/2, 24 bytes
	Serve(c *connlimit.Conn) // serves a connection whose magic was read, and closes it
	// Shutdown ends its connections, those with a request in progress when ctx ends. Errors as those of Server.Shutdown.
	Shutdown(ctx context.Context) error
}

// Service describes the service of a server.
type Service struct {
	Name     string             // by which its health is reported
	Register func(*grpc.Server) // adds the service
	OnStop   func()             // called when Shutdown begins; nil: nothing

	Beside  Port             // another protocol on the same listener; nil: none
	Purpose Purpose          // of the tokens that its calls carry
	Node    store.NodeID     // calls addressed to another node are refused; zero: none are
	Writes  map[string]Write // full names of the methods that carry units
	Codec   encoding.CodecV2 // nil: Protobuf

	Limits      *Limits // of its calls
	MaxRequest  int     // bytes
	MaxStreams  uint32  // calls in progress on one connection
	Window      int32   // received bytes of a stream that may be buffered
	WriteBuffer int     // bytes of one write call
	ReadBuffer  int     // bytes of one read call, once the connection is authenticated
}

// Write says how a call carries units.
type Write uint8

// How calls carry units.
const (
	StreamedWrite Write = iota + 1 // many messages, which arrive as the client has them
	UnitWrite                      // one message
)

// NewServer creates a server of one service, with health and reflection beside it.
func NewServer(c ServerConfig, service Service) *Server {
	c = c.WithDefaults()
	s := &Server{grpc: grpc.NewServer(service.options(c)...), health: health.NewServer(), limits: connectionLimits(c, service.ReadBuffer), onStop: service.OnStop, beside: service.Beside}
	service.Register(s.grpc)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.health.SetServingStatus(service.Name, grpc_health_v1.HealthCheckResponse_SERVING)
	return s
}

func (s Service) options(c ServerConfig) []grpc.ServerOption {
	if s.Codec == nil {
		s.Codec = Protobuf()
	}
	s.Limits.strangers = openQuota()
	g := &gate{token: s.Purpose.Token(c.JoinToken), node: s.Node, throttle: c.Throttle, limits: s.Limits, writes: s.Writes}
	return []grpc.ServerOption{
		grpc.Creds(c.Credentials),
		grpc.ForceServerCodecV2(boundedCodec{s.Codec}),
		experimental.BufferPool(c.Buffers),
		grpc.ReadBufferSize(0), // see connlimit.Config.ReadBuffer
		grpc.WriteBufferSize(s.WriteBuffer),
		grpc.MaxRecvMsgSize(s.MaxRequest),
		grpc.MaxConcurrentStreams(s.MaxStreams),
		grpc.InitialWindowSize(s.Window),
		grpc.InitialConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPingGap, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.InTapHandle(g.enter),
		grpc.UnaryInterceptor(unaryEdge(c.Log)),
		grpc.StreamInterceptor(streamEdge(c.Log)),
	}
}

// Serve accepts calls from the listener until Shutdown, and then returns nil. It closes the
// listener. It may run on several listeners at once; the limits of connections apply to each
// of them.
func (s *Server) Serve(l net.Listener) error {
	l = connlimit.New(l, s.limits)
	if s.beside != nil {
		l = split(l.(*connlimit.Listener), s.beside)
	}
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return store.Errorf(store.Unavailable, "serving on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown reports the server as not serving, accepts no new calls, and waits for those in
// progress until ctx ends; then it closes their streams and waits HardStop for the handlers.
// It returns nil when all calls have finished, Canceled when some were interrupted, and
// Internal when some handlers still run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.Shutdown()
	if s.onStop != nil {
		s.onStop()
	}
	if s.beside == nil {
		return s.shutdown(ctx)
	}
	beside := make(chan error, 1)
	go func() { beside <- s.beside.Shutdown(ctx) }()
	return cmp.Or(s.shutdown(ctx), <-beside)
}

// shutdown ends gRPC.
func (s *Server) shutdown(ctx context.Context) error {
	graceful := make(chan struct{})
	go func() { defer close(graceful); s.grpc.GracefulStop() }()
	select {
	case <-graceful:
		return nil
	case <-ctx.Done():
	}
	cut := make(chan struct{})
	go func() { defer close(cut); s.grpc.Stop() }()
	limit := time.NewTimer(HardStop)
	defer limit.Stop()
	select {
	case <-cut:
		<-graceful
		return store.Errorf(store.Canceled, "calls in progress were interrupted: %w", context.Cause(ctx))
	case <-limit.C:
		return store.Errorf(store.Internal, "calls are still running %s after their streams were closed", HardStop)
	}
}

// ServerConfig is what every server is configured with.
type ServerConfig struct {
	JoinToken   string                           // of the cluster; "" accepts all calls
	Credentials credentials.TransportCredentials // nil: plain TCP
	Buffers     *bufpool.Pool                    // nil: its own
	Throttle    *access.Throttle                 // counts calls with a wrong token; nil: its own
	Log         *slog.Logger                     // nil: slog.Default
}

// WithDefaults fills in what is not set.
func (c ServerConfig) WithDefaults() ServerConfig {
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Credentials == nil {
		c.Credentials = insecure.NewCredentials()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Throttle == nil {
		c.Throttle = access.NewThrottle(access.ThrottleConfig{Log: c.Log})
	}
	return c
}
