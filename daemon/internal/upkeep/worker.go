package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Progress is the state of a job and what it has done since the process started.
type Progress struct {
	Job      string
	State    State
	Steps    int64         // that succeeded
	Items    int64         // units of work finished
	Bytes    int64         // data written or removed, where the job counts it
	Failures int64         // steps that failed
	Cost     time.Duration // moving average of the duration of busy steps
	LastStep time.Time     // when the last one ended, with or without an error; zero before the first
	Error    string        // of the last step, if it failed
}

// worker runs one job, step after step.
type worker struct {
	job    Job
	pace   Pace
	log    *slog.Logger
	kicked chan struct{} // buffers one kick

	mu       sync.Mutex // guards progress
	progress Progress
}

func newWorker(j Job, log *slog.Logger) *worker {
	return &worker{job: j, pace: j.Pace(), log: log.With("job", j.Name()), kicked: make(chan struct{}, 1), progress: Progress{Job: j.Name()}}
}

func (w *worker) kick() {
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}

func (w *worker) clearKick() {
	select {
	case <-w.kicked:
	default:
	}
}

func (w *worker) snapshot() Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress
}

// work runs steps until ctx ends or the job is done.
func (w *worker) work(ctx context.Context, term uint64) {
	defer w.setState(Standby)
	failures := 0
	for ctx.Err() == nil {
		w.setState(Busy)
		w.clearKick() // the step that starts now sees the work that the kick announced
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
			pause(ctx, jitter(retryAfter(failures)))
		case out.State == Busy:
			failures = 0
			w.rest(ctx)
		case out.State == Done:
			<-ctx.Done()
			return
		default:
			failures = 0
			w.setState(Idle)
			w.wait(ctx)
		}
	}
}

// step runs one step. A panic becomes its error: a defect in a background job must not stop the
// gateway, which would recur as long as the same task is due.
func (w *worker) step(ctx context.Context, term uint64) (out Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = store.Errorf(store.Internal, "panic: %v", p)
			w.log.Error("upkeep panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	return w.job.Step(ctx, term)
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
		pause(ctx, d)
	}
}

// wait waits for Pace.Every or a kick.
func (w *worker) wait(ctx context.Context) {
	timer := time.NewTimer(w.pace.Every)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.kicked:
	case <-timer.C:
	}
}

// maxRetry bounds the pause between steps that fail.
const maxRetry = time.Minute

func retryAfter(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 10), maxRetry)
}
