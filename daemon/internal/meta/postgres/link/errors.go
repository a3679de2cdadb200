package link

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SQLSTATE codes that concern the connection, by the names of PostgreSQL's appendix A.
const (
	stateQueryCanceled        = "57014"
	stateReadOnly             = "25006"
	stateInvalidPassword      = "28P01"
	stateInvalidAuthorization = "28000"
	stateNoDatabase           = "3D000"
	stateShutdown             = "57P01"
	stateCrash                = "57P02"
	stateCannotConnectNow     = "57P03"
	stateTooManyConnections   = "53300"
	stateUnknownStatement     = "26000" // a prepared statement
	stateStatementExists      = "42P05" // a prepared statement
	stateNotSupported         = "0A000"
	stateDiskFull             = "53100"
	stateProtocolViolation    = "08P01" // poolers use it for all their errors
)

// routineStalePlan is the server routine that refuses a prepared statement whose result types
// a change of the schema has changed. Other errors share its code, and its message is translated.
const routineStalePlan = "RevalidateCachedQuery"

// Classes are the first two characters of a code.
const (
	classConnection = "08"
	classResources  = "53" // too many connections, out of memory
	classOperator   = "57" // shutdown, crash recovery, starting up
	classSystem     = "58" // I/O error
)

const (
	hintAway  = "Check that PostgreSQL runs and is reached at the address of --database; calls succeed again by themselves once it is."
	hintWait  = "Wait until it is up; calls succeed again by themselves then."
	hintLost  = "Look at what the call changed, then try again; if it stays so, check PostgreSQL's log and the network to it."
	hintRetry = "Try again."
)

// ErrClosed is the error of calls on a closed store.
var ErrClosed = errors.New("the metadata store is closed")

// unmade is the error of a connection that could not be made: nothing was sent.
type unmade struct{ error }

// Unwrap returns the reason.
func (e *unmade) Unwrap() error { return e.error }

// errBusy is the error of calls that found no free connection in time.
var errBusy = errors.New("all connections to the database are in use")

// errRolledBack is the error of a transaction whose COMMIT was answered with ROLLBACK: it did not happen.
var errRolledBack = errors.New("the database rolled the transaction back")

// Explain translates err where it concerns the connection or the server as a whole and not the
// statement; otherwise it returns nil.
func Explain(err error) *store.Error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return explainState(e)
	}
	switch {
	case errors.Is(err, ErrClosed):
		return store.Errorf(store.Unavailable, "%w", err)
	case errors.Is(err, errBusy):
		return store.Errorf(store.Unavailable, "%w", err).WithHint("Raise the number of connections, or lower the load.")
	case errors.Is(err, errRolledBack):
		return store.Errorf(store.Unavailable, "%w", err).WithHint(hintRetry)
	case isUnmade(err):
		return store.Errorf(store.Unavailable, "cannot connect to the database: %w", err).WithHint(hintAway)
	case isTimeout(err):
		return store.Errorf(store.Unavailable, "the database did not answer in time: %w", err).WithHint(hintLost)
	case isConnectionLoss(err):
		return store.Errorf(store.Unavailable, "the connection to the database was lost: %w", err).WithHint(hintLost)
	}
	return nil
}

func explainState(e *pgconn.PgError) *store.Error {
	switch e.Code {
	case stateQueryCanceled:
		return store.Errorf(store.Unavailable, "the database took too long: %w", e).WithHint("Try again; if it stays so, look at the load of the database.")
	case stateReadOnly:
		return store.Errorf(store.Unavailable, "the database is read-only, perhaps a standby: %w", e).
			WithHint("Add target_session_attrs=read-write to --database, with all its hosts.")
	case stateInvalidPassword, stateInvalidAuthorization, stateNoDatabase:
		return store.Errorf(store.Unavailable, "the database refuses the connection: %w", e).WithHint("Check user, password and database name in --database.")
	case stateShutdown, stateCrash:
		return store.Errorf(store.Unavailable, "the database was stopped or restarted during the call: %w", e).WithHint(hintLost)
	case stateCannotConnectNow:
		return store.Errorf(store.Unavailable, "the database is starting, in recovery or stopping: %w", e).WithHint(hintWait)
	case stateTooManyConnections:
		return store.Errorf(store.Unavailable, "the database takes no more connections: %w", e).
			WithHint("Raise max_connections of PostgreSQL, or lower pool_max_conns in --database.")
	case stateUnknownStatement, stateStatementExists:
		return store.Errorf(store.Unavailable, "a prepared statement is not what it was: %w", e).
			WithHint("A pooler that does not show itself is between: add default_query_exec_mode=cache_describe to --database.")
	case stateProtocolViolation:
		if strings.Contains(e.Message, "startup parameter") {
			return store.Errorf(store.Invalid, "the connection pooler refuses a parameter of --database: %w", e).
				WithHint("Leave the parameter out of --database, or name it in the pooler's ignore_startup_parameters.")
		}
	}
	if e.Code == stateDiskFull {
		return nil // the caller can do something about it
	}
	if isRefused(e) {
		return store.Errorf(store.Unavailable, "the database's schema changes: %w", e).WithHint(hintRetry)
	}
	switch e.Code[:min(2, len(e.Code))] {
	case classConnection, classResources, classOperator, classSystem:
		return store.Errorf(store.Unavailable, "the database cannot serve now: %w", e).WithHint(hintAway)
	}
	return nil
}

// isUnmade reports whether no connection could be made, so that nothing was sent.
func isUnmade(err error) bool {
	if _, ok := errors.AsType[*unmade](err); ok {
		return true
	}
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// isTimeout reports whether the server did not answer within a limit of this package.
func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && e.Timeout()
}

// unstarted is the error of a transaction of which the server executed nothing: it announced the end of the connection (57P01) before
// any answer. Answers are sent in the order of execution, so that of BEGIN would have come before the notice.
type unstarted struct{ err error }

func (u *unstarted) Error() string { return u.err.Error() }

func (u *unstarted) Unwrap() error { return u.err }

func isUnstarted(err error) bool {
	_, ok := errors.AsType[*unstarted](err)
	return ok
}

// isLost reports whether the connection was lost during the call. What was sent on it may have happened or not: the server
// may end a connection (57P01) between a commit and its acknowledgement.
func isLost(err error) bool { return err != nil && IsAway(err) && !isUnmade(err) }

// isRefused reports whether the server refused a statement, and so rolled the whole pipeline back, because of
// what it had cached for this connection, or because it is a standby now. Another connection may succeed.
func isRefused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || isUnmade(err) {
		return false
	}
	switch e.Code {
	case stateUnknownStatement, stateStatementExists, stateReadOnly:
		return true
	case stateNotSupported:
		return e.Routine == routineStalePlan
	}
	return false
}

// isConnectionLoss reports whether the connection broke or was never made.
func isConnectionLoss(err error) bool {
	if isUnmade(err) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, target) {
			return true // the context that ended was internal, not the caller's: see translate
		}
	}
	return pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// isTooSlow reports whether the server ended a statement at its limit.
func isTooSlow(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == stateQueryCanceled
}

// IsAway reports that the server ended the connection or cannot be reached, so
// that other pooled connections are likely to be dead too.
func IsAway(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		class := e.Code[:min(2, len(e.Code))]
		return class == classConnection || class == classOperator && e.Code != stateQueryCanceled ||
			e.Code == stateReadOnly // after a failover another host of the DSN is the one to write to
	}
	return isConnectionLoss(err)
}
