package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Modes of new files and directories: only the daemon's user may access them.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is a directory of the operating system. Names cannot lead out of it, not
// even by symbolic links, because the kernel resolves them under an os.Root.
type OS struct {
	root *os.Root
	path string
}

var _ FS = (*OS)(nil)

// OpenOS opens the directory at path, and durably creates it if missing.
func OpenOS(path string) (*OS, error) {
	if err := makeDurably(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &OS{root: root, path: path}, nil
}

// makeDurably creates the directory and its parents, and syncs the parent of each that it created.
func makeDurably(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDurably(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Create implements FS.
func (o *OS) Create(name string) (File, error) {
	return o.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open implements FS.
func (o *OS) Open(name string) (File, error) { return o.open(name, os.O_RDWR) }

// OpenRead implements FS.
func (o *OS) OpenRead(name string) (File, error) { return o.open(name, os.O_RDONLY) }

func (o *OS) open(name string, flag int) (File, error) {
	f, err := o.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements FS.
func (o *OS) Rename(from, to string) error { return o.root.Rename(from, to) }

// Remove implements FS.
func (o *OS) Remove(name string) error { return o.root.Remove(name) }

// MkdirAll implements FS.
func (o *OS) MkdirAll(name string) error { return o.root.MkdirAll(name, dirMode) }

// ReadDir implements FS.
func (o *OS) ReadDir(name string) ([]Entry, error) {
	dir, err := o.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	found, err := dir.Readdir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, info := range found {
		entries = append(entries, entryOf(info))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// SyncDir implements FS.
func (o *OS) SyncDir(name string) error {
	dir, err := o.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Stat implements FS.
func (o *OS) Stat(name string) (Entry, error) {
	info, err := o.root.Stat(name)
	if err != nil {
		return Entry{}, err
	}
	return entryOf(info), nil
}

// Close implements FS.
func (o *OS) Close() error { return o.root.Close() }

func entryOf(info fs.FileInfo) Entry {
	e := Entry{Name: info.Name(), Dir: info.IsDir()}
	if !e.Dir {
		e.Size = info.Size()
	}
	return e
}

// osFile adds to an os.File what the standard library lacks; see os_linux.go.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// control runs a system call on the descriptor, which cannot be closed during the call.
func (f osFile) control(op string, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	if failed != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: failed}
	}
	return nil
}
