package noderpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// hardStop is how long handlers may take to end once their streams were cut.
const hardStop = 5 * time.Second

// Server is a gRPC server with one service of ours, health and reflection.
// Its methods may be called from many goroutines.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	limits connlimit.Config
	onStop func()
}

// newServer makes a server; register adds the service, which health reports by name too.
func newServer(limits connlimit.Config, opts []grpc.ServerOption, service string, register func(*grpc.Server), onStop func()) *Server {
	s := &Server{grpc: grpc.NewServer(opts...), health: health.NewServer(), limits: limits, onStop: onStop}
	register(s.grpc)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	return s
}

// Serve takes calls from the listener until Shutdown, and then returns nil. It
// closes the listener. It may run on several listeners at once, and each has the
// limits of connections for itself.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(connlimit.New(l, s.limits)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return store.Errorf(store.Unavailable, "serving on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown reports the server as not serving, takes no new calls, and waits for
// those under way until ctx ends; then it cuts their streams and gives handlers
// a few seconds more. It returns nil when all handlers have ended by themselves,
// Canceled when they were cut, and Internal when some still run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.Shutdown()
	if s.onStop != nil {
		s.onStop()
	}
	graceful := make(chan struct{})
	go func() { defer close(graceful); s.grpc.GracefulStop() }()
	select {
	case <-graceful:
		return nil
	case <-ctx.Done():
	}
	cut := make(chan struct{})
	go func() { defer close(cut); s.grpc.Stop() }()
	limit := time.NewTimer(hardStop)
	defer limit.Stop()
	select {
	case <-cut:
		<-graceful
		return store.Errorf(store.Canceled, "calls that were under way have been cut off: %w", context.Cause(ctx))
	case <-limit.C:
		return store.Errorf(store.Internal, "calls are still running %s after their streams were cut", hardStop)
	}
}

// ServerConfig is what both kinds of server need.
type ServerConfig struct {
	JoinToken   string                           // of the cluster; "" takes all calls
	Credentials credentials.TransportCredentials // nil: plain TCP
	Buffers     *Buffers                         // nil: its own
	Throttle    *access.Throttle                 // counts calls with a wrong token; nil: its own
	Log         *slog.Logger                     // nil: slog.Default
}

func (c *ServerConfig) setDefaults() {
	if c.Buffers == nil {
		c.Buffers = NewBuffers()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Throttle == nil {
		c.Throttle = access.NewThrottle(access.ThrottleConfig{Log: c.Log})
	}
}

// gate makes the gate of a server whose calls need the token of a purpose.
func (c *ServerConfig) gate(p purpose, l *limits) *gate {
	return &gate{token: p.token(c.JoinToken), throttle: c.Throttle, limits: l}
}
