package vfs

import "errors"

// ErrLocked means that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// errTooLong means that a file exceeds the reader's limit.
var errTooLong = errors.New("file is longer than expected")
