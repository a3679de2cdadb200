package vfstest

import (
	"strings"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// Count counts the files that are open at a time in one directory of another file system.
type Count struct {
	vfs.FS
	prefix string

	mu   sync.Mutex // guards the fields below
	open int
	most int
}

var _ vfs.FS = (*Count)(nil)

// NewCount counts the files whose names begin with prefix.
func NewCount(under vfs.FS, prefix string) *Count { return &Count{FS: under, prefix: prefix} }

// Open implements vfs.FS.
func (c *Count) Open(name string) (vfs.File, error) { return c.count(name)(c.FS.Open(name)) }

// OpenRead implements vfs.FS.
func (c *Count) OpenRead(name string) (vfs.File, error) { return c.count(name)(c.FS.OpenRead(name)) }

// Create implements vfs.FS.
func (c *Count) Create(name string) (vfs.File, error) { return c.count(name)(c.FS.Create(name)) }

// Now is how many files are open.
func (c *Count) Now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// Most is how many files were open at the same time since the last call.
func (c *Count) Most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := c.most
	c.most = c.open
	return most
}

func (c *Count) count(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasPrefix(name, c.prefix) {
			return f, err
		}
		c.add(1)
		return &countedFile{File: f, closed: sync.OnceFunc(func() { c.add(-1) })}, nil
	}
}

func (c *Count) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
	c.most = max(c.most, c.open)
}

type countedFile struct {
	vfs.File
	closed func()
}

// Close implements vfs.File.
func (f *countedFile) Close() error {
	defer f.closed()
	return f.File.Close()
}
