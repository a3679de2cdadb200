//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package transfer

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// These systems have no O_NOFOLLOW or O_NONBLOCK, and no umask.
const (
	noFollow = 0
	umask    = fs.FileMode(0)
)

// tryLock does nothing: these systems have no flock.
func tryLock(*os.File) (taken bool, err error) { return false, nil }

func identity(fs.FileInfo) (device, inode uint64) { return 0, 0 }

// foreign cannot check the owner here.
func foreign(info fs.FileInfo) string {
	if !info.Mode().IsRegular() {
		return "it is not a regular file"
	}
	return ""
}

func keepOwner(*os.File, fs.FileInfo) bool { return true }

func chtimes(root *os.Root, name string, at time.Time) error { return root.Chtimes(name, at, at) }

func duplicate(int, string) (*os.File, error) { return nil, errors.ErrUnsupported }
