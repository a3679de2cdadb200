package store

import (
	"strings"
	"unicode/utf8"
)

// The kinds of events that the store appends itself.
const (
	EventNodeJoined   = "node.joined"  // a node that was not a member
	EventNodeChanged  = "node.changed" // its address, effective zone or effective weight, as it joined again
	EventNodeState    = "node.state"   // it was set to another state
	EventNodeDesired  = "node.desired" // its desired zone or weight was set or cleared
	EventBucketMade   = "bucket.created"
	EventBucketSet    = "bucket.changed"
	EventBucketGone   = "bucket.deleted"
	EventBucketDoc    = "bucket.document" // one of its configurations was set or removed
	EventKeyMade      = "key.created"
	EventKeyReplaced  = "key.replaced" // it took the place of the other keys with its note
	EventKeyGone      = "key.deleted"
	EventLeaseTaken   = "lease.taken" // by another owner than the last
	EventJobQueued    = "job.queued"
	EventJobWished    = "job.wished" // an operator wants it to run, pause or cancel
	EventJobStarted   = "job.started"
	EventJobResumed   = "job.resumed" // after a pause, or by another gateway
	EventJobPaused    = "job.paused"
	EventJobDone      = "job.done"
	EventJobFailed    = "job.failed"
	EventJobCanceled  = "job.canceled"
	maxEventKindBytes = 64
)

// Validate reports the first rule that the event breaks, as Invalid.
func (e Event) Validate() error {
	area, what, ok := strings.Cut(e.Kind, ".")
	bytes := 0
	for name, value := range e.Attrs {
		bytes += len(name) + len(value)
		if !cleanText(name) || !cleanText(value) {
			return Errorf(Invalid, "attribute %q of the event is not valid UTF-8, or has a NUL byte", clip(strings.ToValidUTF8(name, "�"), 64))
		}
	}
	switch {
	case !ok || area == "" || what == "" || len(e.Kind) > maxEventKindBytes || strings.Trim(e.Kind, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "":
		return Errorf(Invalid, "kind of event %q is not of the form area.happening", clip(e.Kind, maxEventKindBytes))
	case e.Severity.String() == "":
		return Errorf(Invalid, "severity %d is unknown", e.Severity)
	case len(e.Message) > MaxReason || len(e.Subject) > MaxKeyBytes || len(e.Caller) > MaxKeyBytes:
		return Errorf(Invalid, "message, subject or caller of the event is too long")
	case !cleanText(e.Message) || !cleanText(e.Subject) || !cleanText(e.Caller):
		return Errorf(Invalid, "a text of the event is not valid UTF-8, or has a NUL byte")
	case bytes > MaxEventAttrs:
		return Errorf(Invalid, "the attributes of the event have %d bytes, more than %d", bytes, MaxEventAttrs)
	}
	return nil
}

func cleanText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
