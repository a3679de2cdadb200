package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

// LeaseName is the lease that the leader holds.
const LeaseName = "upkeep"

// Meta is what a Runner needs of the metadata store.
type Meta interface {
	store.Leases
	store.Loops
	store.Jobs
	// TakeOver ends the claims of earlier terms; see store.Queues.
	TakeOver(ctx context.Context, term uint64) error
}

// Config is what a Runner is made of.
type Config struct {
	Meta  Meta
	Owner string        // unique to this process: host, and a random part
	Loops []Loop        // each name once
	Jobs  []Job         // each kind once
	TTL   time.Duration // of the lease; a leader that dies is replaced after this time; default 15 s
	Log   *slog.Logger  // default: slog.Default()
}

// Runner runs loops and jobs while it holds the lease, and wakes the leader while it does not. Safe for concurrent use.
type Runner struct {
	cfg     Config
	workers []*worker
	jobs    []*jobWorker
	waker   *waker

	mu   sync.Mutex // guards the fields below; nothing is called while it is held
	run  context.CancelFunc
	over chan struct{} // closed when the run has ended
	term uint64        // of the lease, 0 on standby
}

// NewRunner makes a runner on standby.
func NewRunner(c Config) *Runner {
	if c.TTL == 0 {
		c.TTL = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	r := &Runner{cfg: c, waker: newWaker(c.Meta)}
	for _, l := range c.Loops {
		r.workers = append(r.workers, newWorker(l, c.Log))
	}
	r.jobs = newJobWorkers(c)
	return r
}

// Start starts to request the lease and returns at once. On a runner that is already
// running it does nothing.
func (r *Runner) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	r.run, r.over = cancel, over
	go func() {
		defer close(over)
		var both sync.WaitGroup
		both.Go(func() { r.waker.run(ctx) })
		both.Go(func() { r.campaign(ctx) })
		both.Wait()
	}()
}

// Stop ends the work, releases the lease, and returns when both are
// done. It may be called more than once, and on a runner that was not started.
func (r *Runner) Stop() {
	r.mu.Lock()
	cancel, over := r.run, r.over
	r.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-over
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == over {
		r.run, r.over = nil, nil
	}
}

// Run calls Start, and Stop when ctx ends; it returns nil.
func (r *Runner) Run(ctx context.Context) error {
	r.Start()
	<-ctx.Done()
	r.Stop()
	return nil
}

// Kick wakes the loop of that name because there is work for it, wherever the leader is: on standby the wake-up is stored, and
// the leader reads it within about a second. It never blocks. A runner that is stopped before it has stored a wake-up drops it; then
// the leader finds the work when its loop looks next.
func (r *Runner) Kick(name string) {
	if !r.knows(name) {
		return
	}
	if r.leads() {
		r.kickHere(name)
		return
	}
	r.waker.wake(name)
}

// knows reports whether there is a loop of that name, or jobs are meant.
func (r *Runner) knows(name string) bool {
	return name == store.JobsLoop || slices.ContainsFunc(r.workers, func(w *worker) bool { return w.loop.Name() == name })
}

func (r *Runner) leads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.term != 0
}

// kickHere wakes what this runner runs under that name.
func (r *Runner) kickHere(name string) {
	for _, w := range r.workers {
		if w.loop.Name() == name {
			w.kicked.kick()
		}
	}
	if name == store.JobsLoop {
		for _, w := range r.jobs {
			w.kicked.kick()
		}
	}
}

// Status is the state of a runner and its loops. That of the leader, and all jobs, are in the metadata store.
type Status struct {
	Leading bool
	Owner   string
	Term    uint64     // of the lease, while leading
	Loops   []Progress // in the order of Config.Loops
}

// Status returns the current state of the runner.
func (r *Runner) Status() Status {
	r.mu.Lock()
	s := Status{Leading: r.term != 0, Owner: r.cfg.Owner, Term: r.term}
	r.mu.Unlock()
	for _, w := range r.workers {
		s.Loops = append(s.Loops, w.snapshot())
	}
	return s
}

