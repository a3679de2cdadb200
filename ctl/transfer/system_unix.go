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

// noFollow are open flags: fail on a link, and do not wait for the other end of a named pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// umask is the user's file mode mask. It is read during initialization, while the process has one thread, because it
// cannot be read without changing it.
var umask = func() fs.FileMode {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	return fs.FileMode(mask).Perm()
}()

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

// identity identifies a file across renames.
func identity(info fs.FileInfo) (device, inode uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev), s.Ino //nolint:unconvert // Dev has another type elsewhere
	}
	return 0, 0
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

// keepOwner gives f the owner and group of old as far as permitted, and reports whether it then has that group.
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
		_ = f.Chown(-1, int(want.Gid)) // permitted for groups of which the user is a member
	}
	_, gid := group()
	return gid == int(want.Gid)
}

// chtimes sets a file's modification time to the nanosecond for any year; os.Chtimes supports 1678 to 2262 only.
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

// duplicate duplicates a file descriptor; the copy is closed independently.
func duplicate(fd int, name string) (*os.File, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(own), name), nil
}
