// Package failure knows the error codes of SQLite (sqlite.org/rescode.html). No other package does.
package failure

import (
	"context"
	"database/sql"
	"errors"
	"syscall"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Translate turns errors of the driver into errors of the domain, of the operation op.
func Translate(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*store.Error](err); ok {
		return err
	}
	e := &store.Error{Op: op, Kind: store.Internal, Err: err}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		e.Kind = store.Canceled
		return e
	}
	if errors.Is(err, sql.ErrNoRows) {
		e.Kind = store.NotFound
		return e
	}
	if se, ok := errors.AsType[*driver.Error](err); ok {
		e.Kind, e.Hint = kindOfCode(se.Code())
	}
	return e
}

// IsBusy reports whether another connection holds a lock.
func IsBusy(err error) bool {
	se, ok := errors.AsType[*driver.Error](err)
	return ok && (se.Code()&0xff == lib.SQLITE_BUSY || se.Code()&0xff == lib.SQLITE_LOCKED)
}

// IsDiskFull reports whether SQLite or the file system found no space.
func IsDiskFull(err error) bool {
	if se, ok := errors.AsType[*driver.Error](err); ok {
		return se.Code()&0xff == lib.SQLITE_FULL
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// NeedsSpace reports whether a full disk may be why the database cannot be opened: the shared memory file
// then fails with unspecific codes.
func NeedsSpace(err error) bool {
	se, ok := errors.AsType[*driver.Error](err)
	return ok && (se.Code()&0xff == lib.SQLITE_IOERR || se.Code()&0xff == lib.SQLITE_CANTOPEN) || IsDiskFull(err)
}

func kindOfCode(code int) (store.Kind, string) {
	switch code {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return store.Exists, ""
	}
	switch code & 0xff { // the low byte is the primary code
	case lib.SQLITE_FULL:
		return store.NoSpace, "Free space on the disk of the metadata, then try again."
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return store.Corrupt, "Stop the gateway and restore the database file from a backup."
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return store.Unavailable, "Another program holds the database file; end it."
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return store.Unavailable, "Check the disk and the permissions of the database file."
	case lib.SQLITE_INTERRUPT:
		return store.Canceled, ""
	}
	return store.Internal, ""
}
