package noderpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// See docs/adr/0036 for reasons and measurements.
const (
	// Window is how many received bytes of a stream may be buffered. It bounds the memory
	// of a slow reader; gRPC's default grows to 16 MiB per stream.
	Window = 512 << 10
	// connWindow is the same for all streams of a connection together. gRPC replenishes
	// it as bytes arrive, so that streams do not block one another.
	connWindow = 16 << 20
	readBuffer = 256 << 10

	// writeBuffer is the size of one write call. With gRPC's default of 32 KiB the network
	// stack takes a tenth more CPU per byte in both daemons together.
	writeBuffer = 128 << 10
	maxMessage  = 4 << 20 // bytes of an answer

	// The membership server moves small messages over many connections.
	membershipWindow = 64 << 10 // gRPC's minimum: one request
	membershipBuffer = 8 << 10  // bytes per connection and direction

	connectTimeout   = 3 * time.Second
	firstReconnect   = 100 * time.Millisecond
	slowestReconnect = 5 * time.Second
	pingAfter        = 20 * time.Second // of silence
	pingTimeout      = 5 * time.Second
	leastPingGap     = 10 * time.Second // pings that come faster end the connection
)

func dialOptions(b *bufpool.Pool, creds credentials.TransportCredentials, calls callCredentials) []grpc.DialOption {
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUnaryInterceptor(unarySender),
		grpc.WithStreamInterceptor(streamSender),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec(b)), grpc.MaxCallRecvMsgSize(maxMessage)),
		experimental.WithBufferPool(b),
		grpc.WithReadBufferSize(readBuffer),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithInitialWindowSize(Window),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstReconnect, Multiplier: 1.6, Jitter: 0.2, MaxDelay: slowestReconnect},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithIdleTimeout(0), // no reconnect after idle time
		grpc.WithNoProxy(),      // nodes are in the same network
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // callers decide what may be repeated
	}
	if len(calls) > 0 {
		opts = append(opts, grpc.WithPerRPCCredentials(calls))
	}
	return opts
}

func serverOptions(c ServerConfig, g *gate) []grpc.ServerOption {
	creds := c.Credentials
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	return []grpc.ServerOption{
		grpc.Creds(creds),
		grpc.ForceServerCodecV2(newCodec(c.Buffers)),
		experimental.BufferPool(c.Buffers),
		grpc.ReadBufferSize(0), // see connlimit.Config.ReadBuffer
		grpc.InitialConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPingGap, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.InTapHandle(g.enter),
		grpc.UnaryInterceptor(unaryEdge(c.Log)),
		grpc.StreamInterceptor(streamEdge(c.Log)),
	}
}

// unaryEdge is the interceptor of every admitted unary call, after its request has arrived:
// it translates errors and recovers from panics.
func unaryEdge(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
		ctx = receiveRequest(ctx)
		defer func() { err = ended(ctx, recover(), info.FullMethod, err, log) }()
		c := callOf(ctx)
		c.arrived()
		if c.refused != nil {
			return nil, c.refused
		}
		return handle(ctx, req)
	}
}

// streamEdge is the same for streams, whose requests arrive later.
func streamEdge(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
		ctx := receiveRequest(stream.Context())
		defer func() { err = ended(ctx, recover(), info.FullMethod, err, log) }()
		c := callOf(ctx)
		if c.refused != nil {
			return c.refused
		}
		err = handle(srv, &timedStream{ServerStream: stream, ctx: ctx, call: c, idle: c.idle})
		if limit := c.reached(); err != nil && limit != nil {
			return limit
		}
		return err
	}
}

// ended logs a failure and translates its error for the wire.
func ended(ctx context.Context, panicked any, method string, err error, log *slog.Logger) error {
	if panicked != nil {
		return toStatus(survive(ctx, panicked, method, log))
	}
	logFailure(ctx, log, method, err)
	return toStatus(err)
}

// survive converts a panic into an error of this call. A panic is a defect, so the stack is logged.
func survive(ctx context.Context, panicked any, method string, log *slog.Logger) error {
	log.ErrorContext(ctx, "a call panicked", "method", method, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return store.Errorf(store.Internal, "%s panicked", method).WithHint("This is a defect; the server's log has the details.")
}
