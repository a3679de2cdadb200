// Package upkeep runs the background work of a cluster: on one gateway at a time,
// throttled so that clients do not notice, with its progress visible.
//
// There are two kinds. A [Loop] never ends: it looks for work, does it, and looks again (repair, reclaim, review). A [Job] is
// started by an operator with arguments, has progress, and ends; what is stored of it is a [store.Job]. Loops are in
// the packages loop/<name>, jobs in job/<name>.
//
// # The lease
//
// A [Runner] in every gateway tries to acquire the lease "upkeep" in the metadata store.
// The one that holds it runs all loops and jobs, renews it every third of its TTL, and stops at once when it is lost:
//
//	standby --- lease acquired ---> leading --- renewed ---> leading
//	   ^                              |
//	   +--- lease lost, or ctx ended -+
//
// The store decides which runner leads. Local time can only end that sooner: a lease is
// trusted for its TTL by the local monotonic clock, counted from before the call that
// acquired or renewed it, and not longer when renewals fail.
//
// # Two runners at once
//
// An old leader can still be in the middle of a step when a new one starts. The lease
// avoids duplicate work; correctness does not depend on it. Each step is safe when two
// runners execute it concurrently:
//
//   - The metadata changes in single atomic steps, each of
//     which states what it expects (MoveChunk) or can be repeated (Finish, Postpone, FailFile).
//   - reclaim deletes a chunk on a node only while it has claimed the task for that deletion
//     and the metadata places the chunk elsewhere or nowhere. MoveChunk refuses to place a chunk
//     on a node while such a task is claimed, so what the lookup found still
//     holds at the deletion. A deletion sent after the claim has expired would break this, so
//     a step's context ends after a fraction of the hold.
//   - repair writes a new chunk first, compares its sum, and then calls
//     MoveChunk with the placement that it started from: of two, one wins, and the
//     other queues its copy for reclaim, which looks it up again before it deletes.
//     repair itself never deletes. A copy of the chunk that was on its target before is not
//     trusted. After the move it checks that the chunk is still present: the other runner may have had it
//     reclaimed just before. At worst a superfluous copy is left over, for scrub to find.
//   - expire calls FailFile, which refuses a file that was completed meanwhile.
//
// Claims end with their leader: they carry the lease's term, and a new leader first takes over the claims of older
// terms. When an old leader finishes or postpones such a task later, the queue does not change.
//
// A job's progress carries the term too: the store refuses that of an earlier leader, which then stops working on the job.
//
// One assumption remains: a process that is paused for minutes between
// the check of its context and the send that follows, and whose packets are still delivered, could
// delete a chunk that was placed there again meanwhile. The chunk would be found missing and repaired from the others.
//
// # Wake-ups
//
// Work appears at any gateway, and the leader runs the loops. On standby [Runner.Kick] counts a wake-up in the metadata store, at
// most a few times a second; the leader reads the counts every second. Changes of jobs count one themselves.
package upkeep

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// Loop is background work that never ends. Its methods are called by one goroutine at a time.
type Loop interface {
	// Name is a stable name for operators and for Runner.Kick.
	Name() string
	// Pace returns how fast the loop runs. It does not change.
	Pace() Pace
	// Step does a limited amount of work, seconds rather than minutes, and returns soon
	// after ctx ended. It must be safe while another gateway executes a step of the same
	// loop: see the package comment. After an error it is called again with increasing delay.
	// term is that of the lease under which it runs; claims are bound to it.
	Step(ctx context.Context, term uint64) (Outcome, error)
}

// Job is one kind of work with arguments, progress and an end. Its methods are called by one goroutine at a time: of the jobs of
// one kind one runs, the oldest first; jobs of several kinds run at once.
type Job interface {
	// Kind is the store.Job.Kind that it runs.
	Kind() string
	// Pace returns how fast such jobs run. It does not change.
	Pace() Pace
	// Step does a limited amount of the job's work, seconds rather than minutes, beginning at j.Cursor, and returns soon after ctx ended.
	// What it returns is stored about once a second, so after a crash steps since then are executed again, by another gateway and possibly
	// beside this one: they must be repeatable. j.Term is that of the lease.
	// An error that may pass (Unavailable, NoQuorum, NoSpace, OutcomeUnknown, Canceled) is retried with increasing delay and shown as the reason;
	// any other ends the job as failed.
	Step(ctx context.Context, j store.Job) (Advance, error)
}

// Advance is what a step of a job did. What an error accompanies is not counted.
type Advance struct {
	State  State        // Busy; Idle: it waits for something and looks again after Pace.Every; Done
	Done   store.Amount // by this step
	Total  store.Amount // of the job, as far as it is known; zero: as before
	Cursor []byte       // where the next step begins; nil: as before
	Reason string       // what it waits for, where it is Idle
}

// Pace is how fast a loop or a job runs.
type Pace struct {
	// Every is the wait after a step that found nothing to do. Kick ends it early.
	Every time.Duration
	// Throttle is the pause after each busy step, in units of the average duration of a step:
	// with 0 it works without pause, with 1 half of the time, with 3 a quarter of it.
	Throttle float64
}

// Outcome is what a step did.
type Outcome struct {
	State State // Busy, Idle or Done
	Items int64 // units of work that were finished
	Bytes int64 // data that was written or removed, where the loop counts it
}

// State is the state of a loop. Loops return Busy, Idle or Done; the runner sets the others.
type State uint8

// The states of a loop.
const (
	Standby   State = iota // another gateway runs it, or no gateway does yet
	Busy                   // there was work; more may be waiting
	Throttled              // there is work; it pauses, so that clients do not notice
	Idle                   // there was nothing to do
	Failing                // the last step failed; it is retried later
	Done                   // there will never be more to do
)

var stateNames = [...]string{"standby", "busy", "throttled", "idle", "failing", "done"}

// String returns the name that operators see.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Fleet is the nodes as loops and jobs need them; *cluster.Fleet implements it.
type Fleet = stripe.Fleet
