package upkeep

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

const (
	// lookEvery is how often a worker looks for jobs that it was not woken for.
	lookEvery = 30 * time.Second
	// saveEvery is how often the progress of a job is stored.
	saveEvery = time.Second
	// saveLimit bounds a call of the store about a job.
	saveLimit = 10 * time.Second
)

// unfinished are the states of jobs that a leader may have to do something about.
var unfinished = []store.JobState{store.JobQueued, store.JobRunning, store.JobPaused}

// jobWorker runs the jobs of one kind, one after the other; or, without a kind, explains those of kinds that the gateway does not know.
type jobWorker struct {
	job    Job // nil: of the unknown kinds
	known  map[string]bool
	meta   store.Jobs
	owner  string
	log    *slog.Logger
	kicked kicks
}

func newJobWorkers(c Config) (all []*jobWorker) {
	known := map[string]bool{}
	for _, j := range append([]Job{nil}, c.Jobs...) {
		w := &jobWorker{job: j, known: known, meta: c.Meta, owner: c.Owner, log: c.Log, kicked: newKicks()}
		if j != nil {
			known[j.Kind()] = true
			w.log = c.Log.With("job", j.Kind())
		}
		all = append(all, w)
	}
	return all
}

// mine reports whether the job is this worker's.
func (w *jobWorker) mine(j store.Job) bool {
	if w.job == nil {
		return !w.known[j.Kind]
	}
	return j.Kind == w.job.Kind()
}

// work runs jobs until ctx ends.
func (w *jobWorker) work(ctx context.Context, term uint64) {
	failures := 0
	for ctx.Err() == nil {
		w.kicked.take() // the look that starts now sees what the kick announced
		worked, err := w.look(ctx, term)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if failures++; failures == 1 {
				w.log.Warn("the jobs cannot be read or changed; this is retried", "error", err)
			}
			_ = wait.For(ctx, jitter(retryAfter(failures)))
		case worked:
			failures = 0
		default:
			failures = 0
			w.kicked.wait(ctx, lookEvery)
		}
	}
}

// look does what is due for the oldest job for which something is: then worked is true, and there may be more.
func (w *jobWorker) look(ctx context.Context, term uint64) (worked bool, err error) {
	q := store.JobQuery{States: unfinished, Limit: store.MaxListLimit}
	for more := true; more; {
		page, err := w.meta.ListJobs(ctx, q)
		if err != nil {
			return false, err
		}
		for _, j := range page.Jobs {
			if !w.mine(j) {
				continue
			}
			worked, err := w.handle(ctx, j, term)
			if err != nil && isLost(err) {
				continue // it was changed meanwhile, by an operator or a later leader
			}
			if worked || err != nil {
				return worked, err
			}
		}
		q.After, more = page.Next, page.More
	}
	return false, nil
}

// isLost reports that the job cannot be changed under this term any more.
func isLost(err error) bool {
	kind := store.KindOf(err)
	return kind == store.Conflict || kind == store.NotFound
}

// handle obeys the wish for the job, and runs it where that is wanted.
func (w *jobWorker) handle(ctx context.Context, j store.Job, term uint64) (worked bool, err error) {
	idle := j.State != store.JobRunning
	switch {
	case idle && j.Wish == store.WishCancel:
		return true, w.move(ctx, j, term, store.JobCanceled, "")
	case idle && j.Wish == store.WishPause:
		if j.State == store.JobPaused {
			return false, nil
		}
		return true, w.move(ctx, j, term, store.JobPaused, "")
	case w.job == nil && idle && j.Reason != "":
		return false, nil // explained already
	case w.job == nil && idle:
		return true, w.move(ctx, j, term, store.JobQueued, unknownKind)
	}
	j, err = w.meta.ClaimJob(ctx, store.JobClaim{ID: j.ID, Owner: w.owner, Term: term})
	if err != nil {
		return false, err
	}
	if w.job == nil {
		return true, w.move(ctx, j, term, store.JobQueued, unknownKind)
	}
	r := &jobRun{jobWorker: w, j: j, saved: time.Now(), savedDone: j.Done}
	return true, r.run(ctx)
}

const unknownKind = "the gateway that runs the upkeep does not know this kind of job; it waits for one that does"

// move changes only the state and the reason of a job.
func (w *jobWorker) move(ctx context.Context, j store.Job, term uint64, to store.JobState, reason string) error {
	_, err := w.meta.SaveJob(ctx, store.JobProgress{
		ID: j.ID, Term: term, State: to, Done: j.Done, Total: j.Total, Cursor: j.Cursor, Reason: reason,
	})
	return err
}

// jobRun is one claimed job that runs.
type jobRun struct {
	*jobWorker
	j         store.Job
	cost      time.Duration // average duration of a busy step
	failures  int           // steps that failed, one after the other
	saved     time.Time     // when the progress was stored last
	savedDone store.Amount  // what was stored then
}

