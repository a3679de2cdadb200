package gateway

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
)

const (
	beatEvery   = 10 * time.Second
	removeLimit = 2 * time.Second
)

// announce is the service that keeps this gateway in the list of gateways, and removes it at the end.
func announce(p Parts) lifecycle.Service {
	beat := func(ctx context.Context) error { return p.Meta.BeatGateway(ctx, p.Name, Version()) }
	run := func(ctx context.Context) error {
		failing := false
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
				defer cancel()
				if err := p.Meta.RemoveGateway(ctx, p.Name); err != nil {
					p.Log.Warn("this gateway stays in the list of gateways until it counts as stopped", "gateway", p.Name, "error", err)
				}
				return nil
			case <-tick.C:
			}
			limited, cancel := context.WithTimeout(ctx, beatEvery)
			err := beat(limited)
			cancel()
			if err != nil && !failing && ctx.Err() == nil {
				p.Log.Warn("the metadata store does not list this gateway as running", "gateway", p.Name, "error", err)
			}
			failing = err != nil
		}
	}
	return lifecycle.Service{Name: "list of gateways", Start: beat, Run: run}
}
