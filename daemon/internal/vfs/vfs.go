// Package vfs is the interface between the chunk store and a file system. It has only what
// the store needs: positioned reads and writes, syncs of files and directories, and atomic
// changes of names.
//
// [OpenOS] opens a directory of the operating system. Package vfstest has a file system in
// memory that can lose power at any moment, and a wrapper that makes calls fail or records
// their order.
//
// # What is durable
//
// Nothing is durable before it was synced: the bytes and the size of a file by Datasync or
// Sync, and the names in a directory by SyncDir of that directory. A name is created, changed
// or removed atomically, but only SyncDir makes that survive a power cut. After a failed sync
// it is unknown what reached the disk, and a repeated sync may succeed without having written
// anything: never repeat one.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// FS is a tree of directories and files under one root. Names are relative to
// it, with forward slashes and without "..". Safe for concurrent use. Errors match fs.ErrNotExist, fs.ErrExist and the
// errnos of package syscall by errors.Is.
type FS interface {
	Opener
	Tree
	// Space returns the size of the disk under the root.
	Space() (Space, error)
	// Close closes the root. Open files stay open.
	Close() error
}

// Opener opens files.
type Opener interface {
	// Create creates a new file, open for reading and writing. fs.ErrExist if the name exists.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading only, which works on a read-only file
	// system. Calls that change the file fail; Lock does not.
	OpenRead(name string) (File, error)
}

// Tree is the names of files and directories. None of its changes is durable before SyncDir.
type Tree interface {
	// Rename renames a file and atomically replaces a file with the new name.
	Rename(from, to string) error
	// Remove removes the name of a file or of an empty directory. Open files stay readable.
	Remove(name string) error
	// MkdirAll creates the directory and its parents. Existing ones are no error.
	MkdirAll(name string) error
	// ReadDir lists a directory in the order of names; "." is the root.
	ReadDir(name string) ([]Entry, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Stat describes a name.
	Stat(name string) (Entry, error)
}

// File is an open file. Safe for concurrent use; of two overlapping writes either may win.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sized
	Syncer
	// WritevAt writes the buffers one after the other from off on, as one write
	// if the system supports that. It returns the bytes written, fewer only with an error.
	WritevAt(bufs [][]byte, off int64) (int64, error)
	// Lock locks the file for this process until Close. ErrLocked, without waiting, if another
	// process holds the lock.
	Lock() error
}

// Uncached is an optional capability of a File.
type Uncached interface {
	// WriteAtUncached is WriteAt of bytes that nothing will read soon: the system writes them to the disk at once, and drops
	// them from its cache then. Where the system cannot do that, it is WriteAt.
	WriteAtUncached(p []byte, off int64) (int, error)
}

// Sized is the size of an open file and the room that it has on the disk.
type Sized interface {
	// Size is the size in bytes.
	Size() (int64, error)
	// Truncate sets the size; what is added reads as zeros.
	Truncate(size int64) error
	// Preallocate reserves disk blocks for the first size bytes and leaves the
	// file's size alone. ENOSPC if there are not enough; nil where it is not supported.
	Preallocate(size int64) error
}

// Syncer makes an open file durable.
type Syncer interface {
	// StartWriteback begins to write a range to the disk without waiting. It makes nothing
	// durable; it only shortens a later sync.
	StartWriteback(off, n int64) error
	// Datasync makes the file's bytes and size durable.
	Datasync() error
	// Sync makes the file durable with all its attributes.
	Sync() error
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
	Free  int64 // available to this process, without the blocks reserved for the superuser

	ReadOnly bool // the file system is mounted read-only, or became so after an error
}

// Replace durably replaces the content of name: after a crash it is the old or the new one.
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
