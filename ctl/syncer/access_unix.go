//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package syncer

import "golang.org/x/sys/unix"

// mayWrite checks that files can be created and removed in a folder.
func mayWrite(folder string) error {
	return unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}
