//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package localfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// umask is the user's file mode mask. It is read during initialization, while the process has one thread, because it
// cannot be read without changing it.
var umask = func() fs.FileMode {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	return fs.FileMode(mask).Perm()
}()

// Identity identifies a file across renames.
func Identity(info fs.FileInfo) (device, inode uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev), s.Ino //nolint:unconvert // Dev has another type elsewhere
	}
	return 0, 0
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

// MayWrite checks that files can be created and removed in a folder.
func MayWrite(folder string) error {
	return unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}
