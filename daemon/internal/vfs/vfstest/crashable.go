package vfstest

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// defaultSpace is the size of a Crashable's disk, until SetSpace.
const defaultSpace = 1 << 40

// Crashable is a file system in memory that records what was synced. CrashClone returns a
// state in which a power cut could leave it.
type Crashable struct {
	mu    sync.Mutex // guards everything below, the inodes included
	root  *inode
	total int64 // bytes of the disk
	open  int   // files that are open

	readOnly bool
	freed    [][]byte // durable bytes of the files removed last: possible content of reused blocks
}

var _ vfs.FS = (*Crashable)(nil)

// inode is a file or a directory in two states: the current one, and the one that is certain
// to survive a power cut.
type inode struct {
	dir *directory // nil for a file

	data    []byte   // current content
	durable []byte   // content at the last sync
	pending []change // changes since then, in order: durable plus pending is data
	locked  bool
}

// change is an unsynced write, or a truncation where data is nil.
type change struct {
	off  int64 // of the write; the new size of a truncation
	data []byte
}

// directory maps names to inodes, or to nil where a name was removed.
type directory struct {
	names   map[string]*inode
	durable map[string]*inode
	pending map[string][]*inode // the inodes of each name since the last SyncDir, in order
}

// NewCrashable returns an empty file system of 1 TiB.
func NewCrashable() *Crashable {
	return &Crashable{root: newDir(), total: defaultSpace}
}

func newDir() *inode {
	return &inode{dir: &directory{names: map[string]*inode{}, durable: map[string]*inode{}, pending: map[string][]*inode{}}}
}

// SetSpace sets the size of the disk in bytes; writes beyond it are ENOSPC.
func (c *Crashable) SetSpace(total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total = total
}

// SetReadOnly makes the file system read-only, as a kernel does after an error,
// or writable again. While it is read-only, calls that change anything are EROFS.
func (c *Crashable) SetReadOnly(readOnly bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readOnly = readOnly
}

// writable is EROFS on a read-only file system. c.mu is held.
func (c *Crashable) writable() error {
	if c.readOnly {
		return syscall.EROFS
	}
	return nil
}

// OpenFiles is the number of open files.
func (c *Crashable) OpenFiles() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// set binds a name to an inode, or removes it.
func (d *directory) set(name string, n *inode) {
	if n == nil {
		delete(d.names, name)
	} else {
		d.names[name] = n
	}
	d.pending[name] = append(d.pending[name], n)
}

func (c *Crashable) find(name string) (*inode, error) {
	n := c.root
	for _, part := range split(name) {
		if n.dir == nil {
			return nil, syscall.ENOTDIR
		}
		next, ok := n.dir.names[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parent finds the directory that holds a name.
func (c *Crashable) parent(name string) (*directory, string, error) {
	dir, base := path.Split(path.Clean(name))
	n, err := c.find(dir)
	if err != nil {
		return nil, "", err
	}
	if n.dir == nil {
		return nil, "", syscall.ENOTDIR
	}
	return n.dir, base, nil
}

func split(name string) []string {
	name = strings.Trim(path.Clean(name), "/")
	if name == "." || name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Create implements vfs.FS.
func (c *Crashable) Create(name string) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, base, err := c.parent(name)
	if err == nil && d.names[base] != nil {
		err = fs.ErrExist
	}
	if err == nil {
		err = c.writable()
	}
	if err != nil {
		return nil, failed("create", name, err)
	}
	n := &inode{}
	d.set(base, n)
	c.open++
	return &crashFile{c: c, n: n, name: name}, nil
}

// Open implements vfs.FS.
func (c *Crashable) Open(name string) (vfs.File, error) { return c.openFile(name, false) }

// OpenRead implements vfs.FS.
func (c *Crashable) OpenRead(name string) (vfs.File, error) { return c.openFile(name, true) }

func (c *Crashable) openFile(name string, readOnly bool) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.find(name)
	if err == nil && n.dir != nil {
		err = syscall.EISDIR
	}
	if err == nil && !readOnly {
		err = c.writable()
	}
	if err != nil {
		return nil, failed("open", name, err)
	}
	c.open++
	return &crashFile{c: c, n: n, name: name, readOnly: readOnly}, nil
}

// Rename implements vfs.FS.
func (c *Crashable) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	fromDir, fromBase, err := c.parent(from)
	if err != nil {
		return failed("rename", from, err)
	}
	n := fromDir.names[fromBase]
	if n == nil {
		return failed("rename", from, fs.ErrNotExist)
	}
	toDir, toBase, err := c.parent(to)
	if err == nil {
		err = c.writable()
	}
	if err != nil {
		return failed("rename", to, err)
	}
	fromDir.set(fromBase, nil)
	toDir.set(toBase, n)
	return nil
}

// Remove implements vfs.FS.
func (c *Crashable) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, base, err := c.parent(name)
	if err != nil {
		return failed("remove", name, err)
	}
	n := d.names[base]
	switch {
	case n == nil:
		return failed("remove", name, fs.ErrNotExist)
	case n.dir != nil && len(n.dir.names) > 0:
		return failed("remove", name, syscall.ENOTEMPTY)
	case c.readOnly:
		return failed("remove", name, syscall.EROFS)
	}
	d.set(base, nil)
	c.release(n)
	return nil
}