// campaign requests the lease until ctx ends, and leads whenever it has it.
func (r *Runner) campaign(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		asked := time.Now()
		lease, err := r.acquire(ctx)
		switch {
		case err == nil:
			failing = false
			r.lead(ctx, lease, asked)
		case store.KindOf(err) != store.Conflict && !failing && ctx.Err() == nil:
			failing = true
			r.cfg.Log.Warn("the upkeep lease cannot be requested", "error", err)
		}
		_ = wait.For(ctx, jitter(r.cfg.TTL/3))
	}
}

func (r *Runner) acquire(ctx context.Context) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TTL)
	defer cancel()
	return r.cfg.Meta.AcquireLease(ctx, LeaseName, r.cfg.Owner, r.cfg.TTL)
}

// lead runs the loops and jobs until the lease is lost or ctx ends. The lease was requested at the time asked.
func (r *Runner) lead(ctx context.Context, lease store.Lease, asked time.Time) {
	r.setTerm(lease.Term)
	r.cfg.Log.Info("this gateway runs the upkeep now", "term", lease.Term)
	working, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, w := range r.workers {
		all.Go(func() {
			if r.takeOver(working, lease.Term) {
				w.work(working, lease.Term)
			}
		})
	}
	for _, w := range r.jobs {
		all.Go(func() { w.work(working, lease.Term) })
	}
	all.Go(func() { r.listen(working) })
	all.Go(func() { r.report(working, lease.Term) })
	lost := r.hold(ctx, lease, asked)
	stop()
	all.Wait()
	r.setTerm(0)
	if lost != nil {
		r.cfg.Log.Warn("the upkeep lease was lost; another gateway takes over", "term", lease.Term, "error", lost)
		return
	}
	r.release(context.WithoutCancel(ctx), lease)
}

// takeOver ends the claims of earlier leaders, so that their unfinished tasks are not hidden until the claims expire. It retries
// until it succeeds or ctx ends. False: ctx ended.
func (r *Runner) takeOver(ctx context.Context, term uint64) bool {
	for n := 1; ctx.Err() == nil; n++ {
		limited, cancel := context.WithTimeout(ctx, r.cfg.TTL)
		err := r.cfg.Meta.TakeOver(limited, term)
		cancel()
		if err == nil {
			return true
		}
		_ = wait.For(ctx, jitter(retryAfter(n)))
	}
	return false
}

// hold renews the lease. It returns nil when ctx ended, and otherwise the reason why the lease is lost.
func (r *Runner) hold(ctx context.Context, lease store.Lease, asked time.Time) error {
	trusted := asked.Add(lease.TTL)
	next := r.cfg.TTL / 3
	for {
		_ = wait.For(ctx, min(next, time.Until(trusted)))
		if ctx.Err() != nil {
			return nil
		}
		began := time.Now()
		limited, cancel := context.WithDeadline(ctx, trusted)
		renewed, err := r.cfg.Meta.RenewLease(limited, lease, r.cfg.TTL)
		cancel()
		switch {
		case err == nil:
			lease, trusted, next = renewed, began.Add(renewed.TTL), r.cfg.TTL/3
		case ctx.Err() != nil:
			return nil
		case store.KindOf(err) == store.Conflict || !time.Now().Before(trusted):
			return err
		default:
			next = r.cfg.TTL / 15 // the store may answer again before the lease expires
		}
	}
}

// release returns the lease, so that the next leader need not wait until it expires.
func (r *Runner) release(ctx context.Context, lease store.Lease) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TTL/3)
	defer cancel()
	if err := r.cfg.Meta.ReleaseLease(ctx, lease); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.cfg.Log.Info("the upkeep lease was not released and will expire", "error", err)
	}
}

func (r *Runner) setTerm(term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.term = term
}

// jitter is d plus or minus up to a quarter, so that gateways do not send requests at the same time.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }
