package rpc

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// CheckHealth queries the standard health service of the server at address. It needs no
// token. creds may be nil for plain TCP. Errors: Unavailable (it cannot be reached, or
// reports that it does not serve), Canceled.
func CheckHealth(ctx context.Context, address string, creds credentials.TransportCredentials) error {
	conn, err := Connect(address, ConnectConfig{Credentials: creds})
	if err != nil {
		return err
	}
	defer conn.Close()
	p := Peer{"server", address, "Check that it runs there."}
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return p.Error(ctx, err)
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return store.Errorf(store.Unavailable, "server %s reports that it does not serve: %s", address, resp.GetStatus())
	}
	return nil
}
