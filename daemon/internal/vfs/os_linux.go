package vfs

import (
	"errors"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxIOV is the number of buffers that Linux takes in one call (IOV_MAX).
const maxIOV = 1024

// Space implements FS.
func (o *OS) Space() (Space, error) {
	dir, err := o.root.Open(".")
	if err != nil {
		return Space{}, err
	}
	defer dir.Close()
	var st unix.Statfs_t
	err = osFile{dir}.control("statfs", func(fd int) error {
		return retry(func() error { return unix.Fstatfs(fd, &st) })
	})
	return Space{
		Total:    int64(st.Blocks) * st.Bsize,
		Free:     int64(st.Bavail) * st.Bsize,
		ReadOnly: st.Flags&unix.ST_RDONLY != 0,
	}, err
}

func (f osFile) WritevAt(bufs [][]byte, off int64) (written int64, err error) {
	err = f.control("pwritev", func(fd int) error {
		bufs = append([][]byte(nil), bufs...) // advanced below; the caller's slice is not changed
		for len(bufs) > 0 {
			n, err := unix.Pwritev(fd, bufs[:min(len(bufs), maxIOV)], off+written)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				return err
			case n == 0 && len(bufs[0]) > 0:
				return io.ErrShortWrite
			}
			written += int64(n)
			bufs = advance(bufs, n)
		}
		return nil
	})
	return written, err
}

// advance removes the first n bytes.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

// dontCache is RWF_DONTCACHE, which Linux has since 6.14 for some file systems.
const dontCache = 0x80

// cannotUncache is set when the kernel or the file system has refused dontCache.
var cannotUncache atomic.Bool

// WriteAtUncached implements Uncached.
func (f osFile) WriteAtUncached(p []byte, off int64) (written int, err error) {
	if cannotUncache.Load() {
		return f.WriteAt(p, off)
	}
	err = f.control("pwritev2", func(fd int) error {
		for written < len(p) {
			n, err := unix.Pwritev2(fd, [][]byte{p[written:]}, off+int64(written), dontCache)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				return err
			case n == 0:
				return io.ErrShortWrite
			}
			written += n
		}
		return nil
	})
	if written == 0 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)) {
		cannotUncache.Store(true)
		return f.WriteAt(p, off)
	}
	return written, err
}

func (f osFile) Preallocate(size int64) error {
	if size <= 0 {
		return nil
	}
	err := f.control("fallocate", func(fd int) error {
		return retry(func() error { return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, size) })
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) StartWriteback(off, n int64) error {
	err := f.control("sync_file_range", func(fd int) error {
		return retry(func() error { return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE) })
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) Datasync() error {
	return f.control("fdatasync", func(fd int) error {
		return retry(func() error { return unix.Fdatasync(fd) })
	})
}

func (f osFile) Lock() error {
	err := f.control("flock", func(fd int) error {
		return retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