// MkdirAll implements vfs.FS.
func (c *Crashable) MkdirAll(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.root
	for _, part := range split(name) {
		if n.dir == nil {
			return failed("mkdir", name, syscall.ENOTDIR)
		}
		if n.dir.names[part] == nil {
			if err := c.writable(); err != nil {
				return failed("mkdir", name, err)
			}
			n.dir.set(part, newDir())
		}
		n = n.dir.names[part]
	}
	return nil
}

// ReadDir implements vfs.FS.
func (c *Crashable) ReadDir(name string) ([]vfs.Entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.find(name)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, failed("readdir", name, err)
	}
	var entries []vfs.Entry
	for base, child := range n.dir.names {
		entries = append(entries, vfs.Entry{Name: base, Dir: child.dir != nil, Size: int64(len(child.data))})
	}
	slices.SortFunc(entries, func(a, b vfs.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// SyncDir implements vfs.FS.
func (c *Crashable) SyncDir(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.find(name)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return failed("syncdir", name, err)
	}
	d := n.dir
	for base, states := range d.pending {
		if last := states[len(states)-1]; last == nil {
			delete(d.durable, base)
		} else {
			d.durable[base] = last
		}
	}
	clear(d.pending)
	return nil
}

// Stat implements vfs.FS.
func (c *Crashable) Stat(name string) (vfs.Entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.find(name)
	if err != nil {
		return vfs.Entry{}, failed("stat", name, err)
	}
	return vfs.Entry{Name: path.Base(name), Dir: n.dir != nil, Size: int64(len(n.data))}, nil
}

// Space implements vfs.FS.
func (c *Crashable) Space() (vfs.Space, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return vfs.Space{Total: c.total, Free: max(c.total-c.root.bytes(), 0), ReadOnly: c.readOnly}, nil
}

// freedFiles is the number of removed files whose bytes are kept.
const freedFiles = 4

// release keeps the bytes of a file whose name is removed: its blocks may be reused by other
// files before they are overwritten. c.mu is held.
func (c *Crashable) release(n *inode) {
	if n.dir != nil || len(n.durable) == 0 {
		return
	}
	c.freed = append(slices.Clip(c.freed), slices.Clone(n.durable)) // not into the array of a clone
	if len(c.freed) > freedFiles {
		c.freed = slices.Clone(c.freed[1:]) // clones still use the old slice
	}
}

// bytes is the size of all files at or below n.
func (n *inode) bytes() int64 {
	total := int64(len(n.data))
	if n.dir != nil {
		for _, child := range n.dir.names {
			total += child.bytes()
		}
	}
	return total
}

// Close implements vfs.FS.
func (c *Crashable) Close() error { return nil }

// Seeds of CrashClone with a special meaning.
const (
	CrashLosesAll  uint64 = 0 // nothing that was not synced survives
	CrashLosesNone uint64 = 1 // everything survives
)

// Clone returns a copy in the state that a kill of the process leaves: the page cache still
// exists, so everything reads as before, and unsynced changes are still not durable. Locks
// and open files no longer exist.
func (c *Crashable) Clone() *Crashable {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Crashable{root: (&killed{}).clone(c.root), total: c.total, freed: c.freed}
}

// killed copies a tree; several names, current and durable, may refer to one inode.
type killed struct{ done map[*inode]*inode }

func (k *killed) clone(n *inode) *inode {
	if n == nil {
		return nil
	}
	if made, ok := k.done[n]; ok {
		return made
	}
	if k.done == nil {
		k.done = map[*inode]*inode{}
	}
	to := &inode{data: slices.Clone(n.data), durable: slices.Clone(n.durable), pending: slices.Clone(n.pending)}
	k.done[n] = to
	if n.dir == nil {
		return to
	}
	to.dir = newDir().dir
	for name, child := range n.dir.names {
		to.dir.names[name] = k.clone(child)
	}
	for name, child := range n.dir.durable {
		to.dir.durable[name] = k.clone(child)
	}
	for name, states := range n.dir.pending {
		for _, child := range states {
			to.dir.pending[name] = append(to.dir.pending[name], k.clone(child))
		}
	}
	return to
}

// CrashClone returns a file system in a state in which a power cut at this moment could leave
// it. Synced changes exist. Each unsynced write may exist completely, not at all, or in part:
// torn at any byte, or any subset of its sectors. Where a file grew and its new bytes did not
// reach the disk, they read as zeros or as the previous content of the blocks: bytes of
// removed files, or noise. Each name may refer to any inode that it referred to since its
// directory was synced. The same seed and history give the same outcome. The original is not
// changed.
func (c *Crashable) CrashClone(seed uint64) *Crashable {
	c.mu.Lock()
	defer c.mu.Unlock()
	cut := &crash{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), files: map[*inode]*inode{}, freed: c.freed}
	return &Crashable{root: cut.clone(c.root), total: c.total, freed: c.freed}
}

