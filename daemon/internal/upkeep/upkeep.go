// Package upkeep runs the background work of a cluster: one gateway at a time
// does it, slowly enough that clients do not notice, and visibly.
//
// # Who works
//
// A [Runner] in every gateway asks for the lease "upkeep" in the metadata store.
// Who gets it runs all jobs, renews it every third of its TTL, and stops at once when it is lost:
//
//	standby --- lease acquired ---> leading --- renewed ---> leading
//	   ^                              |
//	   +--- lease lost, or ctx ended -+
//
// The store decides who leads. Local time may only end it sooner: a lease is
// trusted from before the call that brought it for its TTL by the local
// monotonic clock, and not a moment longer when renewals fail.
//
// # Two runners at once
//
// That still leaves moments in which an old leader is in the middle of a step while a new
// one begins. The lease is there so that work is not done twice, not so
// that it is right; each step is safe when two do it together:
//
//   - All truth changes in single atomic steps of the metadata store, each of
//     which names what it expects (MoveChunk) or can be repeated (Finish, Postpone, FailFile).
//   - reclaim deletes a chunk on a node only while a task for just that is
//     claimed and the metadata places it elsewhere or nowhere. MoveChunk refuses to place it
//     on that node while the claimed task is there, so what was true at the
//     look is true at the delete. What could break it is a delete sent after the claim ran out:
//     a step's context ends after a fraction of the hold.
//   - repair writes a new chunk first, compares its sum, and then calls
//     MoveChunk with the placement that it started from: of two, one wins, and the
//     other puts its copy on the reclaim queue, where it is looked up again before it goes.
//     It never deletes. A copy of the chunk that it finds on its target is not its own, and not
//     trusted. After the move it looks whether the chunk is still there: the other may have had it
//     reclaimed just before. At worst a copy that lost is left over, for scrub to find.
//   - expire calls FailFile, which refuses a file that was completed meanwhile.
//
// Claims end with their leader: they carry the lease's term, and a new leader first takes over what older terms
// claimed. What an old leader then still finishes or postpones changes nothing in the queue.
//
// The assumption that remains: a process that was paused for minutes between
// a context's check and the send that follows, its packets delivered all the same, could
// delete a chunk that was put back meanwhile. It would show as missing, and be repaired from the others.
package upkeep

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Job is one kind of background work. Its methods are called by one goroutine at a time.
type Job interface {
	// Name is a stable word for people and for Runner.Kick.
	Name() string
	// Pace says how fast to go. It does not change.
	Pace() Pace
	// Step does a little work, seconds rather than minutes, and returns soon
	// after ctx ended. It must be safe when another gateway is in a step of the same
	// job: see the package comment. After an error it is called again, later each time.
	// term is that of the lease under which it works: claims are bound to it.
	Step(ctx context.Context, term uint64) (Outcome, error)
}

// Pace is how fast a job goes.
type Pace struct {
	// Every is how long to wait after a step that found nothing to do. Kick ends it early.
	Every time.Duration
	// Throttle is the pause after each busy step, in units of what a step takes on average:
	// 0 works without a break, 1 half of the time, 3 a quarter of it.
	Throttle float64
}

// Outcome is what a step did.
type Outcome struct {
	State State // Busy, Idle or Done
	Items int64 // pieces of work that were finished
	Bytes int64 // data that was written or removed, where the job knows
}

// State is what a job is at. Jobs answer Busy, Idle or Done; the runner knows the others.
type State uint8

// The states of a job.
const (
	Standby   State = iota // another gateway does it, or nobody yet
	Busy                   // there is work; more may be waiting
	Throttled              // there is work; it rests, so that clients do not notice
	Idle                   // there was nothing to do
	Failing                // the last step failed; it tries again later
	Done                   // there will never be more to do
)

var stateNames = [...]string{"standby", "busy", "throttled", "idle", "failing", "done"}

// String gives the name that operators see.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Fleet is the nodes as jobs need them; *cluster.Fleet is one.
type Fleet interface {
	// View is the present picture of the nodes; it is not changed afterwards.
	View() *cluster.View
	// Chunks gives a node's chunk store. Unavailable when there is no way to it.
	Chunks(id store.NodeID) (store.Chunks, error)
	// Report tells how a call to the node went.
	Report(id store.NodeID, err error)
}
