package store

import (
	"strconv"
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

// JoinedEvent tells that the node joined.
func (n Node) JoinedEvent() Event {
	return n.event(EventNodeJoined, "Node "+n.Name+" joined.")
}

// ChangedEvent tells that the node has another address, zone or weight.
func (n Node) ChangedEvent() Event {
	return n.event(EventNodeChanged, "Node "+n.Name+" joined again with another address, zone or weight.")
}

func (n Node) event(kind, message string) Event {
	attrs := map[string]string{"name": CutText(n.Name), "address": CutText(n.Address), "zone": CutText(n.Zone)}
	return Event{Kind: kind, Subject: n.ID.String(), Message: CutText(message), Attrs: attrs}
}

// NodeStateEvent tells that the node was set to another state.
func NodeStateEvent(id NodeID, s NodeState, caller string) Event {
	e := Event{Kind: EventNodeState, Subject: id.String(), Message: "Node " + id.String() + " is " + s.String() + " now.", Attrs: map[string]string{"state": s.String()}, Caller: caller}
	if s == NodeRemoved {
		e.Severity = Warning
	}
	return e
}

// NodeDesiredEvent tells what is desired of the node now; its attributes hold what is set.
func NodeDesiredEvent(id NodeID, d Desired, caller string) Event {
	e := Event{Kind: EventNodeDesired, Subject: id.String(), Message: "The desired zone or weight of node " + id.String() + " was changed.", Attrs: map[string]string{}, Caller: caller}
	if d.Zone != nil {
		e.Attrs["zone"] = *d.Zone
	}
	if d.Weight != nil {
		e.Attrs["weight"] = strconv.Itoa(*d.Weight)
	}
	return e
}

// BucketEvent tells of a change of the bucket, by one of the kinds of its events.
func BucketEvent(kind string, name BucketName, caller string) Event {
	_, what, _ := strings.Cut(kind, ".")
	return Event{Kind: kind, Subject: name.String(), Message: "Bucket " + name.String() + " was " + what + ".", Caller: caller}
}

// KeyEvent tells of a change of the access key, by one of the kinds of its events. It holds no secret.
func KeyEvent(kind, accessKey, note, caller string) Event {
	_, what, _ := strings.Cut(kind, ".")
	e := Event{Kind: kind, Subject: accessKey, Message: CutText("Access key " + accessKey + " was " + what + "."), Caller: caller}
	if kind == EventKeyReplaced {
		e.Message = CutText("Access key " + accessKey + " took the place of the others with its note.")
	}
	if note != "" {
		e.Attrs = map[string]string{"note": CutText(note)}
	}
	return e
}

// LeaseEvent tells that the lease has another owner.
func LeaseEvent(name, owner string) Event {
	return Event{Kind: EventLeaseTaken, Subject: name, Message: CutText("Lease " + name + " is held by " + owner + " now."), Attrs: map[string]string{"owner": owner}}
}

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

// CutText shortens a text to at most MaxReason bytes, at the border of a character, and makes it valid UTF-8 without NUL.
func CutText(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) <= MaxReason {
		return s
	}
	s = s[:MaxReason-len("…")]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
