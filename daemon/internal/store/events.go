package store

import (
	"context"
	"time"
)

// EventSeq numbers the events from 1 in the order in which they were committed, without gaps.
type EventSeq uint64

// Severity says how urgent an event is. Values are stored: add at the end.
type Severity uint8

// The severities.
const (
	Info    Severity = iota // it is as it should be
	Warning                 // someone should look at it soon
	Failure                 // something did not work
)

var severityNames = [...]string{"info", "warning", "error"}

// String gives the name that operators see.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return ""
}

// Event tells operators what happened in the cluster. Changes of objects are no events: see Changes.
type Event struct {
	Seq      EventSeq
	At       time.Time // microseconds, UTC, store's clock
	Kind     string    // such as node.joined: see the Event constants
	Severity Severity
	Subject  string            // what it is about: the id of a node or a job, the name of a bucket, a lease or an access key
	Message  string            // a sentence for a person; at most MaxReason bytes
	Attrs    map[string]string // for programs; at most MaxEventAttrs bytes in all
	Caller   string            // access key of the client; "" for an anonymous or internal caller
}

// MaxEventAttrs bounds the names and values of an event's attributes together.
const MaxEventAttrs = 4096

// EventPage is one page of events, by Seq.
type EventPage struct {
	Events []Event
	Head   EventSeq // of the newest event at the time of the call; 0: there was none so far
}

// Events is the record of what happened in the cluster. The store appends an event in the step that it tells of: a node
// joined or changed, a state of a node was set, a bucket or an access key was created, changed or deleted, a lease got
// another owner, a job changed its state. An event is visible exactly when what it tells of is.
type Events interface {
	// AppendEvent appends an event for which the store has no step of its own. Of e, Seq and At are set by the store. It is
	// durable when it returns. Invalid. Repeating it after a lost answer may append it twice.
	AppendEvent(ctx context.Context, e Event) (EventSeq, error)
	// EventsAfter returns up to limit events (1..MaxListLimit) that follow the number, the oldest first. An event that is
	// committed later has a higher number than all that were returned, so a reader that continues after the last one misses
	// nothing, however transactions overlap. NotFound: events after the number were trimmed; continue from the number before
	// the oldest one that is left, which the error's hint names.
	EventsAfter(ctx context.Context, after EventSeq, limit int) (EventPage, error)
	// TrimEvents removes up to limit events (1..MaxListLimit) that the retention does not keep, the oldest first.
	TrimEvents(ctx context.Context, keep Retention, limit int) (trimmed int, err error)
}

// ErrEventsTrimmed is the error of a reader that continues before the oldest event that is left.
func ErrEventsTrimmed(after, trimmed EventSeq) error {
	return Errorf(NotFound, "the events after %d are not kept any more", after).WithHint("Continue after event %d, the last that was removed.", trimmed)
}
