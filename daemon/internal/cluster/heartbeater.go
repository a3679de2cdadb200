package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Heartbeater sends the heartbeats of storage nodes in this process. Other nodes send their
// own, through a gateway.
type Heartbeater struct {
	Meta  store.Nodes
	Nodes map[store.NodeID]chunk.Store // must not change while Run runs
	Every time.Duration                // interval; default 10 s
	Log   *slog.Logger                 // default: slog.Default()
}

// Run sends heartbeats at once and then in every interval until ctx ends, and returns nil
// then. A node whose capacity cannot be determined (its disk does not respond) misses that
// beat; MissedBeats of them make it inactive. Failures are logged when they begin and when
// they end; the next interval is the retry.
func (h Heartbeater) Run(ctx context.Context) error {
	if h.Every == 0 {
		h.Every = 10 * time.Second
	}
	if h.Log == nil {
		h.Log = slog.Default()
	}
	tick := time.NewTicker(h.Every)
	defer tick.Stop()
	failing := false
	for {
		err := h.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			h.Log.Warn("a heartbeat failed", "error", err)
		case err == nil && failing:
			h.Log.Info("heartbeats are stored again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// beat stores one beat for each node that responds. The first error is returned after the
// beats of the other nodes were stored.
func (h Heartbeater) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.Every)
	defer cancel()
	beats, failed := h.probe(ctx)
	if len(beats) == 0 {
		return failed
	}
	unknown, err := h.Meta.BeatNodes(ctx, beats)
	if err != nil {
		return err
	}
	if failed == nil && len(unknown) > 0 {
		failed = store.Errorf(store.Denied, "node %s is no longer a member of the cluster", unknown[0])
	}
	return failed
}

// probe queries the capacity of all nodes concurrently. A node that does not respond within
// half an interval does not delay the beats of the others.
func (h Heartbeater) probe(ctx context.Context) (beats []store.Beat, failed error) {
	ctx, cancel := context.WithTimeout(ctx, h.Every/2)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex // guards beats and failed
	for id, chunks := range h.Nodes {
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
