//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package transfer

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// tryLock locks the file for this process until it is closed, or says that another has it.
func tryLock(f *os.File) (taken bool, err error) {
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return true, nil
		}
		return false, err
	}
}

// identity is what a file stays known by when it is renamed.
func identity(info fs.FileInfo) (device, inode uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev), s.Ino //nolint:unconvert // Dev has another type elsewhere
	}
	return 0, 0
}
