package noderpc

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The limits of a server. docs/security.md lists them with the errors that they cause.
const (
	maxControl = 64 << 10                       // bytes of a request without chunk data
	maxFrame   = store.MaxUnitSize + maxControl // bytes of a request with a unit
	maxHeaders = 8 << 10                        // bytes of a call's metadata

	maxConnections        = 2048
	maxConnectionsEach    = 256 // of one client address
	maxStrangers          = 64  // connections without a successfully authenticated call
	maxStrangersEach      = 16
	maxStreams            = 1024 // calls in progress on one connection
	maxMembershipStreams  = 64
	maxOpenCalls          = 16 // of the services that need no token
	maxOpenCallsEach      = 4
	handshakeLimit        = 5 * time.Second // from a connection to the end of its HTTP/2 preface
	longestRefusedTimeout = time.Minute     // deadlines beyond it are ended by the gate; see refuse
	refusedCallLimit      = 50 * time.Millisecond
)

// limits are the quotas of one server.
type limits struct {
	strangers quota // calls of the services that need no token
	arriving  quota // calls whose request has not arrived
	writes    quota // calls that carry units here
	calls     quota // all other authenticated calls
	waits
}

// waits are the time limits of calls.
type waits struct {
	open    time.Duration // for the whole of a call that needs no token
	control time.Duration // for a request without chunk data to arrive
	unit    time.Duration // for a request with a unit to arrive
	idle    time.Duration // between two frames of a stream; an upload may wait for its client
}

func defaultWaits() waits {
	return waits{open: 30 * time.Second, control: 10 * time.Second, unit: time.Minute, idle: 10 * time.Minute}
}

// storageLimits suit a node that serves a few gateways, each with hundreds of transfers.
func storageLimits() *limits {
	return &limits{
		strangers: openQuota(),
		arriving:  quota{total: 1024, each: 512},
		writes:    quota{total: 1024, each: 512},
		calls:     quota{total: 4096, each: 2048},
		waits:     defaultWaits(),
	}
}

// membershipLimits suit a gateway with a few thousand nodes, each of which makes one call
// at a time. Many nodes may share an address.
func membershipLimits() *limits {
	return &limits{
		strangers: openQuota(),
		arriving:  quota{total: 256, each: 64},
		calls:     quota{total: 2048, each: 512},
		waits:     defaultWaits(),
	}
}

// openQuota does not count health checks of this host, so that unauthenticated clients cannot
// displace them.
func openQuota() quota {
	return quota{total: maxOpenCalls, each: maxOpenCallsEach, free: netip.Addr.IsLoopback}
}

// storageSizes bound the memory that one connection of a gateway can use on a node.
func storageSizes() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxFrame),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.InitialWindowSize(Window),
		grpc.WriteBufferSize(writeBuffer),
	}
}

// membershipSizes bound the memory that one connection of a node can use on a gateway.
func membershipSizes() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxControl),
		grpc.MaxConcurrentStreams(maxMembershipStreams),
		grpc.InitialWindowSize(membershipWindow),
		grpc.WriteBufferSize(membershipBuffer),
	}
}

// connectionLimits bound the connections of a server. buffer is the size of the read buffer of
// an authenticated connection, in bytes.
func connectionLimits(c ServerConfig, buffer int) connlimit.Config {
	return connlimit.Config{
		Total: maxConnections, PerAddress: maxConnectionsEach,
		Unproven: maxStrangers, UnprovenPerAddress: maxStrangersEach, ReadBuffer: buffer, Log: c.Log,
	}
}

// boundedRequest makes the codec refuse a message by its size, before decoding.
type boundedRequest struct {
	message any
	size    int // bytes of a refused message
}

// accept reports whether the message may be decoded.
func (b *boundedRequest) accept(data mem.BufferSlice) bool {
	if data.Len() <= maxControl {
		return true
	}
	b.size = data.Len()
	return false
}

// receiveControl receives a request without chunk data into m. Invalid when it is too large.
func receiveControl(receive func(any) error, m any) error {
	b := &boundedRequest{message: m}
	if err := receive(b); err != nil {
		return err
	}
	if b.size > 0 {
		return withCode(codes.InvalidArgument, store.Errorf(store.Invalid, "the request has %d bytes; the limit is %d", b.size, maxControl).
			WithHint("Send a smaller request; names and ids are short."))
	}
	return nil
}

// controlHandler is the type of a handler in grpc.MethodDesc.
type controlHandler = func(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error)

// boundControl makes a handler refuse requests larger than maxControl.
func boundControl(handle controlHandler) controlHandler {
	return func(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error) {
		return handle(srv, ctx, func(m any) error { return receiveControl(decode, m) }, edge)
	}
}
