package vfs

import "errors"

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// errTooLong says that a file is longer than the reader takes.
var errTooLong = errors.New("file is longer than expected")
