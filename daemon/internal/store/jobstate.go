package store

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// This file holds what the calls of Jobs do to a job. It is pure. Every implementation loads the job, applies one of these
// functions, and stores the result with the event, in one step; so all of them agree.

// Queued is the job as CreateJob stores it, and its event. Invalid.
func (j Job) Queued() (Job, Event, error) {
	if err := j.validate(); err != nil {
		return Job{}, Event{}, err
	}
	j = Job{ID: j.ID, Kind: j.Kind, Target: j.Target, Args: slices.Clone(j.Args), CreatedBy: j.CreatedBy, State: JobQueued}
	return j, j.event(EventJobQueued, Info, "was queued", j.CreatedBy), nil
}

func (j Job) validate() error {
	const kinds = "a kind has 1 to 32 lower-case letters, digits and hyphens"
	switch {
	case j.ID.IsZero():
		return Errorf(Invalid, "the job has no id")
	case j.Kind == "" || len(j.Kind) > 32 || strings.Trim(j.Kind, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return Errorf(Invalid, "kind of job %q: %s", clip(j.Kind, 32), kinds)
	case len(j.Target) > MaxKeyBytes || !cleanText(j.Target) || len(j.CreatedBy) > MaxKeyBytes || !cleanText(j.CreatedBy):
		return Errorf(Invalid, "target or caller of the job is too long, not valid UTF-8, or has a NUL byte")
	case len(j.Args) > MaxJobBytes:
		return Errorf(Invalid, "the arguments of the job have %d bytes, more than %d", len(j.Args), MaxJobBytes)
	case j.Args != nil && !json.Valid(j.Args):
		return Errorf(Invalid, "the arguments of the job are not valid JSON")
	}
	return nil
}

// Same reports whether an unfinished job keeps another with that kind and target from being created.
func (j Job) Same(o Job) bool { return j.Kind == o.Kind && j.Target == o.Target && !j.State.Ended() }

// ErrJobExists is the error of a job that cannot be created because of the one with that id.
func ErrJobExists(id JobID) error {
	return Errorf(Exists, "there is such a job already").WithItem(id).WithHint("Wait until it ends, or cancel it.")
}

// ErrNoJob is the error of an unknown job.
func ErrNoJob(id JobID) error { return Errorf(NotFound, "job %s does not exist", id) }

func errJobEnded(j Job) error { return Errorf(Conflict, "job %s is %s", j.ID, j.State) }

// JobStep is the outcome of a call that changes a job.
type JobStep struct {
	Job     Job
	Event   Event // appended where it has a Kind
	Wakes   bool  // the call wakes JobsLoop
	Changed bool  // otherwise there is nothing to store
}

// Wished is what WishJob does at that time.
func (j Job) Wished(w JobWish, caller string, now time.Time) (JobStep, error) {
	switch {
	case w > WishCancel:
		return JobStep{}, Errorf(Invalid, "wish %d is unknown", w)
	case j.State.Ended():
		return JobStep{}, errJobEnded(j)
	case j.Wish == w:
		return JobStep{Job: j}, nil
	case j.Wish == WishCancel:
		return JobStep{}, Errorf(Conflict, "job %s is being canceled", j.ID)
	}
	j.Wish, j.UpdatedAt = w, now
	e := j.event(EventJobWished, Info, "is to "+w.String(), caller)
	e.Attrs["wish"] = w.String()
	return JobStep{Job: j, Event: e, Wakes: true, Changed: true}, nil
}

// Claimed is what ClaimJob does at that time.
func (j Job) Claimed(c JobClaim, now time.Time) (JobStep, error) {
	switch {
	case c.Term == 0 || c.Owner == "":
		return JobStep{}, Errorf(Invalid, "a claim of a job needs an owner and the term of its lease")
	case j.State.Ended():
		return JobStep{}, errJobEnded(j)
	case j.Term > c.Term || j.Term == c.Term && j.Owner != c.Owner && j.State == JobRunning:
		return JobStep{}, Errorf(Conflict, "job %s was claimed by %s under term %d", j.ID, j.Owner, j.Term)
	case j.State == JobRunning && j.Term == c.Term:
		return JobStep{Job: j}, nil
	}
	kind, message := EventJobResumed, "continues on "+c.Owner
	if j.StartedAt.IsZero() {
		kind, message = EventJobStarted, "runs on "+c.Owner
		j.StartedAt = now
	}
	j.State, j.Owner, j.Term, j.Reason, j.Rate, j.UpdatedAt = JobRunning, c.Owner, c.Term, "", Amount{}, now
	e := j.event(kind, Info, message, "")
	e.Attrs["owner"] = c.Owner
	return JobStep{Job: j, Event: e, Changed: true}, nil
}

// Saved is what SaveJob does at that time.
func (j Job) Saved(p JobProgress, now time.Time) (JobStep, error) {
	switch {
	case p.Term == 0 || p.State.String() == "":
		return JobStep{}, Errorf(Invalid, "the progress of a job needs the term of a lease, and a state")
	case len(p.Cursor) > MaxJobBytes:
		return JobStep{}, Errorf(Invalid, "the cursor of the job has %d bytes, more than %d", len(p.Cursor), MaxJobBytes)
	case j.State.Ended():
		return JobStep{}, errJobEnded(j)
	case j.Term > p.Term || j.Term < p.Term && j.State == JobRunning:
		return JobStep{}, Errorf(Conflict, "job %s runs under term %d, not %d", j.ID, j.Term, p.Term)
	case p.State == JobRunning && j.State != JobRunning:
		return JobStep{}, Errorf(Conflict, "job %s is %s: no gateway has claimed it", j.ID, j.State)
	}
	was := j.State
	j.Term, j.State, j.Done, j.Total, j.Rate = p.Term, p.State, p.Done, p.Total, p.Rate
	j.Cursor, j.Reason, j.UpdatedAt = bytes.Clone(p.Cursor), cut(p.Reason), now
	if j.State != JobRunning {
		j.Rate = Amount{}
	}
	if j.State.Ended() {
		j.EndedAt = now
	}
	step := JobStep{Job: j, Changed: true, Wakes: j.State == JobQueued && was != JobQueued}
	if j.State != was {
		step.Event = j.savedEvent()
	}
	return step, nil
}

func (j Job) savedEvent() Event {
	because := ""
	if j.Reason != "" {
		because = ": " + j.Reason
	}
	switch j.State {
	case JobPaused:
		return j.event(EventJobPaused, Info, "is paused"+because, "")
	case JobDone:
		return j.event(EventJobDone, Info, "is done", "")
	case JobFailed:
		return j.event(EventJobFailed, Failure, "failed"+because, "")
	case JobCanceled:
		return j.event(EventJobCanceled, Warning, "was canceled", "")
	}
	return j.event(EventJobQueued, Info, "is queued again"+because, "")
}

// event is an event about the job.
func (j Job) event(kind string, s Severity, what, caller string) Event {
	name, attrs := "Job "+j.Kind, map[string]string{"kind": j.Kind}
	if j.Target != "" {
		name += " of " + j.Target
		attrs["target"] = j.Target
	}
	return Event{Kind: kind, Severity: s, Subject: j.ID.String(), Message: cut(name + " " + what + "."), Attrs: attrs, Caller: caller}
}

// Validate reports the first rule that the query breaks, as Invalid.
func (q JobQuery) Validate() error {
	for _, s := range q.States {
		if s.String() == "" {
			return Errorf(Invalid, "state %d of a job is unknown", s)
		}
	}
	return validLimit(q.Limit)
}

// Selects reports whether the query asks for jobs in that state.
func (q JobQuery) Selects(s JobState) bool { return q.States == nil || slices.Contains(q.States, s) }

// Validate reports a retention or the limit of its call out of bounds, as Invalid.
func (r Retention) Validate(limit int) error {
	if r.Age < 0 || r.Count < 0 {
		return Errorf(Invalid, "a retention of %s and %d records is negative", r.Age, r.Count)
	}
	return validLimit(limit)
}
