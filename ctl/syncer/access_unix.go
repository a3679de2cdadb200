//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package syncer

import "golang.org/x/sys/unix"

// mayWrite asks the system whether names can be made and removed in a folder.
func mayWrite(folder string) error {
	return unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}
