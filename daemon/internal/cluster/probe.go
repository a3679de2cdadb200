package cluster

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

// probeLimit bounds one probe.
const probeLimit = 2 * time.Second

// maxProbePause bounds the pause between two probes, in units of Config.Probe.
const maxProbePause = 16

// pace is the probing rate of a node. It is remembered for a while after the node was
// reached, so that a node that answers probes but fails calls is not used again four times a
// second.
type pace struct {
	next  time.Duration // the next pause
	since time.Time     // when the node was reached
}

// probeSuspects runs a probing goroutine for each suspect until ctx ends.
func (f *Fleet) probeSuspects(ctx context.Context) {
	var probing sync.WaitGroup
	defer probing.Wait()
	type end struct {
		id    store.NodeID
		pause time.Duration
	}
	ended := make(chan end)
	running := map[store.NodeID]bool{}
	paces := map[store.NodeID]pace{}
	for {
		view, changed := f.Watch()
		for _, m := range view.Members {
			if m.Status != Suspect || running[m.ID] {
				continue
			}
			running[m.ID] = true
			first := f.firstPause(paces[m.ID])
			probing.Go(func() {
				pause := f.probeUntilReached(ctx, m.ID, first)
				select {
				case ended <- end{m.ID, pause}:
				case <-ctx.Done():
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case e := <-ended:
			delete(running, e.id)
			paces[e.id] = pace{next: e.pause, since: time.Now()}
		}
	}
}

func (f *Fleet) firstPause(p pace) time.Duration {
	if forget := 4 * maxProbePause * f.cfg.Probe; time.Since(p.since) > forget {
		return f.cfg.Probe
	}
	return p.next
}

// probeUntilReached queries the node's capacity, each time after a longer pause, until the
// node is no longer Suspect, and returns the next pause.
func (f *Fleet) probeUntilReached(ctx context.Context, id store.NodeID, pause time.Duration) time.Duration {
	for {
		ended := wait.For(ctx, pause+rand.N(pause/4+1)) // jitter, since many gateways see the same failure
		pause = min(2*pause, maxProbePause*f.cfg.Probe)
		if ended != nil {
			return pause
		}
		if m, ok := f.View().Member(id); !ok || m.Status != Suspect {
			return pause
		}
		if f.probe(ctx, id) == nil {
			f.Report(id, nil)
			return pause
		}
	}
}

func (f *Fleet) probe(ctx context.Context, id store.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	chunks, err := f.Chunks(id)
	if err != nil {
		return err
	}
	_, err = chunks.Capacity(ctx)
	return err
}
