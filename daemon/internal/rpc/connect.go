package rpc

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
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
	// ReadBuffer is the size of one read call, in bytes.
	ReadBuffer = 256 << 10
	// WriteBuffer is the size of one write call, in bytes. With gRPC's default of 32 KiB the network
	// stack takes a tenth more CPU per byte in both daemons together.
	WriteBuffer = 128 << 10
	maxMessage  = 4 << 20 // bytes of an answer

	connectTimeout   = 3 * time.Second
	firstReconnect   = 100 * time.Millisecond
	slowestReconnect = 5 * time.Second
	pingAfter        = 20 * time.Second // of silence
	pingTimeout      = 5 * time.Second
	leastPingGap     = 10 * time.Second // pings that come faster end the connection
)

// ConnectConfig configures a connection to a server.
type ConnectConfig struct {
	Purpose     Purpose                          // of the service that is called
	JoinToken   string                           // of the cluster; "" sends none
	Node        store.NodeID                     // the expected node: a call that reaches another one is Unavailable; zero: any
	Credentials credentials.TransportCredentials // nil: plain TCP
	Buffers     *bufpool.Pool                    // nil: its own
	Codec       encoding.CodecV2                 // nil: Protobuf

	// Dialer replaces the network's dialer, for tests.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

// Connect creates a connection to the server at address (host:port), which is opened on first use or by its Connect. It fails
// only for an unusable address or configuration (Invalid). The caller must close it.
//
// Calls to an unreachable server fail at once, or within three seconds during the first attempt to connect; connecting is
// retried in the background. The name is resolved at each attempt, so that a server that
// moved to another address under the same name is found at once.
func Connect(address string, c ConnectConfig) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, c.options()...)
	if err != nil {
		return nil, store.Errorf(store.Invalid, "address %q: %w", address, err)
	}
	return conn, nil
}

// CheckAddress refuses an address that is not host:port: Invalid. what is the other end, for the message.
func CheckAddress(what, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return store.Errorf(store.Invalid, "%s address %q is not host:port", what, address)
	}
	return nil
}

func (c ConnectConfig) options() []grpc.DialOption {
	if c.Credentials == nil {
		c.Credentials = insecure.NewCredentials()
	}
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Codec == nil {
		c.Codec = Protobuf()
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(c.Credentials),
		grpc.WithUnaryInterceptor(unarySender),
		grpc.WithStreamInterceptor(streamSender),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(c.Codec), grpc.MaxCallRecvMsgSize(maxMessage)),
		experimental.WithBufferPool(c.Buffers),
		grpc.WithReadBufferSize(ReadBuffer),
		grpc.WithWriteBufferSize(WriteBuffer),
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
	if calls := newCallCredentials(c.Purpose.Token(c.JoinToken), c.Node); len(calls) > 0 {
		opts = append(opts, grpc.WithPerRPCCredentials(calls))
	}
	if c.Dialer != nil {
		opts = append(opts, grpc.WithContextDialer(c.Dialer))
	}
	return opts
}
