// Package jobstate is what the calls of store.Jobs do to a job. It is pure. Every implementation loads the job, applies one of these functions,
// and stores the result with the event, in one step; so all of them agree.
package jobstate

import (
	"bytes"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// Queued is the job as CreateJob stores it, and its event. Invalid.
func Queued(j store.Job) (store.Job, store.Event, error) {
	if err := j.Validate(); err != nil {
		return store.Job{}, store.Event{}, err
	}
	j = store.Job{ID: j.ID, Kind: j.Kind, Target: j.Target, Args: slices.Clone(j.Args), CreatedBy: j.CreatedBy, State: store.JobQueued}
	return j, event(j, store.EventJobQueued, store.Info, "was queued", j.CreatedBy), nil
}

// Same reports whether an unfinished job keeps another with that kind and target from being created.
func Same(j, o store.Job) bool { return j.Kind == o.Kind && j.Target == o.Target && !j.State.Ended() }

// ErrExists is the error of a job that cannot be created because of the one with that id.
func ErrExists(id store.JobID) error {
	return store.Errorf(store.Exists, "there is such a job already").WithItem(id).WithHint("Wait until it ends, or cancel it.")
}

// ErrNoJob is the error of an unknown job.
func ErrNoJob(id store.JobID) error { return store.Errorf(store.NotFound, "job %s does not exist", id) }

func errJobEnded(j store.Job) error {
	return store.Errorf(store.Conflict, "job %s is %s", j.ID, j.State)
}

// Step is the outcome of a call that changes a job.
type Step struct {
	Job     store.Job
	Event   store.Event // appended where it has a Kind
	Wakes   bool        // the call wakes JobsLoop
	Changed bool        // otherwise there is nothing to store
}

// Wished is what WishJob does at that time.
func Wished(j store.Job, w store.JobWish, caller string, now time.Time) (Step, error) {
	switch {
	case w > store.WishCancel:
		return Step{}, store.Errorf(store.Invalid, "wish %d is unknown", w)
	case j.State.Ended():
		return Step{}, errJobEnded(j)
	case j.Wish == w:
		return Step{Job: j}, nil
	case j.Wish == store.WishCancel:
		return Step{}, store.Errorf(store.Conflict, "job %s is being canceled", j.ID)
	}
	j.Wish, j.UpdatedAt = w, now
	e := event(j, store.EventJobWished, store.Info, "is to "+w.String(), caller)
	e.Attrs["wish"] = w.String()
	return Step{Job: j, Event: e, Wakes: true, Changed: true}, nil
}

// Claimed is what ClaimJob does at that time.
func Claimed(j store.Job, c store.JobClaim, now time.Time) (Step, error) {
	switch {
	case c.Term == 0 || c.Owner == "":
		return Step{}, store.Errorf(store.Invalid, "a claim of a job needs an owner and the term of its lease")
	case j.State.Ended():
		return Step{}, errJobEnded(j)
	case j.Term > c.Term || j.Term == c.Term && j.Owner != c.Owner && j.State == store.JobRunning:
		return Step{}, store.Errorf(store.Conflict, "job %s was claimed by %s under term %d", j.ID, j.Owner, j.Term)
	case j.State == store.JobRunning && j.Term == c.Term:
		return Step{Job: j}, nil
	}
	kind, message := store.EventJobResumed, "continues on "+c.Owner
	if j.StartedAt.IsZero() {
		kind, message = store.EventJobStarted, "runs on "+c.Owner
		j.StartedAt = now
	}
	j.State, j.Owner, j.Term, j.Reason, j.Rate, j.UpdatedAt = store.JobRunning, c.Owner, c.Term, "", store.Amount{}, now
	e := event(j, kind, store.Info, message, "")
	e.Attrs["owner"] = c.Owner
	return Step{Job: j, Event: e, Changed: true}, nil
}

// Saved is what SaveJob does at that time.
func Saved(j store.Job, p store.JobProgress, now time.Time) (Step, error) {
	switch {
	case p.Term == 0 || p.State.String() == "":
		return Step{}, store.Errorf(store.Invalid, "the progress of a job needs the term of a lease, and a state")
	case len(p.Cursor) > store.MaxJobBytes:
		return Step{}, store.Errorf(store.Invalid, "the cursor of the job has %d bytes, more than %d", len(p.Cursor), store.MaxJobBytes)
	case j.State.Ended():
		return Step{}, errJobEnded(j)
	case j.Term > p.Term || j.Term < p.Term && j.State == store.JobRunning:
		return Step{}, store.Errorf(store.Conflict, "job %s runs under term %d, not %d", j.ID, j.Term, p.Term)
	case p.State == store.JobRunning && j.State != store.JobRunning:
		return Step{}, store.Errorf(store.Conflict, "job %s is %s: no gateway has claimed it", j.ID, j.State)
	}
	was := j.State
	j.Term, j.State, j.Done, j.Total, j.Rate = p.Term, p.State, p.Done, p.Total, p.Rate
	j.Cursor, j.Reason, j.UpdatedAt = bytes.Clone(p.Cursor), eventof.Cut(p.Reason), now
	if j.State != store.JobRunning {
		j.Rate = store.Amount{}
	}
	if j.State.Ended() {
		j.EndedAt = now
	}
	step := Step{Job: j, Changed: true, Wakes: j.State == store.JobQueued && was != store.JobQueued}
	if j.State != was {
		step.Event = savedEvent(j)
	}
	return step, nil
}

func savedEvent(j store.Job) store.Event {
	because := ""
	if j.Reason != "" {
		because = ": " + j.Reason
	}
	switch j.State {
	case store.JobPaused:
		return event(j, store.EventJobPaused, store.Info, "is paused"+because, "")
	case store.JobDone:
		return event(j, store.EventJobDone, store.Info, "is done", "")
	case store.JobFailed:
		return event(j, store.EventJobFailed, store.Failure, "failed"+because, "")
	case store.JobCanceled:
		return event(j, store.EventJobCanceled, store.Warning, "was canceled", "")
	}
	return event(j, store.EventJobQueued, store.Info, "is queued again"+because, "")
}

// event is an event about the job.
func event(j store.Job, kind string, s store.Severity, what, caller string) store.Event {
	name, attrs := "Job "+j.Kind, map[string]string{"kind": j.Kind}
	if j.Target != "" {
		name += " of " + j.Target
		attrs["target"] = j.Target
	}
	return store.Event{Kind: kind, Severity: s, Subject: j.ID.String(), Message: eventof.Cut(name + " " + what + "."), Attrs: attrs, Caller: caller}
}
