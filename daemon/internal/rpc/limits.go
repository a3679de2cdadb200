package rpc

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

// MaxControl is the most bytes of a request without chunk data.
const MaxControl = 64 << 10

// The limits that all servers have. docs/security.md lists them with the errors that they cause.
const (
	maxHeaders            = 8 << 10 // bytes of a call's metadata
	maxConnections        = 2048
	maxConnectionsEach    = 256 // of one client address
	maxStrangers          = 64  // connections without a successfully authenticated call
	maxStrangersEach      = 16
	maxOpenCalls          = 16 // of the services that need no token
	maxOpenCallsEach      = 4
	handshakeLimit        = 5 * time.Second // from a connection to the end of its HTTP/2 preface
	longestRefusedTimeout = time.Minute     // deadlines beyond it are ended by the gate; see refuse
	refusedCallLimit      = 50 * time.Millisecond
)

// Limits are the quotas and time limits of one server.
type Limits struct {
	Arriving Quota // calls whose request has not arrived
	Writes   Quota // calls that carry units here
	Calls    Quota // all other authenticated calls
	Waits

	strangers Quota // calls of the services that need no token
}

// Waits are the time limits of calls.
type Waits struct {
	Open    time.Duration // for the whole of a call that needs no token
	Control time.Duration // for a request without chunk data to arrive
	Unit    time.Duration // for a request with a unit to arrive
	Idle    time.Duration // between two frames of a stream; an upload may wait for its client
}

// DefaultWaits suit every service.
func DefaultWaits() Waits {
	return Waits{Open: 30 * time.Second, Control: 10 * time.Second, Unit: time.Minute, Idle: 10 * time.Minute}
}

// openQuota does not count health checks of this host, so that unauthenticated clients cannot
// displace them.
func openQuota() Quota {
	return Quota{Total: maxOpenCalls, Each: maxOpenCallsEach, free: netip.Addr.IsLoopback}
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
	if data.Len() <= MaxControl {
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
		return WithCode(codes.InvalidArgument, store.Errorf(store.Invalid, "the request has %d bytes; the limit is %d", b.size, MaxControl).
			WithHint("Send a smaller request; names and ids are short."))
	}
	return nil
}

// controlHandler is the type of a handler in grpc.MethodDesc.
type controlHandler = func(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error)

// BoundControl makes a handler refuse requests larger than MaxControl.
func BoundControl(handle controlHandler) controlHandler {
	return func(srv any, ctx context.Context, decode func(any) error, edge grpc.UnaryServerInterceptor) (any, error) {
		return handle(srv, ctx, func(m any) error { return receiveControl(decode, m) }, edge)
	}
}
