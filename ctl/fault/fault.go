// Package fault has the error type of s3ctl and the table from error kinds to exit codes. Errors of servers, files
// and flags all become *Error, so that the exit code tells a script, and the text tells a user, what to do next.
package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/proto/problem"
)

// Exit is an exit code of s3ctl. Scripts rely on the values: they may be added to, but not changed.
type Exit int

// The exit codes.
const (
	OK          Exit = 0
	Failed      Exit = 1
	Usage       Exit = 2
	NotFound    Exit = 3
	Denied      Exit = 4
	Conflict    Exit = 5
	Invalid     Exit = 6
	Unavailable Exit = 7
	NoSpace     Exit = 8
	Corrupt     Exit = 9
	Partial     Exit = 10
	Different   Exit = 11
	Interrupted Exit = 130
)

// Row is one line of the table of exit codes.
type Row struct {
	Exit    Exit
	Kinds   []problem.Kind // the kinds that end with Exit; their names are the code of a JSON error
	Meaning string
}

// Table is the table of exit codes, which `s3ctl help exit-codes` prints and docs/exit-codes.md lists.
func Table() []Row {
	return []Row{
		{OK, []problem.Kind{problem.OK}, "everything was done and verified"},
		{Failed, []problem.Kind{problem.Internal}, "an unexpected error: a defect, or an invalid answer of the server"},
		{Usage, []problem.Kind{problem.Usage}, "the command line is wrong; nothing was done"},
		{NotFound, []problem.Kind{problem.NotFound}, "a bucket, an object, a local file or a profile does not exist"},
		{Denied, []problem.Kind{problem.Denied}, "the access key, the permissions or a certificate do not allow it"},
		{Conflict, []problem.Kind{problem.Conflict, problem.Exists, problem.PreconditionFailed}, "it exists already, or its state does not allow it now"},
		{Invalid, []problem.Kind{problem.Invalid, problem.OutOfRange}, "a name, an address or a range is not valid"},
		{Unavailable, []problem.Kind{problem.Unavailable, problem.NoQuorum, problem.Canceled, problem.OutcomeUnknown}, "server, node or network unreachable after all retries; try again later"},
		{NoSpace, []problem.Kind{problem.NoSpace, problem.TooLarge}, "a disk or the cluster is full, or the file exceeds the limit"},
		{Corrupt, []problem.Kind{problem.Corrupt}, "bytes do not match their checksum"},
		{Partial, []problem.Kind{problem.Partial}, "some items succeeded and others failed; each failure was reported"},
		{Different, []problem.Kind{problem.Different}, "diff found differences"},
		{Interrupted, []problem.Kind{problem.Interrupted}, "ended by Ctrl-C, SIGTERM or the answer no; run it again to continue"},
	}
}

// MainKind returns the first kind of an exit code.
func MainKind(exit Exit) problem.Kind {
	for _, row := range Table() {
		if row.Exit == exit {
			return row.Kinds[0]
		}
	}
	return problem.Internal
}

// Error is a failure, described for a script (Kind) and for a user (the other fields).
type Error struct {
	Kind problem.Kind
	Item string // the address or path that failed; may be empty
	Msg  string // the cause; may be empty if Err has it
	Hint string // the next step, often a command; one or more lines; may be empty
	Said string // the server's hint, which is shown as the server's and never as s3ctl's own; may be empty
	Err  error  // may be nil

	Away       bool          // no answer came: the server does not run, or the network is down
	RetryAfter time.Duration // how long the server asks to wait before a retry; 0 if it does not say
}

// Error returns "item: message: cause".
func (e *Error) Error() string {
	parts := []string{e.Item, e.Msg}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return cmp.Or(strings.Join(parts, ": "), e.Kind.Error())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of a kind with a message.
func New(kind problem.Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}

// WithHint sets the next step and returns the error.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Wrap classifies err and names the item that failed. Wrap(…, nil) is nil.
func Wrap(item string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Kind: KindOf(err), Item: item, Hint: HintOf(err), Err: err}
	// The item repeats operation and path: "open a.txt: no such file" becomes "no such file".
	if p, ok := err.(*fs.PathError); ok { //nolint:errorlint // only the outermost repeats the item
		e.Err = p.Err
	}
	return e
}

