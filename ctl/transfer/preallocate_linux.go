package transfer

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// preallocate takes the space of a file before its bytes come: a full disk is
// found at once, and the file lies in one piece. Where the file system cannot
// do that, the writes will have to find out.
func preallocate(f *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	return nil
}
