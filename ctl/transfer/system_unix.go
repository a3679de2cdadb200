//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noFollow opens no link, and does not wait for the other end of a named pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// umask are the bits of the mode that the user gives to no new file. It is read while the process has one thread only: it
// cannot be read without being changed.
var umask = func() fs.FileMode {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	return fs.FileMode(mask).Perm()
}()

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

// foreign says why a file cannot be taken for one that this user's s3ctl made; "" where it can.
func foreign(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "it is no regular file"
	case !ok || int(s.Uid) != os.Geteuid():
		return "it belongs to another user"
	case s.Nlink != 1:
		return "it has another name, too"
	case info.Mode().Perm()&0o022 != 0:
		return "others can write to it"
	}
	return ""
}

// keepOwner gives a file the owner and group of another, as far as that is allowed, and says whether it has that group.
func keepOwner(f *os.File, old fs.FileInfo) bool {
	want, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	group := func() (uid, gid int) {
		if info, err := f.Stat(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				return int(s.Uid), int(s.Gid)
			}
		}
		return -1, -1
	}
	if uid, gid := group(); uid == int(want.Uid) && gid == int(want.Gid) {
		return true
	}
	if f.Chown(int(want.Uid), int(want.Gid)) != nil {
		_ = f.Chown(-1, int(want.Gid)) // a group of the user's own is allowed
	}
	_, gid := group()
	return gid == int(want.Gid)
}

// chtimes sets a file's time of change to the nanosecond, whatever the year: os.Chtimes takes those between 1678 and 2262.
func chtimes(root *os.Root, name string, at time.Time) error {
	dir, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	t, err := unix.TimeToTimespec(at)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(dir.Fd()), filepath.Base(name), []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// duplicate gives another number to an open file, to be closed apart from the first.
func duplicate(fd int, name string) (*os.File, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(own), name), nil
}
