package store

import (
	"context"
	"time"
)

// Gateway is a gateway process that works with the metadata store.
type Gateway struct {
	Name      string        // unique to the process: the Lease.Owner of its leases
	Version   string        // of the program
	SchemaMin int64         // oldest version of the database's schema that the program works with; set by the store, like all that follows
	SchemaMax int64         // newest
	StartedAt time.Time     // microseconds, UTC, store's clock: its first beat
	Silence   time.Duration // since its last beat, by the store's clock
}

// A gateway that is silent for GatewaySilence counts as stopped, and for GatewayKept is removed.
const (
	GatewaySilence = time.Minute
	GatewayKept    = 24 * time.Hour
)

// Gateways keeps which gateways run and which schemas they know, so that a migration that removes what they use waits for them.
type Gateways interface {
	// BeatGateway adds the gateway of that name or renews it, and removes those that were silent for GatewayKept. Invalid.
	BeatGateway(ctx context.Context, name, version string) error
	// ListGateways returns all by name, those that count as stopped included.
	ListGateways(ctx context.Context) ([]Gateway, error)
	// RemoveGateway removes a gateway. One that does not exist is no error.
	RemoveGateway(ctx context.Context, name string) error
}

// ValidGateway reports a name or a version that is not valid, as Invalid.
func ValidGateway(name, version string) error {
	if name == "" || len(name)+len(version) > MaxReason || !cleanText(name) || !cleanText(version) {
		return Errorf(Invalid, "the gateway has no name, or name or version is too long or not valid UTF-8")
	}
	return nil
}
