package mem

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// gateway is a stored gateway, with the time of its last beat.
type gateway struct {
	store.Gateway
	beat time.Time
}

// BeatGateway implements store.Gateways.
func (m *Metadata) BeatGateway(ctx context.Context, name, version string) error {
	if err := store.ValidGateway(name, version); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		now := d.now()
		maps.DeleteFunc(d.gateways, func(_ string, g gateway) bool { return now.Sub(g.beat) > store.GatewayKept })
		g, known := d.gateways[name]
		if !known {
			g.StartedAt = now
		}
		g.Name, g.Version, g.SchemaMin, g.SchemaMax, g.beat = name, version, 1, 1, now
		d.gateways[name] = g
		return nil
	})
}

// ListGateways implements store.Gateways.
func (m *Metadata) ListGateways(ctx context.Context) (all []store.Gateway, err error) {
	err = m.do(ctx, func(d *data) error {
		for _, name := range slices.Sorted(maps.Keys(d.gateways)) {
			g := d.gateways[name]
			g.Silence = max(0, d.now().Sub(g.beat))
			all = append(all, g.Gateway)
		}
		return nil
	})
	return all, err
}

// RemoveGateway implements store.Gateways.
func (m *Metadata) RemoveGateway(ctx context.Context, name string) error {
	return m.do(ctx, func(d *data) error { delete(d.gateways, name); return nil })
}
