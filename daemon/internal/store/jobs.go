package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// JobID names a job. Version 7: ids sort by time of creation.
type JobID UUID

// NewJobID returns a new id for a job that is about to be created.
func NewJobID() JobID { return JobID(newV7(time.Now())) }

func (id JobID) String() string { return UUID(id).String() }

// IsZero reports whether the id was never assigned.
func (id JobID) IsZero() bool { return id == JobID{} }

// MarshalText writes the canonical form; JSON uses it.
func (id JobID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form. Malformed text is Invalid.
func (id *JobID) UnmarshalText(b []byte) (err error) { *id, err = ParseJobID(string(b)); return err }

// ParseJobID reads the canonical form, in either case. Anything else is Invalid.
func ParseJobID(s string) (JobID, error) { u, err := parseUUID("job id", s); return JobID(u), err }

// JobState is where a job is in its life. Values are stored: add at the end.
type JobState uint8

// The states of a job. The first three are unfinished; a job that has ended does not change any more.
const (
	JobQueued   JobState = iota + 1 // no gateway runs it
	JobRunning                      // Owner runs it, or ran it when it died
	JobPaused                       // it waits until it is resumed
	JobDone                         // all was done
	JobFailed                       // Reason says why
	JobCanceled                     // it was ended on request, as far as it had come
)

var jobStateNames = [...]string{"", "queued", "running", "paused", "done", "failed", "canceled"}

// String gives the name that operators see.
func (s JobState) String() string {
	if int(s) < len(jobStateNames) {
		return jobStateNames[s]
	}
	return ""
}

// Ended reports whether a job in this state does not change any more.
func (s JobState) Ended() bool { return s >= JobDone }

// JobWish is what an operator wants of a job. It is separate from the state: the runner obeys it after the step that
// it is in. Values are stored: add at the end.
type JobWish uint8

// The wishes.
const (
	WishRun JobWish = iota
	WishPause
	WishCancel // final
)

var jobWishNames = [...]string{"run", "pause", "cancel"}

// String gives the name that operators see.
func (w JobWish) String() string {
	if int(w) < len(jobWishNames) {
		return jobWishNames[w]
	}
	return ""
}

// Amount is a quantity of work. A job counts what it can: items, bytes or both.
type Amount struct {
	Items int64 // parts, chunks, files: what one is depends on the kind of the job
	Bytes int64
}

// Job is background work with arguments, progress and an end, that an operator starts and watches. Times are
// microseconds, UTC, of the store's clock.
type Job struct {
	ID        JobID
	Kind      string // what it does: drain, rebalance
	Target    string // what it does that to: a node, a bucket; "": the cluster
	Args      []byte // JSON that its kind understands; at most MaxJobBytes; nil: none
	State     JobState
	Wish      JobWish
	Done      Amount
	Total     Amount // as far as it is known; zero: it is not
	Rate      Amount // done per second, averaged over the last steps; zero while it does not run
	Cursor    []byte // where it continues after a crash, as its kind understands it; at most MaxJobBytes; nil: at the start
	Owner     string // gateway that runs it, or ran it last
	Term      uint64 // of that gateway's lease; 0: none has run it
	Reason    string // why it failed, is paused or waits, for a person; "" otherwise
	CreatedBy string // access key of the client; "" for an anonymous or internal caller
	CreatedAt time.Time
	StartedAt time.Time // zero: not yet
	UpdatedAt time.Time // of the last change by a runner or an operator
	EndedAt   time.Time // zero: not yet
}

const (
	// MaxJobBytes bounds the arguments and the cursor of a job.
	MaxJobBytes = 64 << 10
	// MaxReason bounds the reason of a job and the message of an event; longer ones are cut.
	MaxReason = 1024
)

// JobQuery selects jobs.
type JobQuery struct {
	States     []JobState // nil: all
	After      JobID      // only jobs that follow it in the order of the query; zero: from the start
	Descending bool       // newest first
	Limit      int        // 1..MaxListLimit
}

// JobPage is one page of jobs, by id.
type JobPage struct {
	Jobs []Job
	More bool
	Next JobID // After for the next page, when More
}

// NewJobPage makes a page of jobs of which there is one more than the limit if there are more.
func NewJobPage(jobs []Job, limit int) JobPage {
	if len(jobs) <= limit {
		return JobPage{Jobs: jobs}
	}
	jobs = jobs[:limit:limit]
	return JobPage{Jobs: jobs, More: true, Next: jobs[limit-1].ID}
}

// JobClaim says which gateway runs a job from now on.
type JobClaim struct {
	ID    JobID
	Owner string
	Term  uint64 // of the lease that the gateway holds; at least 1
}

// JobProgress is what a runner says of a job.
type JobProgress struct {
	ID     JobID
	Term   uint64 // of the lease that the runner holds
	State  JobState
	Done   Amount
	Total  Amount
	Rate   Amount
	Cursor []byte
	Reason string
}

// Retention says how long records are kept. A zero field does not limit.
type Retention struct {
	Age   time.Duration // older ones are removed
	Count int           // and all but so many of the newest
}

// Jobs keeps the jobs. Each change of a job's state or wish appends an event, and CreateJob, WishJob and a progress that
// makes a job runnable again wake the loop named JobsLoop, in the same step.
//
// A job is run under the term of a lease. The latest claim counts: of an earlier term nothing is accepted any more.
type Jobs interface {
	// CreateJob adds a job as queued. Of j only ID, Kind, Target, Args and CreatedBy are used. Exists: an
	// unfinished job has the same kind and target, or a job has the id; Error.Item names it. So a caller whose answer was lost
	// repeats the call: an Exists with its own id says that it happened. Invalid. Returns the job as stored.
	CreateJob(ctx context.Context, j Job) (Job, error)
	// Job returns one job. NotFound.
	Job(ctx context.Context, id JobID) (Job, error)
	// ListJobs lists jobs by id, so by time of creation. Invalid.
	ListJobs(ctx context.Context, q JobQuery) (JobPage, error)
	// WishJob stores what the caller wants of an unfinished job. Repeating it changes nothing. NotFound; Conflict: the job has
	// ended, or is to be canceled and the wish is another. Returns the job as it is then.
	WishJob(ctx context.Context, id JobID, w JobWish, caller string) (Job, error)
	// ClaimJob makes the job running under the term, also when a gateway runs it under an earlier one, and returns it with the
	// Cursor at which it continues. Repeating it is without effect. NotFound; Conflict: the job has ended, or a later term,
	// or another owner of the same term, has claimed it.
	ClaimJob(ctx context.Context, c JobClaim) (Job, error)
	// SaveJob stores the progress of a job that runs under the term, and its state: a runner ends, pauses or requeues it so.
	// A job that no gateway runs (queued or paused) accepts it from any term that is not earlier. NotFound; Conflict: the job has ended, or
	// runs under another term; Invalid. Returns the job as stored, with the Wish.
	SaveJob(ctx context.Context, p JobProgress) (Job, error)
	// TrimJobs removes up to limit ended jobs (1..MaxListLimit) that the retention does not keep, the oldest first. Age counts
	// from EndedAt, Count counts ended jobs.
	TrimJobs(ctx context.Context, keep Retention, limit int) (trimmed int, err error)
}

// JobsLoop is the name under which changes of jobs wake the leader; see Loops.
const JobsLoop = "jobs"

// Validate reports the first rule that a new job breaks, as Invalid.
func (j Job) Validate() error {
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
