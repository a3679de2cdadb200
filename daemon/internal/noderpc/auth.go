package noderpc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Metadata keys that calls carry.
const (
	authorizationKey = "authorization"
	nodeKey          = "ringstore-node" // id of the node that the caller means to reach
)

// purpose separates the tokens that are made from one join token, so that none
// is good for another service, and the join token itself is never sent.
type purpose string

const (
	dataPlane  purpose = "ringstore data plane v1"
	membership purpose = "ringstore membership v1"
)

// token derives what calls carry; "" when there is no join token.
func (p purpose) token(joinToken string) string {
	if joinToken == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(joinToken))
	mac.Write([]byte(p))
	return hex.EncodeToString(mac.Sum(nil))
}

// callCredentials puts the token and the wanted node into each call. It is a
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

// GetRequestMetadata gives the same to every call.
func (c callCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return c, nil
}

// RequireTransportSecurity is false: without TLS the token keeps strangers out,
// though not those who can listen on the wire.
func (c callCredentials) RequireTransportSecurity() bool { return false }

// gate decides which calls a server takes.
type gate struct {
	token string       // "" takes all
	node  store.NodeID // zero: calls for any
}

// openServices are for everybody: whether the server is alive, and what its
// interface is, which is public anyway.
var openServices = []string{"/grpc.health.v1.Health/", "/grpc.reflection."}

// check refuses a call without the token, or one that means another node.
func (g gate) check(ctx context.Context, method string) error {
	for _, prefix := range openServices {
		if strings.HasPrefix(method, prefix) {
			return nil
		}
	}
	if g.token != "" {
		sent := strings.TrimPrefix(first(metadata.ValueFromIncomingContext(ctx, authorizationKey)), "Bearer ")
		if !hmac.Equal([]byte(sent), []byte(g.token)) {
			return withCode(codes.Unauthenticated, store.Errorf(store.Denied, "the call has no token of this cluster, or a wrong one").
				WithHint("Give all gateways and nodes of the cluster the same join token."))
		}
	}
	meant := first(metadata.ValueFromIncomingContext(ctx, nodeKey))
	if g.node.IsZero() || meant == "" || meant == g.node.String() {
		return nil
	}
	return store.Errorf(store.Unavailable, "node %s answers here, not node %s", g.node, meant).
		WithHint("Look whether two nodes were given the same address.")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
