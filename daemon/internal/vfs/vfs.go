// Package vfs is the seam between the chunk store and a file system. It holds
// only what the store needs: positioned reads and writes, the ways to make
// things durable, and names that change atomically.
//
// [OpenOS] gives the real thing, [NewCrashable] one in memory that can lose
// power at any moment, and [Inject] wraps either to make calls fail or to write
// down their order.
//
// # What is durable
//
// Nothing is, until it was synced: the bytes and the size of a file by Datasync
// or Sync, and the names in a directory by SyncDir of that directory. A name is
// made, changed or removed atomically, but only SyncDir keeps it so over a power
// cut. After a failed sync it is unknown what reached the disk, and a sync that
// is repeated may succeed without having written anything: never repeat one.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// FS is a tree of directories and files under one root. Names are relative to
// it, with forward slashes and without "..". All methods may be called at once
// from many goroutines. Errors match fs.ErrNotExist, fs.ErrExist and the
// errnos of package syscall by errors.Is.
type FS interface {
	// Create makes a new file, open for reading and writing. fs.ErrExist if the name is taken.
	Create(name string) (File, error)
	// Open opens a file that is there, for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens a file that is there for reading alone, which a file system
	// that became read-only allows. Calls that change the file fail; Lock does not.
	OpenRead(name string) (File, error)
	// Rename gives the file a new name, atomically replacing a file of that name.
	Rename(from, to string) error
	// Remove takes away the name of a file or of an empty directory. Files that are open stay readable.
	Remove(name string) error
	// MkdirAll makes the directory and those above it. What is there already is no error.
	MkdirAll(name string) error
	// ReadDir lists a directory in the order of names; "." is the root.
	ReadDir(name string) ([]Entry, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Stat describes a name.
	Stat(name string) (Entry, error)
	// Space tells the size of the disk under the root.
	Space() (Space, error)
	// Close frees the root. Files stay open.
	Close() error
}

// File is an open file. Methods may be called at once from many goroutines;
// where two writes overlap, either may win.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WritevAt writes the buffers one after the other from off on, as one write
	// where the system has that. It returns the bytes written, fewer only with an error.
	WritevAt(bufs [][]byte, off int64) (int64, error)
	// Preallocate reserves disk blocks for the first size bytes and leaves the
	// file's size alone. ENOSPC if they are not there; nil where it is not supported.
	Preallocate(size int64) error
	// StartWriteback begins to write a range to the disk and does not wait. It
	// makes nothing durable; it only shortens the sync that comes later.
	StartWriteback(off, n int64) error
	// Datasync makes the file's bytes and size durable.
	Datasync() error
	// Sync makes the file durable with all its attributes.
	Sync() error
	// Truncate sets the size; what is added reads as zeros.
	Truncate(size int64) error
	// Size is the size in bytes.
	Size() (int64, error)
	// Lock takes the file for this process until Close. It does not wait: ErrLocked.
	Lock() error
}

// Entry describes a name.
type Entry struct {
	Name string // last element
	Dir  bool
	Size int64 // bytes, of a file
}

// Space is the size of a disk in bytes.
type Space struct {
	Total int64
	Free  int64 // for this process: what is kept back for the superuser left out

	ReadOnly bool // the file system is mounted read-only, or became so after an error
}

// Replace writes data durably under name: all of it or, after a crash, what was there before.
// The steps: temporary name, write, sync, rename, sync of the directory dir that holds name.
func Replace(fsys FS, dir, name string, data []byte) (err error) {
	path, temp := join(dir, name), join(dir, name+".new")
	if err := fsys.Remove(temp); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err := fsys.Rename(temp, path); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errTooLong}
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && (!errors.Is(err, io.EOF) || int64(n) != size) {
		return nil, err
	}
	return data, nil
}

func join(dir, name string) string {
	if dir == "." || dir == "" {
		return name
	}
	return dir + "/" + name
}
