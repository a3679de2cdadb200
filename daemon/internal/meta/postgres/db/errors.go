package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SQLSTATE codes that this package handles, by the names of PostgreSQL's appendix A.
const (
	stateUniqueViolation      = "23505"
	stateCheckViolation       = "23514"
	stateSerializationFailure = "40001"
	stateDeadlockDetected     = "40P01"
	stateDiskFull             = "53100"
	stateNotAnInteger         = "22P02" // Guard: the condition does not hold
	stateOutOfRange           = "22003" // Guard: the file was replaced while the statement waited for its lock
	stateUntranslatable       = "22P05" // \u0000 in jsonb
	stateNotInRepertoire      = "22021" // text that is not UTF-8, or has a NUL
)

// Constraints whose violation has a message of its own.
const (
	constraintLatest      = "files_latest"
	constraintFileID      = "files_pkey"
	constraintPartID      = "parts_pkey"
	constraintPartNumber  = "parts_of_owner" // owner and number
	constraintBucketName  = "buckets_name"
	constraintNodeName    = "nodes_name"
	constraintCredentials = "credentials_pkey"
	constraintSessionID   = "sessions_pkey"
	constraintAttemptID   = "attempts_pkey"
	constraintLocked      = "files_locked"
)

const hintRetry = "Try again."

// ErrClosed is the error of calls on a closed Store.
var ErrClosed = link.ErrClosed

// ErrSavedAtOnce is the error of a save when a concurrent save has stored a part of the same number.
var ErrSavedAtOnce = store.Errorf(store.Unavailable, "too many saves of the same part at once").WithHint(hintRetry)

// ErrReplaced is the error of a change whose file was replaced while it waited for the file's lock.
var ErrReplaced = store.Errorf(store.Unavailable, "too many changes of the same name at once").WithHint(hintRetry)

// ErrJobChanged is the error of a change of a job that another change came before.
var ErrJobChanged = store.Errorf(store.Unavailable, "too many changes of the same job at once").WithHint(hintRetry)

// Translate turns err into a *store.Error of the operation, or wraps the error of an
// ended context. Only this function and link.Explain interpret errors of the driver.
func Translate(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*store.Error](err); ok {
		if e.Op == "" {
			e.Op = "postgres." + op
		}
		return err
	}
	if ctx.Err() != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("postgres.%s: %w", op, context.Cause(ctx))
	}
	e := classify(err)
	e.Op = "postgres." + op
	return e
}

// classify finds the kind of an error that the driver returned before the caller's context ended.
func classify(err error) *store.Error {
	if e := link.Explain(err); e != nil {
		return e
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyState(e)
	}
	return &store.Error{Kind: store.Internal, Err: err}
}

func classifyState(e *pgconn.PgError) *store.Error {
	switch e.Code {
	case stateUniqueViolation:
		return classifyUnique(e)
	case stateNotAnInteger:
		return store.ErrCondition()
	case stateSerializationFailure, stateDeadlockDetected, stateOutOfRange:
		return store.Errorf(store.Unavailable, "too many changes of the same rows at once: %w", e).WithHint(hintRetry)
	case stateDiskFull:
		return store.Errorf(store.NoSpace, "the database's disk is full: %w", e).WithHint("Free space on the database's disk.")
	case stateUntranslatable, stateNotInRepertoire:
		return store.Errorf(store.Invalid, "a text is not valid UTF-8 or has a NUL: %w", e)
	case stateCheckViolation:
		if e.ConstraintName == constraintLocked {
			return store.ErrLocked()
		}
		return store.Errorf(store.Invalid, "%w", e)
	}
	return &store.Error{Kind: store.Internal, Err: e}
}

func classifyUnique(e *pgconn.PgError) *store.Error {
	switch e.ConstraintName {
	case constraintLatest:
		return store.Errorf(store.Unavailable, "too many commits of the same name at once").WithHint(hintRetry)
	case constraintFileID:
		return store.Errorf(store.Exists, "a file of that id exists already")
	case constraintSessionID:
		return store.Errorf(store.Exists, "a session of that id exists already")
	case constraintAttemptID:
		return store.Errorf(store.Conflict, "the change was abandoned before it arrived")
	case constraintPartID:
		return store.Errorf(store.Exists, "a part of that id exists already")
	case constraintPartNumber:
		return store.Errorf(store.Invalid, "two parts of the file have the same number")
	case constraintBucketName:
		return store.Errorf(store.Exists, "a bucket of that name exists already")
	case constraintNodeName:
		return store.Errorf(store.Conflict, "another node has that name").WithHint("Give the node another name.")
	case constraintCredentials:
		return store.Errorf(store.Exists, "an access key of that name exists already")
	}
	return store.Errorf(store.Exists, "%w", e)
}

// IsCollision reports whether the transaction was rolled back because of another
// one: retrying it is safe and likely to succeed.
func IsCollision(err error) bool {
	if errors.Is(err, ErrSavedAtOnce) || errors.Is(err, ErrReplaced) || errors.Is(err, ErrJobChanged) {
		return true
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch e.Code {
	case stateSerializationFailure, stateDeadlockDetected, stateOutOfRange:
		return true
	case stateUniqueViolation:
		switch e.ConstraintName {
		case constraintLatest:
			return true
		}
	}
	return false
}

// IsNumberTaken reports whether the session has another part of the number.
func IsNumberTaken(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == stateUniqueViolation && e.ConstraintName == constraintPartNumber
}

// IsAway reports whether the server ended the connection or cannot be reached.
func IsAway(err error) bool { return link.IsAway(err) }

// IsNoRows reports whether a query returned no row.
func IsNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
