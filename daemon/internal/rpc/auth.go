package rpc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Metadata keys that calls carry.
const (
	authorizationKey = "authorization"
	nodeKey          = "ringstore-node" // id of the node that the caller expects to reach
)

// minJoinToken is the least length of a join token in bytes. Shorter ones can be guessed.
const minJoinToken = 16

// CheckJoinToken refuses a token that can be guessed: Invalid.
func CheckJoinToken(token string) error {
	if len(token) < minJoinToken {
		return store.Errorf(store.Invalid, "the join token has %d bytes; at least %d are required", len(token), minJoinToken).
			WithHint("Make one with: openssl rand -hex 32")
	}
	return nil
}

// Purpose separates the tokens that are derived from one join token, so that no token is
// valid for another service, and the join token itself is never sent.
type Purpose string

// The purposes of the two services, and that of the keys of the data port.
const (
	DataPlane  Purpose = "ringstore data plane v1"
	Membership Purpose = "ringstore membership v1"
	DataPort   Purpose = "ringstore data port v1"
)

// Token derives the token that calls carry; "" without a join token.
func (p Purpose) Token(joinToken string) string {
	if joinToken == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(joinToken))
	mac.Write([]byte(p))
	return hex.EncodeToString(mac.Sum(nil))
}

// callCredentials adds the token and the expected node to each call. It implements
// credentials.PerRPCCredentials.
type callCredentials map[string]string

func newCallCredentials(token string, node store.NodeID) callCredentials {
	c := callCredentials{}
	if token != "" {
		c[authorizationKey] = "Bearer " + token
	}
	if !node.IsZero() {
		c[nodeKey] = node.String()
	}
	return c
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c callCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return c, nil
}

// RequireTransportSecurity is false: without TLS the token keeps other clients out, except
// those that can read the network traffic.
func (c callCredentials) RequireTransportSecurity() bool { return false }

// gate decides which calls a server admits, before any byte of a request is read or decoded.
type gate struct {
	token    string       // "" admits all
	node     store.NodeID // zero: any
	throttle *access.Throttle
	limits   *Limits
	writes   map[string]Write
}

// openServices need no token: health, and reflection of the interface, which is public.
var openServices = []string{"/grpc.health.v1.Health/", "/grpc.reflection."}

// enter is the server's tap.ServerInHandle. It runs on the connection's reading goroutine and
// must not block.
func (g *gate) enter(ctx context.Context, info *tap.Info) (context.Context, error) {
	remote := remoteOf(ctx)
	client := connlimit.ClientOf(remote)
	c, err := g.admit(ctx, info, remote, client)
	if err == nil {
		return c, nil
	}
	return refuse(ctx, client, ToStatus(err))
}

func remoteOf(ctx context.Context) net.Addr {
	if p, ok := grpcpeer.FromContext(ctx); ok {
		return p.Addr
	}
	return nil
}

// admit returns the call's context with its shares of the limits.
func (g *gate) admit(ctx context.Context, info *tap.Info, remote net.Addr, client netip.Addr) (*call, error) {
	for _, prefix := range openServices {
		if strings.HasPrefix(info.FullMethodName, prefix) {
			c := newCall(ctx, client, g.limits.Open)
			c.whole = true
			err := c.within(nil, &g.limits.strangers)
			if err != nil && !connlimit.Proven(remote) {
				connlimit.Drop(remote) // unauthenticated, with more calls than health checks need
			}
			return c, err
		}
	}
	if err := g.authenticate(info.Header, remote, client); err != nil {
		return nil, err
	}
	if err := g.meant(info.Header); err != nil {
		return nil, err
	}
	switch g.writes[info.FullMethodName] {
	case StreamedWrite:
		c := newCall(ctx, client, g.limits.Idle)
		c.idle = g.limits.Idle
		return c, c.within(nil, &g.limits.Writes)
	case UnitWrite:
		c := newCall(ctx, client, g.limits.Unit)
		return c, c.within(&g.limits.Arriving, &g.limits.Writes)
	default:
		c := newCall(ctx, client, g.limits.Control)
		c.idle = g.limits.Idle
		return c, c.within(&g.limits.Arriving, &g.limits.Calls)
	}
}

// authenticate refuses a call without the token. A client that fails too often loses its
// connection with each further attempt. Calls with the right token are never delayed.
func (g *gate) authenticate(header metadata.MD, remote net.Addr, client netip.Addr) error {
	if g.token == "" {
		connlimit.Prove(remote)
		return nil
	}
	sent := strings.TrimPrefix(first(header.Get(authorizationKey)), "Bearer ")
	if hmac.Equal([]byte(sent), []byte(g.token)) {
		connlimit.Prove(remote)
		g.throttle.Succeeded(client)
		return nil
	}
	_, allowed := g.throttle.Allow(client)
	g.throttle.Failed(client, "join token")
	if !allowed {
		connlimit.Drop(remote)
	}
	return WithCode(codes.Unauthenticated, store.Errorf(store.Denied, "the call has no token of this cluster or a wrong one").
		WithHint("Configure the same join token at all gateways and nodes of the cluster."))
}

// meant refuses a call that is addressed to another node.
func (g *gate) meant(header metadata.MD) error {
	meant := first(header.Get(nodeKey))
	if g.node.IsZero() || meant == "" || meant == g.node.String() {
		return nil
	}
	return store.Errorf(store.Unavailable, "this is node %s, not node %s", g.node, meant).
		WithHint("Check whether two nodes have the same address.")
}

// refuse answers a call that was not admitted.
//
// gRPC frees the timer of a call's deadline when the call ends, but not when a tap refuses
// it: that timer remains until the deadline, and any client can send millions of calls with
// deadlines in a thousand years. So a call with a distant deadline is admitted without any
// resources and ended right after.
func refuse(ctx context.Context, client netip.Addr, err error) (context.Context, error) {
	deadline, limited := ctx.Deadline()
	if !limited || time.Until(deadline) < longestRefusedTimeout {
		return nil, err
	}
	c := newCall(ctx, client, refusedCallLimit)
	c.refused = err
	return c, nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
