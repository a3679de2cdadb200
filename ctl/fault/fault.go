// Package fault holds the errors of s3ctl and the one table that turns them
// into exit codes. Servers, files and flags all fail as *Error here, so that a
// script learns from the exit code, and a person from the text, what to do next.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// Exit is a code that s3ctl ends with. Scripts rely on the values: add new
// ones, change none.
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
	Kinds   []string // the values of `code` in a problem document or a JSON error that end so
	Meaning string
}

// Table is the one table of exit codes: what s3ctl ends with, what
// `s3ctl help exit-codes` prints and what docs/exit-codes.md lists.
func Table() []Row {
	return []Row{
		{OK, []string{"ok"}, "everything that was asked for was done and verified"},
		{Failed, []string{"internal"}, "an unexpected error: a defect, or an answer that makes no sense"},
		{Usage, []string{"usage"}, "the command line is wrong; nothing was tried"},
		{NotFound, []string{"not_found"}, "a bucket, an object, a local file or a profile does not exist"},
		{Denied, []string{"denied"}, "the access key, the permissions or a certificate do not allow it"},
		{Conflict, []string{"conflict", "exists"}, "it exists already, or its state does not allow it now"},
		{Invalid, []string{"invalid", "out_of_range"}, "a name, an address or a range is not a possible one"},
		{Unavailable, []string{"unavailable", "no_quorum", "canceled", "outcome_unknown"}, "server, node or network away after all retries; try again later"},
		{NoSpace, []string{"no_space", "too_large"}, "a disk or the cluster is full, or the file is over the limit"},
		{Corrupt, []string{"corrupt"}, "bytes do not match their checksum"},
		{Partial, []string{"partial"}, "some items were done, others failed; each failure was reported"},
		{Different, []string{"different"}, "diff found differences"},
		{Interrupted, []string{"interrupted"}, "ended by Ctrl-C, SIGTERM or a no to a question; run it again to go on"},
	}
}

// exitOf finds the exit code of a kind; an unknown one is Failed.
func exitOf(kind string) Exit {
	for _, row := range Table() {
		for _, k := range row.Kinds {
			if k == kind {
				return row.Exit
			}
		}
	}
	return Failed
}

// NameOf gives the first kind that ends with this exit code.
func NameOf(exit Exit) string {
	for _, row := range Table() {
		if row.Exit == exit {
			return row.Kinds[0]
		}
	}
	return "internal"
}

// Error is what went wrong, for a script (Kind) and for a person (the rest).
type Error struct {
	Kind string // one of the kinds in Table
	Item string // what it was about: an address, a path; may be empty
	Msg  string // the cause; may be empty when Err says it
	Hint string // the next step, often a command; lines; may be empty
	Said string // what a server says to do, in its own words: shown as such, and never as a step of ours; may be empty
	Err  error  // may be nil

	RetryAfter time.Duration // how long the server asks to wait before another try; 0 if it did not say
}

// Error gives "item: message: cause".
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{e.Item, e.Msg} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		return strings.ReplaceAll(e.Kind, "_", " ")
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind with a message.
func New(kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}

// WithHint returns the error with the next step for a person.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Wrap names the item that err was about and classifies err. Wrap(…, nil) is nil.
func Wrap(item string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Item: item, Hint: HintOf(err), Err: brief(err)}
}

// brief drops the parts of a file error that repeat the item: "open a.txt: no
// such file" becomes "no such file".
func brief(err error) error {
	if p, ok := err.(*fs.PathError); ok { //nolint:errorlint // only the outermost says it twice
		return p.Err
	}
	return err
}

// KindOf gives the kind of the outermost Error in err's chain, or classifies
// what the operating system said. KindOf(nil) is "ok".
func KindOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return "unavailable"
	case errors.Is(err, fs.ErrNotExist):
		return "not_found"
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return "conflict"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "denied"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return "no_space"
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EILSEQ):
		return "invalid"
	}
	return "internal"
}

// ExitOf gives the exit code for err. ExitOf(nil) is OK.
func ExitOf(err error) Exit { return exitOf(KindOf(err)) }

// NextOf gives the next step after err: the one that it names, or what helps with most
// errors of its kind. "" where what to do was said before, also by the server, or there is nothing to do.
func NextOf(err error) string {
	if hint := HintOf(err); hint != "" || SaidOf(err) != "" {
		return hint
	}
	if _, ours := errors.AsType[syscall.Errno](err); ours || errors.Is(err, fs.ErrNotExist) {
		return localNext[KindOf(err)]
	}
	return next[KindOf(err)]
}

// next are the steps after errors that name none.
var next = map[string]string{
	"internal":        "s3ctl version    please report this, with the command and this message",
	"not_found":       "s3ctl ls    shows what is there",
	"denied":          "s3ctl profile show    says which server and key are in use",
	"conflict":        "look at it first: s3ctl stat, or s3ctl ls",
	"exists":          "choose another name, or use the one that is there",
	"invalid":         "s3ctl help addresses    says how things are named",
	"out_of_range":    "s3ctl stat    shows the size",
	"unavailable":     "try again later; s3ctl profile show says which server is in use",
	"no_quorum":       "try again when more nodes are back",
	"canceled":        "try again",
	"outcome_unknown": "it may have happened: s3ctl stat or s3ctl ls shows what is there now",
	"no_space":        "remove what is not needed, or have storage added",
	"too_large":       "store it in several objects",
	"corrupt":         "try again; if it stays so, s3ctl stat shows where the bytes are",
}

// localNext are those after errors of the local system.
var localNext = map[string]string{
	"not_found": "check the path; a relative one begins in the current folder",
	"denied":    "check the permissions of the file and of the folders on the way to it",
	"conflict":  "choose another path, or move away what is there",
	"no_space":  "free space on that disk, or choose a folder on another",
	"invalid":   "choose a shorter or plainer name",
	"internal":  "check the disk and the path; the message is the system's",
}

// SaidOf gives what a server says to do, of the first error in err's chain that has it, or "".
func SaidOf(err error) string {
	for err != nil {
		if e, ok := err.(*Error); ok && e.Said != "" { //nolint:errorlint // the loop walks the chain itself
			return e.Said
		}
		err = errors.Unwrap(err)
	}
	return ""
}

// HintOf gives the first next step in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		if e, ok := err.(*Error); ok && e.Hint != "" { //nolint:errorlint // the loop walks the chain itself
			return e.Hint
		}
		if h, ok := err.(interface{ Hint() string }); ok {
			return h.Hint()
		}
		err = errors.Unwrap(err)
	}
	return ""
}