// Local classifies an error of the local file system and removes operation and path from its text. Local(nil) is nil.
func Local(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Kind: KindOf(err), Err: err}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		e.Err = p.Err
	}
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
		e.Hint = "there is a file where a folder is needed: the two keys cannot both be stored here"
	}
	return e
}

// KindOf returns the kind of the outermost Error in err's chain, or classifies an error of the operating system.
// KindOf(nil) is problem.OK.
func KindOf(err error) problem.Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	switch {
	case err == nil:
		return problem.OK
	case errors.Is(err, context.Canceled):
		return problem.Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return problem.Unavailable
	case errors.Is(err, fs.ErrNotExist):
		return problem.NotFound
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return problem.Conflict
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return problem.Denied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return problem.NoSpace
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EILSEQ):
		return problem.Invalid
	}
	return problem.Internal
}

// ExitOf returns the exit code for err; that of an unlisted kind is Failed. ExitOf(nil) is OK.
func ExitOf(err error) Exit {
	kind := KindOf(err)
	for _, row := range Table() {
		if slices.Contains(row.Kinds, kind) {
			return row.Exit
		}
	}
	return Failed
}

// NextOf returns the next step after err: its own hint, or the one for its kind. "" if the server gave a hint, or there is
// nothing to do.
func NextOf(err error) string {
	if hint := HintOf(err); hint != "" || SaidOf(err) != "" {
		return hint
	}
	if _, ours := errors.AsType[syscall.Errno](err); ours || errors.Is(err, fs.ErrNotExist) {
		return localNext[KindOf(err)]
	}
	return next[KindOf(err)]
}

// next are the hints for errors without one.
var next = map[problem.Kind]string{
	problem.Internal:           "please report this with the command, this message and the output of: s3ctl version",
	problem.NotFound:           "s3ctl ls    lists what exists",
	problem.Denied:             "s3ctl profile show    shows which server and key are in use",
	problem.Conflict:           "check the present state: s3ctl stat, or s3ctl ls",
	problem.Exists:             "choose another name, or use the existing one",
	problem.Invalid:            "s3ctl help addresses    explains how objects are named",
	problem.OutOfRange:         "s3ctl stat    shows the size",
	problem.Unavailable:        "try again later; s3ctl profile show shows which server is in use",
	problem.NoQuorum:           "try again when more nodes are reachable",
	problem.Canceled:           "try again",
	problem.OutcomeUnknown:     "it may have succeeded: s3ctl stat or s3ctl ls shows the present state",
	problem.NoSpace:            "remove what is not needed, or add storage",
	problem.TooLarge:           "store it in several objects",
	problem.Corrupt:            "try again; if it happens again, s3ctl stat shows where the bytes are stored",
	problem.PreconditionFailed: "read the object again with s3ctl stat, then decide",
}

// localNext are the hints for errors of the local system.
var localNext = map[problem.Kind]string{
	problem.NotFound: "check the path; a relative one is relative to the current folder",
	problem.Denied:   "check the permissions of the file and its parent folders",
	problem.Conflict: "choose another path, or move the existing file away",
	problem.NoSpace:  "free some space on that disk, or choose a folder on another",
	problem.Invalid:  "choose a shorter or simpler name",
	problem.Internal: "check the disk and the path; the message is from the operating system",
}

// SaidOf returns the server's hint of the first error in err's chain that has one, or "".
func SaidOf(err error) string {
	said := ""
	for ; err != nil && said == ""; err = errors.Unwrap(err) {
		if e, ok := err.(*Error); ok { //nolint:errorlint // the loop walks the chain itself
			said = e.Said
		}
	}
	return said
}

// HintOf returns the first hint in err's chain, or "".
func HintOf(err error) string {
	hint := ""
	for ; err != nil && hint == ""; err = errors.Unwrap(err) {
		if e, ok := err.(*Error); ok { //nolint:errorlint // the loop walks the chain itself
			hint = e.Hint
		} else if h, ok := err.(interface{ Hint() string }); ok {
			hint = h.Hint()
		}
	}
	return hint
}
