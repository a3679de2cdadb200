package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

// Progress is the state of a loop and what it has done since the process started.
type Progress struct {
	Loop     string
	State    State
	Steps    int64         // that succeeded
	Items    int64         // units of work finished
	Bytes    int64         // data written or removed, where the loop counts it
	Failures int64         // steps that failed
	Cost     time.Duration // moving average of the duration of busy steps
	LastStep time.Time     // when the last one ended, with or without an error; zero before the first
	Error    string        // of the last step, if it failed
}

// worker runs one loop, step after step.
type worker struct {
	loop   Loop
	pace   Pace
	log    *slog.Logger
	kicked kicks

	mu       sync.Mutex // guards progress
	progress Progress
}

func newWorker(l Loop, log *slog.Logger) *worker {
	return &worker{loop: l, pace: l.Pace(), log: log.With("loop", l.Name()), kicked: newKicks(), progress: Progress{Loop: l.Name()}}
}

// kicks buffers one kick.
type kicks chan struct{}

func newKicks() kicks { return make(kicks, 1) }

func (k kicks) kick() {
	select {
	case k <- struct{}{}:
	default:
	}
}

// take removes the kick, and reports whether there was one.
func (k kicks) take() bool {
	select {
	case <-k:
		return true
	default:
		return false
	}
}

// wait waits, and returns early on a kick, which it takes, or when ctx ends.
func (k kicks) wait(ctx context.Context, d time.Duration) (kicked bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-k:
		return true
	}
	return false
}

func (w *worker) snapshot() Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress
}

// work runs steps until ctx ends or the loop is done.
func (w *worker) work(ctx context.Context, term uint64) {
	defer w.setState(Standby)
	failures := 0
	for ctx.Err() == nil {
		w.setState(Busy)
		w.kicked.take() // the step that starts now sees the work that the kick announced
		begin := time.Now()
		out, err := w.step(ctx, term)
		if ctx.Err() != nil {
			return // the error is a consequence of the stop
		}
		w.note(out, err, time.Since(begin))
		switch {
		case err != nil:
			if failures++; failures == 1 {
				w.log.Warn("upkeep failed and will be retried", "error", err)
			}
			w.setState(Failing)
			_ = wait.For(ctx, jitter(retryAfter(failures)))
		case out.State == Busy:
			failures = 0
			w.rest(ctx)
		case out.State == Done:
			<-ctx.Done()
			return
		default:
			failures = 0
			w.setState(Idle)
			w.kicked.wait(ctx, w.pace.Every)
		}
	}
}

// step runs one step. A panic becomes its error: a defect in background work must not stop the
// gateway, which would recur as long as the same task is due.
func (w *worker) step(ctx context.Context, term uint64) (out Outcome, err error) {
	defer caught(w.log, &err)
	return w.loop.Step(ctx, term)
}

// caught turns a panic into an error. It is deferred.
func caught(log *slog.Logger, err *error) {
	if p := recover(); p != nil {
		*err = store.Errorf(store.Internal, "panic: %v", p)
		log.Error("upkeep panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

func (w *worker) setState(s State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.progress.State != Done {
		w.progress.State = s
	}
}

func (w *worker) note(out Outcome, err error, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.progress
	p.LastStep = time.Now()
	p.Items += out.Items
	p.Bytes += out.Bytes
	if err != nil {
		p.Failures++
		p.Error = err.Error()
		return
	}
	p.Steps++
	p.Error = ""
	if out.State == Busy {
		p.Cost = smooth(p.Cost, took)
	}
	if out.State == Done {
		p.State = Done
	}
}

// smooth is a moving average over about five steps.
func smooth(average, next time.Duration) time.Duration {
	if average == 0 {
		return next
	}
	return average + (next-average)/5
}

// rest is the pause after a busy step.
func (w *worker) rest(ctx context.Context) {
	if d := time.Duration(w.pace.Throttle * float64(w.snapshot().Cost)); d > 0 {
		w.setState(Throttled)
		_ = wait.For(ctx, d)
	}
}

// maxRetry bounds the pause between steps that fail.
const maxRetry = time.Minute

func retryAfter(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 10), maxRetry)
}
