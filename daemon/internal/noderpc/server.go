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
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// hardStop is how long handlers may take to end after their streams were closed.
const hardStop = 5 * time.Second

// Server is a gRPC server with one service of this package, health and reflection. Safe for
// concurrent use.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	limits connlimit.Config
	onStop func()
}

// newServer creates a server. register adds the service, whose health is reported by name, too.
func newServer(limits connlimit.Config, opts []grpc.ServerOption, service string, register func(*grpc.Server), onStop func()) *Server {
	s := &Server{grpc: grpc.NewServer(opts...), health: health.NewServer(), limits: limits, onStop: onStop}
	register(s.grpc)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	return s
}

// Serve accepts calls from the listener until Shutdown, and then returns nil. It closes the
// listener. It may run on several listeners at once; the limits of connections apply to each
// of them.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(connlimit.New(l, s.limits)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return store.Errorf(store.Unavailable, "serving on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown reports the server as not serving, accepts no new calls, and waits for those in
// progress until ctx ends; then it closes their streams and waits hardStop for the handlers.
// It returns nil when all calls have finished, Canceled when some were interrupted, and
// Internal when some handlers still run.
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
		return store.Errorf(store.Canceled, "calls in progress were interrupted: %w", context.Cause(ctx))
	case <-limit.C:
		return store.Errorf(store.Internal, "calls are still running %s after their streams were closed", hardStop)
	}
}

// ServerConfig configures both kinds of server.
type ServerConfig struct {
	JoinToken   string                           // of the cluster; "" accepts all calls
	Credentials credentials.TransportCredentials // nil: plain TCP
	Buffers     *bufpool.Pool                    // nil: its own
	Throttle    *access.Throttle                 // counts calls with a wrong token; nil: its own
	Log         *slog.Logger                     // nil: slog.Default
}

func (c *ServerConfig) setDefaults() {
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Throttle == nil {
		c.Throttle = access.NewThrottle(access.ThrottleConfig{Log: c.Log})
	}
}

// gate returns the gate of a server whose calls need the token of a purpose.
func (c *ServerConfig) gate(p purpose, l *limits) *gate {
	return &gate{token: p.token(c.JoinToken), throttle: c.Throttle, limits: l}
}
