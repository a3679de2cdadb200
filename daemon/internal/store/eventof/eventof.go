// Package eventof makes the events that the store appends itself, so that all implementations tell the same.
package eventof

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// NodeJoined tells that the node joined.
func NodeJoined(n store.Node) store.Event {
	return ofNode(n, store.EventNodeJoined, "Node "+n.Name+" joined.")
}

// NodeChanged tells that the node has another address, zone or weight.
func NodeChanged(n store.Node) store.Event {
	return ofNode(n, store.EventNodeChanged, "Node "+n.Name+" joined again with another address, zone or weight.")
}

func ofNode(n store.Node, kind, message string) store.Event {
	attrs := map[string]string{"name": Cut(n.Name), "address": Cut(n.Address), "zone": Cut(n.Zone)}
	return store.Event{Kind: kind, Subject: n.ID.String(), Message: Cut(message), Attrs: attrs}
}

// NodeState tells that the node was set to another state.
func NodeState(id store.NodeID, s store.NodeState, caller string) store.Event {
	e := store.Event{Kind: store.EventNodeState, Subject: id.String(), Message: "Node " + id.String() + " is " + s.String() + " now.", Attrs: map[string]string{"state": s.String()}, Caller: caller}
	if s == store.NodeRemoved {
		e.Severity = store.Warning
	}
	return e
}

// NodeDesired tells what is desired of the node now; its attributes hold what is set.
func NodeDesired(id store.NodeID, d store.Desired, caller string) store.Event {
	e := store.Event{Kind: store.EventNodeDesired, Subject: id.String(), Message: "The desired zone or weight of node " + id.String() + " was changed.", Attrs: map[string]string{}, Caller: caller}
	if d.Zone != nil {
		e.Attrs["zone"] = *d.Zone
	}
	if d.Weight != nil {
		e.Attrs["weight"] = strconv.Itoa(*d.Weight)
	}
	return e
}

// Bucket tells of a change of the bucket, by one of the kinds of its events.
func Bucket(kind string, name store.BucketName, caller string) store.Event {
	_, what, _ := strings.Cut(kind, ".")
	return store.Event{Kind: kind, Subject: name.String(), Message: "Bucket " + name.String() + " was " + what + ".", Caller: caller}
}

// Document tells that a configuration of a bucket was set or removed. It does not hold the configuration.
func Document(c store.DocumentChange) store.Event {
	what := "set"
	if c.Body == nil {
		what = "removed"
	}
	return store.Event{
		Kind: store.EventBucketDoc, Subject: c.Bucket.String(), Message: "The " + string(c.Kind) + " configuration of bucket " + c.Bucket.String() + " was " + what + ".",
		Attrs: map[string]string{"kind": string(c.Kind)}, Caller: c.Caller,
	}
}

// Key tells of a change of the access key, by one of the kinds of its events. It holds no secret.
func Key(kind, accessKey, note, caller string) store.Event {
	_, what, _ := strings.Cut(kind, ".")
	e := store.Event{Kind: kind, Subject: accessKey, Message: Cut("Access key " + accessKey + " was " + what + "."), Caller: caller}
	if kind == store.EventKeyReplaced {
		e.Message = Cut("Access key " + accessKey + " took the place of the others with its note.")
	}
	if note != "" {
		e.Attrs = map[string]string{"note": Cut(note)}
	}
	return e
}

// Lease tells that the lease has another owner.
func Lease(name, owner string) store.Event {
	return store.Event{Kind: store.EventLeaseTaken, Subject: name, Message: Cut("Lease " + name + " is held by " + owner + " now."), Attrs: map[string]string{"owner": owner}}
}

// Cut shortens a text to at most store.MaxReason bytes, at the border of a character, and makes it valid UTF-8 without NUL.
func Cut(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) <= store.MaxReason {
		return s
	}
	s = s[:store.MaxReason-len("…")]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
