// Package problem has the kinds of errors that gateways, storage nodes and clients share. A kind is what programs act on:
// it travels by name in REST problem documents (as code), in gRPC errors and in the JSON output of s3ctl, and decides about
// HTTP status, gRPC code, retries and exit codes.
//
// Only the standard library is used, so that the domain and every client may import this package.
package problem

import "strings"

// Kind is a kind of error. The values and names are stable: kinds are added at the end of their group, and none is changed.
type Kind uint8

// The kinds of failed requests.
const (
	Internal           Kind = iota // a defect or an unexpected answer; also every unclassified error
	NotFound                       // the named thing does not exist
	Exists                         // a thing of that name exists already
	Conflict                       // the state does not allow it now, or another caller was first
	Invalid                        // the request itself is wrong; repeating it cannot help
	Denied                         // the caller is unknown or may not do this
	Corrupt                        // bytes do not match their checksum
	NoQuorum                       // too few nodes stored the data for it to be safe
	NoSpace                        // the disk or the cluster is full
	Unavailable                    // a node, the database or a gateway cannot be reached; try again
	Canceled                       // the caller disconnected or ran out of time
	TooLarge                       // over a stated limit
	OutOfRange                     // a range that the file does not have
	OutcomeUnknown                 // the answer of a step that changes state was lost; it may have happened or may still be decided
	PreconditionFailed             // the condition of the request does not hold; nothing was changed

	kinds // how many there are
)

// The kinds of results that only a program on the user's side has. They never travel in a request or an answer.
const (
	OK          Kind = 128 + iota // no error
	Usage                         // the command line is wrong
	Partial                       // some items succeeded and others failed
	Different                     // a comparison found differences
	Interrupted                   // the user or a signal ended it
)

var names = [kinds]string{
	"internal", "not_found", "exists", "conflict", "invalid", "denied", "corrupt", "no_quorum",
	"no_space", "unavailable", "canceled", "too_large", "out_of_range", "outcome_unknown",
	"precondition_failed",
}

var localNames = [...]string{"ok", "usage", "partial", "different", "interrupted"}

// Kinds lists the kinds of failed requests.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String returns the stable name in lower case; that of an unknown kind is "internal".
func (k Kind) String() string {
	switch local := int(k) - int(OK); {
	case k < kinds:
		return names[k]
	case local >= 0 && local < len(localNames):
		return localNames[local]
	}
	return names[Internal]
}

// Error makes a Kind a target of errors.Is: errors.Is(err, problem.NotFound).
func (k Kind) Error() string { return strings.ReplaceAll(k.String(), "_", " ") }

// Parse returns the kind of a failed request by its name. An unknown name is Internal, and so is that of a kind that never
// travels: no server can claim that the user interrupted a command.
func Parse(name string) Kind {
	for k, n := range names {
		if n == name {
			return Kind(k)
		}
	}
	return Internal
}
