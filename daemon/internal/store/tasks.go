package store

import (
	"context"
	"math/bits"
	"time"
)

// TaskKind says what a task is. Values are stored: add at the end.
type TaskKind uint8

// The kinds of tasks.
const (
	Reclaim TaskKind = iota + 1 // delete Chunk on Node; no metadata refers to it
	Repair                      // examine Chunks of the part Chunk.Part, and rebuild those that are lost from its others
)

// ChunkSet is a set of chunks of one part, by index: bit i is chunk i.
type ChunkSet uint64

// NewChunkSet returns the set of these indexes.
func NewChunkSet(indexes ...int) (s ChunkSet) {
	for _, i := range indexes {
		s |= 1 << i
	}
	return s
}

// Has reports whether the chunk is in the set.
func (s ChunkSet) Has(index int) bool { return s&(1<<index) != 0 }

// Indexes returns the chunks in ascending order.
func (s ChunkSet) Indexes() []int {
	list := make([]int, 0, bits.OnesCount64(uint64(s)))
	for ; s != 0; s &= s - 1 {
		list = append(list, bits.TrailingZeros64(uint64(s)))
	}
	return list
}

// Missing is the set of the chunks that are on no node.
func (p Part) Missing() (s ChunkSet) {
	for i, c := range p.Chunks {
		if c.Node.IsZero() {
			s |= 1 << i
		}
	}
	return s
}

const (
	// MaxPriority is the priority of the least urgent tasks. Parts that survive more failures than that have it, too.
	MaxPriority = 7
	// MaxReasons bounds the bytes of the reasons of a repair that were merged: what would exceed it is left out.
	MaxReasons = 500
)

// Task is queued work. The identity of a reclaim is (Kind, Chunk, Node). A repair is of a part, so that one read of its
// chunks rebuilds all that are lost: its identity is (Kind, Chunk.Part), Chunk.Index and Node are not used.
type Task struct {
	Kind     TaskKind
	Chunk    ChunkID
	Node     NodeID
	Chunks   ChunkSet      // of a repair: the chunks that may be lost
	Priority int           // of a repair: how many further node failures the part survives, 0..MaxPriority; package placement computes it
	Attempts int           // claims so far, this one included
	Term     uint64        // of the lease under which it was claimed; 0: it is not claimed
	Delay    time.Duration // of a reclaim, for Enqueue: how long no claim gets it; microseconds
	QueuedAt time.Time     // microseconds, UTC, store's clock
	Reason   string        // of the last Postpone, or of the Enqueues, separated by "; "; for a person
}

// Queued returns the task as a queue stores it, without what its kind does not use.
func (t Task) Queued() Task {
	if t.Kind != Repair {
		t.Chunks, t.Priority = 0, 0
		return t
	}
	t.Chunk.Index, t.Node, t.Priority, t.Delay = 0, NodeID{}, min(max(t.Priority, 0), MaxPriority), 0
	return t
}

// ClaimQuery asks for tasks.
type ClaimQuery struct {
	Kind  TaskKind
	Nodes []NodeID      // only reclaims on these nodes; nil: all
	Limit int           // 1..MaxListLimit
	Hold  time.Duration // claimed tasks stay hidden so long, then come back if not finished
	Term  uint64        // of the lease that the claimer holds; at least 1
}

// Urgent is how many of the Limit tasks are chosen by priority. The others, a quarter of the claim, are those that have
// been due the longest, so that none waits forever for more urgent ones. A claim of one task has only the most urgent.
func (q ClaimQuery) Urgent() int { return max(q.Limit-(q.Limit+3)/4, 1) }

// QueueDepth counts the tasks of a queue.
type QueueDepth struct {
	Tasks      int64
	Endangered int64 // those of priority 0: of the repairs, those of parts that survive no further failure
}

// Queues keeps work that must not be lost. A task is given to one
// claimer at a time, at least once: reclaims in the order in which they became due, repairs of the most endangered parts
// first (see ClaimQuery.Urgent), and of equal ones in that order. A claim is bound to the term
// of the claimer's lease: it ends after Hold, or as soon as a newer term takes over.
type Queues interface {
	// Enqueue adds tasks, due after their Delay. A reclaim that is queued already is not changed. A repair of a part that has one is merged
	// with it as placement.Merge says; where that adds chunks or urgency, and the task is not claimed, it is due at once. Chunks that are
	// added to a claimed repair, also those that its claimer works on, are left for the next claim.
	Enqueue(ctx context.Context, tasks []Task) error
	// Claim hides up to Limit due tasks for Hold and returns them, with the Term. Invalid (limits, or Nodes for repairs).
	Claim(ctx context.Context, q ClaimQuery) ([]Task, error)
	// TakeOver ends all claims of terms before this one: their tasks are due at once.
	TakeOver(ctx context.Context, term uint64) error
	// Unclaim ends all claims of the kind under this term: their tasks are due at once. It is for a claimer that works on no task
	// and may hold claims that it does not know of, because the answer of a Claim, Finish or Postpone was lost.
	Unclaim(ctx context.Context, kind TaskKind, term uint64) error
	// Finish removes tasks that are still claimed under Task.Term, and ignores the others. A repair to which chunks were added
	// since it was claimed stays queued with these, due at once.
	Finish(ctx context.Context, tasks []Task) error
	// Postpone makes tasks that are still claimed under Task.Term due again after the delay, and stores the Task.Reason of each.
	Postpone(ctx context.Context, tasks []Task, delay time.Duration) error
	// Hasten makes all postponed, unclaimed tasks of the kind due now: the reason for the delay may no longer hold.
	Hasten(ctx context.Context, kind TaskKind) error
	// Depth counts the tasks of a kind, hidden ones included. Its cost does not depend on their number.
	Depth(ctx context.Context, kind TaskKind) (QueueDepth, error)
}
