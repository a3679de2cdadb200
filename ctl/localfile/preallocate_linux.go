package localfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Preallocate reserves the space of a file before its bytes arrive, so that a full disk is detected at once and the
// file is contiguous. If the file system cannot preallocate, the writes detect a full disk.
func Preallocate(f *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	return nil
}
