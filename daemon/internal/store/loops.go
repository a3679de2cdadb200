package store

import (
	"context"
	"slices"
	"time"
)

// LoopProgress is what a leader says of one of its loops.
type LoopProgress struct {
	Name     string
	State    string        // name of an upkeep.State
	Steps    int64         // that succeeded, since the leader's process started; so are the other counters
	Items    int64         // units of work that were finished
	Bytes    int64         // that were written or removed, where the loop counts them
	Failures int64         // steps that failed
	Cost     time.Duration // average duration of a busy step
	Idle     time.Duration // since its last step ended, at the time of the report; negative: none has ended
	Error    string        // of the last step, if it failed
}

// LoopReport is the state of all loops of the cluster.
type LoopReport struct {
	Owner string // gateway that runs the loops
	Term  uint64 // of its lease; 0: there has been no report
	Loops []LoopProgress
	Age   time.Duration // since it was saved, by the store's clock; set by the store
}

// Loops is what the gateways know of the loops, which one of them runs, and how the others wake them. It changes every few
// seconds, and only the last report is kept.
type Loops interface {
	// SaveLoops replaces the report. Conflict: a later term has saved one. Invalid (no term).
	SaveLoops(ctx context.Context, r LoopReport) error
	// LoopReport returns the report of the highest term, with the loops by name. Without a report it is zero.
	LoopReport(ctx context.Context) (LoopReport, error)
	// WakeLoops counts one wake-up for each of the loops, because there is work for them. Invalid (no name, or one of more than 64 bytes).
	WakeLoops(ctx context.Context, names []string) error
	// Wakeups returns the counts of wake-ups by loop. A count never decreases: the leader compares it with the last one that it read.
	Wakeups(ctx context.Context) (map[string]uint64, error)
}

// Validate reports the first rule that the report breaks, as Invalid.
func (r LoopReport) Validate() error {
	if r.Term == 0 {
		return Errorf(Invalid, "a report of loops needs the term of a lease")
	}
	names := make([]string, len(r.Loops))
	for i, l := range r.Loops {
		names[i] = l.Name
	}
	slices.Sort(names)
	if len(slices.Compact(names)) < len(r.Loops) {
		return Errorf(Invalid, "two loops of the report have the same name")
	}
	return ValidLoops(names)
}

// ErrLaterReport is the error of a report after one of a later term.
func ErrLaterReport(term uint64) error {
	return Errorf(Conflict, "a later leader than that of term %d has reported", term)
}

// maxLoopName bounds the name of a loop, in bytes.
const maxLoopName = 64

// ValidLoops reports a name that no loop can have, as Invalid.
func ValidLoops(names []string) error {
	for _, n := range names {
		if n == "" || len(n) > maxLoopName {
			return Errorf(Invalid, "a loop cannot be named %q", clip(n, maxLoopName))
		}
	}
	return nil
}
