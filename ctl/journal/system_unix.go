//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package journal

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// noFollow are open flags: fail on a link, and do not wait for the other end of a named pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// tryLock locks the file until it is closed; taken reports that another process holds the lock.
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

// foreign returns why a file cannot be one that s3ctl created for this user, or "".
func foreign(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "it is not a regular file"
	case !ok || int(s.Uid) != os.Geteuid():
		return "it belongs to another user"
	case s.Nlink != 1:
		return "it has another hard link"
	case info.Mode().Perm()&0o022 != 0:
		return "others can write to it"
	}
	return ""
}