// crash decides what survives one power cut.
type crash struct {
	seed  uint64
	rng   *rand.Rand
	files map[*inode]*inode // existing clones: a renamed file may keep both names
	freed [][]byte          // possible content of reused blocks
}

func (k *crash) clone(n *inode) *inode {
	if made, ok := k.files[n]; ok {
		return made
	}
	to := &inode{}
	if n.dir != nil {
		to = newDir()
	}
	k.files[n] = to
	if n.dir == nil {
		to.durable = k.content(n)
		to.data = slices.Clone(to.durable)
		return to
	}
	names := map[string]*inode{}
	for base, child := range n.dir.durable {
		names[base] = child
	}
	for _, base := range sortedKeys(n.dir.pending) {
		states := append([]*inode{n.dir.durable[base]}, n.dir.pending[base]...)
		names[base] = states[k.pick(len(states))]
	}
	for _, base := range sortedKeys(names) {
		if child := names[base]; child != nil {
			made := k.clone(child)
			to.dir.names[base], to.dir.durable[base] = made, made
		}
	}
	return to
}

// pick chooses among n states, in order of time; the first is durable.
func (k *crash) pick(n int) int {
	switch k.seed {
	case CrashLosesAll:
		return 0
	case CrashLosesNone:
		return n - 1
	}
	return k.rng.IntN(n)
}

// content returns the surviving bytes of a file.
func (k *crash) content(n *inode) []byte {
	data := slices.Clone(n.durable)
	for _, ch := range n.pending {
		switch k.pick(3) {
		case 1: // torn
			if ch.data != nil {
				data = k.tear(ch, data)
			}
		case 2:
			data = k.grow(data, ch)
			data = ch.apply(data)
		}
	}
	return data
}

// sectorSize is the unit that a disk writes atomically, in bytes.
const sectorSize = 512

// tear applies a part of a write: a range of its bytes, or a subset of its sectors.
func (k *crash) tear(ch change, data []byte) []byte {
	if k.rng.IntN(2) == 0 {
		from := k.rng.IntN(len(ch.data) + 1)
		to := from + k.rng.IntN(len(ch.data)-from+1)
		if k.rng.IntN(2) == 0 {
			from = 0
		}
		part := change{off: ch.off + int64(from), data: ch.data[from:to]}
		return part.apply(k.grow(data, part))
	}
	if k.rng.IntN(2) == 0 { // the size reached the disk, the bytes may not have
		data = k.grow(data, change{off: ch.off + int64(len(ch.data)), data: []byte{}})
	}
	page := int64(sectorSize << (3 * k.rng.IntN(2)))
	for at := ch.off; at < ch.off+int64(len(ch.data)); {
		next := min((at/page+1)*page, ch.off+int64(len(ch.data)))
		if k.rng.IntN(2) == 0 {
			part := change{off: at, data: ch.data[at-ch.off : next-ch.off]}
			data = part.apply(k.grow(data, part))
		}
		at = next
	}
	return data
}

// grow may extend the file to the end of a write with the previous content of the blocks,
// which is then visible where the write is torn.
func (k *crash) grow(data []byte, ch change) []byte {
	was, end := len(data), ch.off+int64(len(ch.data))
	if ch.data == nil || end <= int64(was) || k.seed <= CrashLosesNone || k.rng.IntN(2) == 0 {
		return data
	}
	data = resize(data, end)
	fresh := data[was:]
	if len(k.freed) > 0 && k.rng.IntN(4) > 0 {
		if old := k.freed[k.rng.IntN(len(k.freed))]; len(old) > was {
			copy(fresh, old[was:]) // the same offset of the old file
		}
		return data
	}
	for i := range fresh {
		fresh[i] = byte(k.rng.Uint32())
	}
	return data
}

