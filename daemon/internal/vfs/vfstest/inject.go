package vfstest

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// Call is one call of a file system, before Inject forwards it.
type Call struct {
	Op   string // "create", "write", "datasync", … as the methods are called, in lower case
	Name string // of the file as it was opened, or the first argument
	To   string // of a rename
	Off  int64
	Len  int64 // bytes; of a truncate or preallocate the size
}

// String writes the call as one line of a golden file.
func (c Call) String() string {
	switch c.Op {
	case "rename":
		return fmt.Sprintf("%s %s -> %s", c.Op, c.Name, c.To)
	case "read", "write", "writeback":
		return fmt.Sprintf("%s %s %d+%d", c.Op, c.Name, c.Off, c.Len)
	case "preallocate", "truncate":
		return fmt.Sprintf("%s %s %d", c.Op, c.Name, c.Len)
	}
	return c.Op + " " + c.Name
}

// Changes reports whether the call can alter what is on the disk.
func (c Call) Changes() bool {
	switch c.Op {
	case "open", "openread", "read", "readdir", "stat", "space", "size", "close", "lock":
		return false
	}
	return true
}

// ErrShortWrite is for hooks: returned by one, it makes a write stop halfway with io.ErrShortWrite.
var ErrShortWrite = errors.New("short write")

// Inject forwards every call to another file system, after calling a hook. If the hook
// returns an error, that is the result, and the call is not forwarded.
type Inject struct {
	vfs.FS
	mu   sync.Mutex // guards hook
	hook func(Call) error
}

var _ vfs.FS = (*Inject)(nil)

// NewInject wraps a file system. The hook runs in the goroutine of the caller and may be nil.
func NewInject(under vfs.FS, hook func(Call) error) *Inject { return &Inject{FS: under, hook: hook} }

// SetHook replaces the hook.
func (i *Inject) SetHook(hook func(Call) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hook = hook
}

func (i *Inject) ask(c Call) error {
	i.mu.Lock()
	hook := i.hook
	i.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(c); err != nil {
		return failed(c.Op, c.Name, err)
	}
	return nil
}

// Create implements vfs.FS.
func (i *Inject) Create(name string) (vfs.File, error) {
	if err := i.ask(Call{Op: "create", Name: name}); err != nil {
		return nil, err
	}
	return i.wrap(name)(i.FS.Create(name))
}

// Open implements vfs.FS.
func (i *Inject) Open(name string) (vfs.File, error) {
	if err := i.ask(Call{Op: "open", Name: name}); err != nil {
		return nil, err
	}
	return i.wrap(name)(i.FS.Open(name))
}

// OpenRead implements vfs.FS.
func (i *Inject) OpenRead(name string) (vfs.File, error) {
	if err := i.ask(Call{Op: "openread", Name: name}); err != nil {
		return nil, err
	}
	return i.wrap(name)(i.FS.OpenRead(name))
}

func (i *Inject) wrap(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return &injectFile{File: f, i: i, name: name}, nil
	}
}

// Rename implements vfs.FS.
func (i *Inject) Rename(from, to string) error {
	if err := i.ask(Call{Op: "rename", Name: from, To: to}); err != nil {
		return err
	}
	return i.FS.Rename(from, to)
}

// Remove implements vfs.FS.
func (i *Inject) Remove(name string) error {
	if err := i.ask(Call{Op: "remove", Name: name}); err != nil {
		return err
	}
	return i.FS.Remove(name)
}

// MkdirAll implements vfs.FS.
func (i *Inject) MkdirAll(name string) error {
	if err := i.ask(Call{Op: "mkdir", Name: name}); err != nil {
		return err
	}
	return i.FS.MkdirAll(name)
}

// ReadDir implements vfs.FS.
func (i *Inject) ReadDir(name string) ([]vfs.Entry, error) {
	if err := i.ask(Call{Op: "readdir", Name: name}); err != nil {
		return nil, err
	}
	return i.FS.ReadDir(name)
}

// SyncDir implements vfs.FS.
func (i *Inject) SyncDir(name string) error {
	if err := i.ask(Call{Op: "syncdir", Name: name}); err != nil {
		return err
	}
	return i.FS.SyncDir(name)
}

// Stat implements vfs.FS.
func (i *Inject) Stat(name string) (vfs.Entry, error) {
	if err := i.ask(Call{Op: "stat", Name: name}); err != nil {
		return vfs.Entry{}, err
	}
	return i.FS.Stat(name)
}

// Space implements vfs.FS.
func (i *Inject) Space() (vfs.Space, error) {
	if err := i.ask(Call{Op: "space", Name: "."}); err != nil {
		return vfs.Space{}, err
	}
	return i.FS.Space()
}

// injectFile is a file whose calls pass the hook. Its name is that under which it was opened.
type injectFile struct {
	vfs.File
	i    *Inject
	name string
}

// ReadAt implements vfs.File.
func (f *injectFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.i.ask(Call{Op: "read", Name: f.name, Off: off, Len: int64(len(p))}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// WriteAt implements vfs.File.
func (f *injectFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WritevAt([][]byte{p}, off)
	return int(n), err
}

// WritevAt implements vfs.File.
func (f *injectFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	var size int64
	for _, b := range bufs {
		size += int64(len(b))
	}
	err := f.i.ask(Call{Op: "write", Name: f.name, Off: off, Len: size})
	if errors.Is(err, ErrShortWrite) {
		n, err := f.File.WritevAt(prefix(bufs, size/2), off)
		return n, errors.Join(io.ErrShortWrite, err)
	}
	if err != nil {
		return 0, err
	}
	return f.File.WritevAt(bufs, off)
}

// prefix returns the first n bytes of the buffers.
func prefix(bufs [][]byte, n int64) [][]byte {
	var part [][]byte
	for _, b := range bufs {
		b = b[:min(int64(len(b)), n)]
		n -= int64(len(b))
		part = append(part, b)
	}
	return part
}

// Preallocate implements vfs.File.
func (f *injectFile) Preallocate(size int64) error {
	if err := f.i.ask(Call{Op: "preallocate", Name: f.name, Len: size}); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

// StartWriteback implements vfs.File.
func (f *injectFile) StartWriteback(off, n int64) error {
	if err := f.i.ask(Call{Op: "writeback", Name: f.name, Off: off, Len: n}); err != nil {
		return err
	}
	return f.File.StartWriteback(off, n)
}

// Datasync implements vfs.File.
func (f *injectFile) Datasync() error {
	if err := f.i.ask(Call{Op: "datasync", Name: f.name}); err != nil {
		return err
	}
	return f.File.Datasync()
}

// Sync implements vfs.File.
func (f *injectFile) Sync() error {
	if err := f.i.ask(Call{Op: "sync", Name: f.name}); err != nil {
		return err
	}
	return f.File.Sync()
}

// Truncate implements vfs.File.
func (f *injectFile) Truncate(size int64) error {
	if err := f.i.ask(Call{Op: "truncate", Name: f.name, Len: size}); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Size implements vfs.File.
func (f *injectFile) Size() (int64, error) {
	if err := f.i.ask(Call{Op: "size", Name: f.name}); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Lock implements vfs.File.
func (f *injectFile) Lock() error {
	if err := f.i.ask(Call{Op: "lock", Name: f.name}); err != nil {
		return err
	}
	return f.File.Lock()
}

// Close implements vfs.File. It is forwarded even if the hook fails it, so that nothing leaks.
func (f *injectFile) Close() error {
	return errors.Join(f.i.ask(Call{Op: "close", Name: f.name}), f.File.Close())
}