// run executes steps until the job ends, is paused or lost, or ctx ends. The error is that of the last save.
func (r *jobRun) run(ctx context.Context) error {
	for {
		switch r.j.Wish {
		case store.WishCancel:
			return r.finish(ctx, store.JobCanceled, "")
		case store.WishPause:
			return r.finish(ctx, store.JobPaused, "")
		}
		begin := time.Now()
		out, err := r.step(ctx)
		if ctx.Err() != nil {
			return r.leave(ctx, out, err)
		}
		took := time.Since(begin)
		switch {
		case err != nil && mayPass(err):
			r.failures++
			r.j.Reason = err.Error()
			err = r.pauseFor(ctx, jitter(retryAfter(r.failures)))
		case err != nil:
			r.log.Warn("a job failed", "id", r.j.ID, "target", r.j.Target, "error", err)
			return r.finish(ctx, store.JobFailed, err.Error())
		default:
			r.failures, r.j.Reason = 0, ""
			r.apply(out)
			switch out.State {
			case Done:
				return r.finish(ctx, store.JobDone, "")
			case Busy:
				r.cost = smooth(r.cost, took)
				err = r.rest(ctx)
			default:
				r.j.Reason = out.Reason
				err = r.pauseFor(ctx, r.job.Pace().Every)
			}
		}
		if err != nil && isLost(err) {
			return err
		}
	}
}

// step executes one step. A panic becomes its error.
func (r *jobRun) step(ctx context.Context) (out Advance, err error) {
	defer caught(r.log, &err)
	return r.job.Step(ctx, r.j)
}

// mayPass reports whether a step that failed so is retried.
func mayPass(err error) bool {
	switch store.KindOf(err) {
	case store.Unavailable, store.NoQuorum, store.NoSpace, store.OutcomeUnknown, store.Canceled:
		return true
	}
	return false
}

// apply adds what a step did.
func (r *jobRun) apply(out Advance) {
	r.j.Done.Items += out.Done.Items
	r.j.Done.Bytes += out.Done.Bytes
	if out.Total != (store.Amount{}) {
		r.j.Total = out.Total
	}
	if out.Cursor != nil {
		r.j.Cursor = out.Cursor
	}
}

// rest is what follows a busy step: the progress is stored where that is due, or an operator may have another wish; then comes the pause.
func (r *jobRun) rest(ctx context.Context) error {
	var err error
	if r.kicked.take() || time.Since(r.saved) >= saveEvery {
		err = r.save(ctx, store.JobRunning)
	}
	if d := time.Duration(r.job.Pace().Throttle * float64(r.cost)); d > 0 && err == nil && r.j.Wish == store.WishRun {
		if r.kicked.wait(ctx, d) {
			r.kicked.kick() // for the look after the next step
		}
	}
	return err
}

// pauseFor stores the progress and waits. A kick ends the wait, because an operator may have another wish.
func (r *jobRun) pauseFor(ctx context.Context, d time.Duration) error {
	if err := r.save(ctx, store.JobRunning); err != nil && isLost(err) || r.j.Wish != store.WishRun {
		return err
	}
	if !r.kicked.wait(ctx, d) {
		return nil
	}
	return r.save(ctx, store.JobRunning)
}

// finish stores the last progress with a state in which the job does not run, and retries until that is stored, the job is lost or ctx ends.
func (r *jobRun) finish(ctx context.Context, to store.JobState, reason string) error {
	r.j.Reason = reason
	for n := 1; ; n++ {
		err := r.save(ctx, to)
		if err == nil || isLost(err) || ctx.Err() != nil {
			return err
		}
		_ = wait.For(ctx, jitter(retryAfter(n)))
	}
}

// leave stores the progress for the next leader, although ctx has ended. A step that was interrupted counts only where it returned no error.
func (r *jobRun) leave(ctx context.Context, out Advance, err error) error {
	if err == nil {
		r.apply(out)
	}
	r.kicked.kick() // for the next time that this gateway leads
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
	defer cancel()
	to := store.JobRunning
	if err == nil && out.State == Done {
		to = store.JobDone
	}
	return r.save(ctx, to)
}

// save stores the progress, and learns the wish.
func (r *jobRun) save(ctx context.Context, state store.JobState) error {
	ctx, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	now := time.Now()
	rate := perSecond(r.j.Done, r.savedDone, now.Sub(r.saved))
	if r.j.Rate != (store.Amount{}) {
		rate.Items, rate.Bytes = (4*r.j.Rate.Items+rate.Items)/5, (4*r.j.Rate.Bytes+rate.Bytes)/5
	}
	stored, err := r.meta.SaveJob(ctx, store.JobProgress{
		ID: r.j.ID, Term: r.j.Term, State: state, Done: r.j.Done, Total: r.j.Total, Rate: rate, Cursor: r.j.Cursor, Reason: r.j.Reason,
	})
	r.saved = now
	if err != nil {
		return err
	}
	r.j.Rate, r.savedDone, r.j.Wish = rate, r.j.Done, stored.Wish
	return nil
}

// perSecond is the rate at which the work was done.
func perSecond(done, before store.Amount, in time.Duration) store.Amount {
	if in <= 0 {
		return store.Amount{}
	}
	rate := func(n int64) int64 { return int64(float64(n) / in.Seconds()) }
	return store.Amount{Items: rate(done.Items - before.Items), Bytes: rate(done.Bytes - before.Bytes)}
}
