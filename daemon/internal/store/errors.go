package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ringstore/ringstore/proto/problem"
)

// Kind classifies an error for programs. The kinds and their names are shared with the clients.
type Kind = problem.Kind

// The kinds; see package problem. One table each maps them to REST and gRPC.
const (
	Internal           = problem.Internal
	NotFound           = problem.NotFound
	Exists             = problem.Exists
	Conflict           = problem.Conflict
	Invalid            = problem.Invalid
	Denied             = problem.Denied
	Corrupt            = problem.Corrupt
	NoQuorum           = problem.NoQuorum
	NoSpace            = problem.NoSpace
	Unavailable        = problem.Unavailable
	Canceled           = problem.Canceled
	TooLarge           = problem.TooLarge
	OutOfRange         = problem.OutOfRange
	OutcomeUnknown     = problem.OutcomeUnknown
	PreconditionFailed = problem.PreconditionFailed
)

// ParseKind is the inverse of Kind.String; an unknown name is Internal.
func ParseKind(name string) Kind { return problem.Parse(name) }

// Error is the only error type of the domain. Adapters translate the errors of their
// libraries into it in one place.
type Error struct {
	Op   string // "package.Operation" that failed, may be empty
	Kind Kind
	Item string // the bucket, key, chunk id or node concerned; may be empty
	Msg  string // cause in words, for a person; may be empty when Err states it
	Hint string // the next step for that person, a full sentence; may be empty
	Err  error  // the cause, may be nil

	Limit      string        // stable name of the limit that was hit, such as "write_memory"; empty when no limit was hit
	RetryAfter time.Duration // when a retry may succeed; 0 when that is not known
}

// Error returns "op: item: message: cause". Callers that show errors to people show the hint separately.
func (e *Error) Error() string {
	var parts []string
	for _, s := range [...]string{e.Op, e.Item, e.Msg} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Err != nil {
		if text := e.Err.Error(); text != "" {
			parts = append(parts, text)
		}
	}
	if e.Msg == "" && e.Err == nil {
		parts = append(parts, e.Kind.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's Kind, so that errors.Is(err, store.NotFound) works.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Errorf returns an Error of the kind with a message; %w keeps a cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Msg: err.Error(), Err: quiet(errors.Unwrap(err))}
}

// quiet keeps a cause for errors.Is and errors.As whose text is in the message already.
func quiet(err error) error {
	if err == nil {
		return nil
	}
	return silent{err}
}

type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// WithHint returns the error with the next step for a person.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithLimit returns the error with the name of the limit that was hit and the time after which
// a retry may succeed. Clients receive both: the name is stable, lower case, with underscores.
func (e *Error) WithLimit(name string, retryAfter time.Duration) *Error {
	e.Limit, e.RetryAfter = name, retryAfter
	return e
}

// WithItem returns the error with the item concerned.
func (e *Error) WithItem(item fmt.Stringer) *Error {
	e.Item = item.String()
	return e
}

// KindOf returns the kind of the outermost Error in err's chain. Ended contexts
// are Canceled, anything else that is not nil is Internal. KindOf(nil) panics:
// there is no kind of success.
func KindOf(err error) Kind {
	if err == nil {
		panic("store.KindOf(nil)")
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Canceled
	}
	return Internal
}

// HintOf returns the first hint in err's chain, or "".
func HintOf(err error) string {
	return first(err, func(e *Error) string { return e.Hint })
}

// LimitOf returns the first limit in err's chain, or "".
func LimitOf(err error) string {
	return first(err, func(e *Error) string { return e.Limit })
}

// RetryAfterOf returns the first RetryAfter in err's chain, or 0.
func RetryAfterOf(err error) time.Duration {
	return first(err, func(e *Error) time.Duration { return e.RetryAfter })
}

// first returns the first value that is not zero among the Errors of err's chain.
func first[T comparable](err error, field func(*Error) T) (zero T) {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return zero
		}
		if v := field(e); v != zero {
			return v
		}
		err = e.Err
	}
	return zero
}
