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

// The limits of a server. docs/security.md lists them with the answers that they give.
const (
	maxControl = 64 << 10                       // bytes of a request without chunk data
	maxFrame   = store.MaxUnitSize + maxControl // bytes of one that carries a unit
	maxHeaders = 8 << 10                        // bytes of a call's metadata

	maxConnections        = 2048
	maxConnectionsEach    = 256 // of one client address
	maxStrangers          = 64  // connections without an authenticated call
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

// waits are the deadlines of calls.
type waits struct {
	open    time.Duration // for the whole of a call that needs no token
	control time.Duration // for a request without chunk data to arrive
	unit    time.Duration // for one with a unit
	idle    time.Duration // between two frames of a stream; an upload may wait for its client
}

func defaultWaits() waits {
	return waits{open: 30 * time.Second, control: 10 * time.Second, unit: time.Minute, idle: 10 * time.Minute}
}

// storageLimits fit a node that serves some gateways, each with hundreds of transfers.
func storageLimits() *limits {
	return &limits{
		strangers: openQuota(),
		arriving:  quota{total: 1024, each: 512},
		writes:    quota{total: 1024, each: 512},
		calls:     quota{total: 4096, each: 2048},
		waits:     defaultWaits(),
	}
}

// membershipLimits fit a gateway with some thousand nodes, each of which makes
// one call at a time. Many nodes may share an address.
func membershipLimits() *limits {
	return &limits{
		strangers: openQuota(),
		arriving:  quota{total: 256, each: 64},
		calls:     quota{total: 2048, each: 512},
		waits:     defaultWaits(),
	}
}

// openQuota leaves this host's own health checks out of the total, so that strangers cannot take their place.
func openQuota() quota {
	return quota{total: maxOpenCalls, each: maxOpenCallsEach, free: netip.Addr.IsLoopback}
}

// storageSizes bound what one connection of a gateway can take of a node.
func storageSizes() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxFrame),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.InitialWindowSize(Window),
		grpc.WriteBufferSize(writeBuffer),
	}
}

// membershipSizes bound what one connection of a node can take of a gateway.
func membershipSizes() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxControl),
		grpc.MaxConcurrentStreams(maxMembershipStreams),
		grpc.InitialWindowSize(membershipWindow),
		grpc.WriteBufferSize(membershipBuffer),
	}
}

// connectionLimits bound the connections of a server. buffer is what a member's connection reads through.
func connectionLimits(c ServerConfig, buffer int) connlimit.Config {
	return connlimit.Config{
		Total: maxConnections, PerAddress: maxConnectionsEach,
		Unproven: maxStrangers, UnprovenPerAddress: maxStrangersEach, ReadBuffer: buffer, Log: c.Log,
	}
}

// boundedRequest lets the codec refuse a message by its size, before it is decoded.
type boundedRequest struct {
	message any
	size    int // of a message that was refused
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
		return withCode(codes.InvalidArgument, store.Errorf(store.Invalid, "the request has %d bytes, where %d are the limit", b.size, maxControl).
			WithHint("Send a smaller request; names and ids are short."))
	}
	return nil
}

// controlHandler is the form that grpc.MethodDesc wants of a handler.
type controlHandler = func(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error)

// boundControl makes a handler refuse a request that is larger than maxControl.
func boundControl(handle controlHandler) controlHandler {
	return func(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error) {
		return handle(srv, ctx, func(m any) error { return receiveControl(decode, m) }, edge)
	}
}
