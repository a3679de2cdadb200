package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Pulse beats for storage nodes in this process. Nodes elsewhere beat for
// themselves, through a gateway.
type Pulse struct {
	Meta  store.Nodes
	Nodes map[store.NodeID]store.Chunks // not changed while the pulse runs
	Every time.Duration                 // heartbeat; default 10 s
	Log   *slog.Logger                  // default: slog.Default()
}

// Run beats at once and then in every interval until ctx ends, and returns nil then.
// A node that cannot tell its capacity (its disk does not answer) misses that
// beat, and three of these make it inactive. Failures are logged when they begin
// and when they end; the next beat is the retry.
func (p Pulse) Run(ctx context.Context) error {
	if p.Every == 0 {
		p.Every = 10 * time.Second
	}
	if p.Log == nil {
		p.Log = slog.Default()
	}
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	failing := false
	for {
		err := p.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			p.Log.Warn("a heartbeat failed", "error", err)
		case err == nil && failing:
			p.Log.Info("heartbeats are written down again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// beat writes down one beat for each node that is well. The first error is
// returned after the others have beaten.
func (p Pulse) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.Every)
	defer cancel()
	beats, failed := p.feel(ctx)
	if len(beats) == 0 {
		return failed
	}
	unknown, err := p.Meta.BeatNodes(ctx, beats)
	if err != nil {
		return err
	}
	if failed == nil && len(unknown) > 0 {
		failed = store.Errorf(store.Denied, "node %s is not a member of the cluster any more", unknown[0])
	}
	return failed
}

// feel asks all nodes at once for their capacity. One that does not answer
// within half an interval does not hold up the beats of the others.
func (p Pulse) feel(ctx context.Context) (beats []store.Beat, failed error) {
	ctx, cancel := context.WithTimeout(ctx, p.Every/2)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex // guards beats and failed
	for id, chunks := range p.Nodes {
		all.Go(func() {
			capacity, err := chunks.Capacity(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				beats = append(beats, store.Beat{Node: id, Capacity: capacity})
			case failed == nil:
				failed = &store.Error{Op: "cluster.Beat", Kind: store.KindOf(err), Item: "node " + id.String(), Err: err}
			}
		})
	}
	all.Wait()
	return beats, failed
}
