//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package journal

import (
	"io/fs"
	"os"
)

// noFollow: these systems have no O_NOFOLLOW or O_NONBLOCK.
const noFollow = 0

// tryLock does nothing: these systems have no flock.
func tryLock(*os.File) (taken bool, err error) { return false, nil }

// foreign cannot check the owner here.
func foreign(info fs.FileInfo) string {
	if !info.Mode().IsRegular() {
		return "it is not a regular file"
	}
	return ""
}