// apply makes the change and returns the file's bytes after it.
func (ch change) apply(data []byte) []byte {
	if ch.data == nil {
		return resize(data, ch.off)
	}
	if end := ch.off + int64(len(ch.data)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[ch.off:], ch.data)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	if size <= int64(cap(data)) {
		grown := data[:size]
		clear(grown[len(data):])
		return grown
	}
	grown := make([]byte, size, size+size/2)
	copy(grown, data)
	return grown
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// crashFile is an open file of a Crashable.
type crashFile struct {
	c      *Crashable
	n      *inode
	name   string
	closed bool // guarded by c.mu, as all of n
	holds  bool // the lock

	readOnly bool // opened by OpenRead
}

// change runs a call that changes the file.
func (f *crashFile) change(op string, run func() error) error {
	return f.do(op, func() error {
		if f.readOnly {
			return syscall.EBADF
		}
		if err := f.c.writable(); err != nil {
			return err
		}
		return run()
	})
}

// do runs f under the lock of the file system.
func (f *crashFile) do(op string, run func() error) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.closed {
		return failed(op, f.name, fs.ErrClosed)
	}
	return failed(op, f.name, run())
}

// ReadAt implements vfs.File.
func (f *crashFile) ReadAt(p []byte, off int64) (n int, err error) {
	end := false
	err = f.do("read", func() error {
		if off < int64(len(f.n.data)) {
			n = copy(p, f.n.data[off:])
		}
		end = n < len(p)
		return nil
	})
	if err == nil && end {
		err = io.EOF
	}
	return n, err
}

// WriteAt implements vfs.File.
func (f *crashFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WritevAt([][]byte{p}, off)
	return int(n), err
}

// WritevAt implements vfs.File.
func (f *crashFile) WritevAt(bufs [][]byte, off int64) (n int64, err error) {
	data := slices.Concat(bufs...)
	err = f.change("write", func() error {
		if len(data) == 0 {
			return nil
		}
		grows := off + int64(len(data)) - int64(len(f.n.data))
		if grows > 0 && grows > f.c.total-f.c.root.bytes() {
			return syscall.ENOSPC
		}
		f.apply(change{off: off, data: data})
		n = int64(len(data))
		return nil
	})
	return n, err
}

func (f *crashFile) apply(ch change) {
	f.n.data = ch.apply(f.n.data)
	f.n.pending = append(f.n.pending, ch)
}

// Truncate implements vfs.File.
func (f *crashFile) Truncate(size int64) error {
	return f.change("truncate", func() error {
		f.apply(change{off: size})
		return nil
	})
}

// Preallocate implements vfs.File. It reserves nothing and only checks for room.
func (f *crashFile) Preallocate(size int64) error {
	return f.change("fallocate", func() error {
		if size-int64(len(f.n.data)) > f.c.total-f.c.root.bytes() {
			return syscall.ENOSPC
		}
		return nil
	})
}

// StartWriteback implements vfs.File; it makes nothing durable.
func (f *crashFile) StartWriteback(int64, int64) error { return f.do("writeback", nothing) }

// Datasync implements vfs.File.
func (f *crashFile) Datasync() error {
	return f.do("datasync", func() error {
		if f.c.readOnly && len(f.n.pending) > 0 {
			return syscall.EROFS
		}
		for _, ch := range f.n.pending {
			f.n.durable = ch.apply(f.n.durable)
		}
		f.n.pending = nil
		return nil
	})
}

// Sync implements vfs.File.
func (f *crashFile) Sync() error { return f.Datasync() }

// Size implements vfs.File.
func (f *crashFile) Size() (size int64, err error) {
	err = f.do("size", func() error { size = int64(len(f.n.data)); return nil })
	return size, err
}

// Lock implements vfs.File.
func (f *crashFile) Lock() error {
	return f.do("lock", func() error {
		if f.n.locked && !f.holds {
			return vfs.ErrLocked
		}
		f.n.locked, f.holds = true, true
		return nil
	})
}

// Close implements vfs.File.
func (f *crashFile) Close() error {
	return f.do("close", func() error {
		f.closed = true
		f.c.open--
		if f.holds {
			f.n.locked = false
		}
		return nil
	})
}

func nothing() error { return nil }
