// Package upkeep runs the background work of a cluster: on one gateway at a time,
// throttled so that clients do not notice, with its progress visible.
//
// # The lease
//
// A [Runner] in every gateway tries to acquire the lease "upkeep" in the metadata store.
// The one that holds it runs all jobs, renews it every third of its TTL, and stops at once when it is lost:
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
// One assumption remains: a process that is paused for minutes between
// the check of its context and the send that follows, and whose packets are still delivered, could
// delete a chunk that was placed there again meanwhile. The chunk would be found missing and repaired from the others.
package upkeep

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// Job is one kind of background work. Its methods are called by one goroutine at a time.
type Job interface {
	// Name is a stable name for operators and for Runner.Kick.
	Name() string
	// Pace returns how fast the job runs. It does not change.
	Pace() Pace
	// Step does a limited amount of work, seconds rather than minutes, and returns soon
	// after ctx ended. It must be safe while another gateway executes a step of the same
	// job: see the package comment. After an error it is called again with increasing delay.
	// term is that of the lease under which it runs; claims are bound to it.
	Step(ctx context.Context, term uint64) (Outcome, error)
}

// Pace is how fast a job runs.
type Pace struct {
	// Every is the wait after a step that found nothing to do. Kick ends it early.
	Every time.Duration
	// Throttle is the pause after each busy step, in units of the average duration of a step:
	// with 0 the job works without pause, with 1 half of the time, with 3 a quarter of it.
	Throttle float64
}

// Outcome is what a step did.
type Outcome struct {
	State State // Busy, Idle or Done
	Items int64 // units of work that were finished
	Bytes int64 // data that was written or removed, where the job counts it
}

// State is the state of a job. Jobs return Busy, Idle or Done; the runner sets the others.
type State uint8

// The states of a job.
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

// Fleet is the nodes as jobs need them; *cluster.Fleet implements it.
type Fleet = stripe.Fleet
