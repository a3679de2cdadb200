//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package profile

import (
	"errors"
	"os"
	"syscall"
)

// lock waits for the lock file and returns a function that unlocks it. The system also unlocks it when the process ends. The
// lock file is not removed: otherwise two processes could hold locks on different files of the same name.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
