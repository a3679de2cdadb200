//go:build !linux

package vfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Space implements FS.
func (o *OS) Space() (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(o.path, &st); err != nil {
		return Space{}, err
	}
	return Space{Total: int64(st.Blocks) * int64(st.Bsize), Free: int64(st.Bavail) * int64(st.Bsize)}, nil
}

func (f osFile) WritevAt(bufs [][]byte, off int64) (written int64, err error) {
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+written)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (f osFile) Preallocate(int64) error           { return nil }
func (f osFile) StartWriteback(int64, int64) error { return nil }
func (f osFile) Datasync() error                   { return f.Sync() }

func (f osFile) Lock() error {
	err := f.control("flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
