package upkeep

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

const (
	// wakeEvery is the least pause between two wake-ups that a runner stores: more of them are one.
	wakeEvery = 250 * time.Millisecond
	// listenEvery is how often the leader reads the wake-ups.
	listenEvery = time.Second
	// wakeLimit bounds such a call.
	wakeLimit = 5 * time.Second
)

// waker stores the wake-ups of a runner on standby, many at once. Safe for concurrent use.
type waker struct {
	meta   store.Loops
	signal kicks

	mu      sync.Mutex // guards pending
	pending map[string]bool
}

func newWaker(meta store.Loops) *waker {
	return &waker{meta: meta, signal: newKicks(), pending: map[string]bool{}}
}

// wake adds a wake-up to those that are stored next.
func (w *waker) wake(names ...string) {
	w.mu.Lock()
	for _, n := range names {
		w.pending[n] = true
	}
	w.mu.Unlock()
	w.signal.kick()
}

func (w *waker) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Sorted(maps.Keys(w.pending))
	clear(w.pending)
	return names
}

// run stores wake-ups until ctx ends. While the store does not answer it keeps them.
func (w *waker) run(ctx context.Context) {
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-w.signal:
		}
		names := w.take()
		if len(names) == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, wakeLimit)
		err := w.meta.WakeLoops(limited, names)
		cancel()
		if err == nil {
			failures = 0
			_ = wait.For(ctx, wakeEvery)
			continue
		}
		failures++
		_ = wait.For(ctx, jitter(retryAfter(failures)))
		w.wake(names...)
	}
}

// listen wakes what other gateways want to be woken, until ctx ends. What was counted before it began is woken once.
func (r *Runner) listen(ctx context.Context) {
	heard := map[string]uint64{}
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, wakeLimit)
		counts, err := r.cfg.Meta.Wakeups(limited)
		cancel()
		if err == nil {
			for name, n := range counts {
				if n != heard[name] {
					r.kickHere(name)
				}
			}
			heard = counts
		}
		_ = wait.For(ctx, listenEvery)
	}
}

// report stores the state of the loops until ctx ends: soon after the start, and then as often as the lease is renewed.
func (r *Runner) report(ctx context.Context, term uint64) {
	for next := min(time.Second, r.cfg.TTL/3); wait.For(ctx, next) == nil; next = jitter(r.cfg.TTL / 3) {
		limited, cancel := context.WithTimeout(ctx, r.cfg.TTL)
		// A report that is lost is replaced by the next one. Where a later leader has reported, the lease ends soon.
		_ = r.cfg.Meta.SaveLoops(limited, r.loopReport(term))
		cancel()
	}
}

func (r *Runner) loopReport(term uint64) store.LoopReport {
	report := store.LoopReport{Owner: r.cfg.Owner, Term: term}
	for _, w := range r.workers {
		p := w.snapshot()
		idle := time.Duration(-1)
		if !p.LastStep.IsZero() {
			idle = time.Since(p.LastStep)
		}
		report.Loops = append(report.Loops, store.LoopProgress{
			Name: p.Loop, State: p.State.String(), Steps: p.Steps, Items: p.Items, Bytes: p.Bytes, Failures: p.Failures,
			Cost: p.Cost, Idle: idle, Error: p.Error,
		})
	}
	return report
}
