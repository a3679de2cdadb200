// Package localfile has the files on this machine that a transfer writes: where a path leads, which files may be replaced, and
// how a new file takes the place of an old one at once and complete. It also reads files for their checksum. It knows no server.
package localfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Target is the place below a root that a file is written to. The bytes are first written to another file beside it, which
// Place renames. A Target is not changed after Find; errors of its methods are *fault.Error.
type Target struct {
	Root *os.Root
	Path string // below the root, with links resolved

	old    fs.FileInfo // the file that will be replaced; nil: none
	folder bool        // the parent folder exists
}

// maxLinks is how many links in a row are followed, as in Linux.
const maxLinks = 40

// Find resolves path to the file that is written. A link to a file is followed, as by any program that opens
// it, if it leads to a place below the root. A link to a folder is not followed: it may lead to files that belong elsewhere. Only
// regular files are replaced. Conflict.
func Find(root *os.Root, path string) (Target, error) {
	todo := elements(path)
	var done []string
	t := Target{Root: root, folder: true}
	for links := 0; len(todo) > 0; {
		here := filepath.Join(append(done, todo[0])...)
		switch {
		case todo[0] != "..":
		case len(done) == 0:
			return Target{}, leaves(path)
		case !t.old.IsDir():
			return Target{}, fault.Local(&fs.PathError{Op: "open", Path: here, Err: syscall.ENOTDIR})
		case len(todo) == 1:
			return Target{}, isFolder()
		default:
			done, todo = done[:len(done)-1], todo[1:]
			continue
		}
		todo = todo[1:]
		var err error
		t.old, err = root.Lstat(here)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return missing(t, here, todo)
		case err != nil:
			return Target{}, fault.Local(err)
		case t.old.Mode()&fs.ModeSymlink == 0:
			done = append(done, filepath.Base(here))
			continue
		}
		if len(todo) > 0 {
			return Target{}, linkedFolder(here)
		}
		to, err := root.Readlink(here)
		switch {
		case err != nil:
			return Target{}, fault.Local(err)
		case filepath.IsAbs(to):
			return Target{}, leaves(here)
		case links == maxLinks:
			return Target{}, fault.Local(&fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP})
		}
		links++
		todo = elements(to)
	}
	t.Path = filepath.Join(done...)
	return t, t.check()
}

// missing is the target when here, the element before todo, does not exist.
func missing(t Target, here string, todo []string) (Target, error) {
	for _, element := range todo {
		if element == ".." {
			return Target{}, fault.Local(&fs.PathError{Op: "open", Path: here, Err: syscall.ENOENT})
		}
	}
	t.old, t.folder = nil, len(todo) == 0
	t.Path = filepath.Join(append([]string{here}, todo...)...)
	return t, nil
}

// elements are the elements of a path without ".". A ".." is kept: where it leads is known only after the element before
// it was resolved.
func elements(path string) []string {
	all := strings.FieldsFunc(path, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) })
	return slices.DeleteFunc(all, func(element string) bool { return element == "." })
}

func (t Target) check() error {
	switch {
	case t.Path == "", t.old.IsDir():
		return isFolder()
	case !t.old.Mode().IsRegular():
		return fault.New(problem.Conflict, "%s is not a regular file and is not replaced", t.Path).
			WithHint("move it away, or write to it: s3ctl get s3://BUCKET/KEY FILE")
	}
	return nil
}

func isFolder() error {
	return fault.New(problem.Conflict, "the target is a folder").WithHint("name a file, or move the folder away")
}

func leaves(path string) error {
	return fault.New(problem.Conflict, "%s leads out of the target folder; nothing is written there", path).
		WithHint("fetch this object alone to that place, or remove the link: s3ctl get s3://BUCKET/KEY FILE")
}

func linkedFolder(path string) error {
	return fault.New(problem.Conflict, "%s is a link to a folder; nothing is written through it", path).
		WithHint("fetch to the folder itself, or remove the link")
}

// MkdirAll creates a folder below the root and its missing parents. An element that is a link is Conflict.
func MkdirAll(root *os.Root, path string) error {
	for i, r := range path + string(filepath.Separator) {
		if r != filepath.Separator || i == 0 {
			continue
		}
		switch info, err := root.Lstat(path[:i]); {
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			return linkedFolder(path[:i])
		case errors.Is(err, fs.ErrNotExist):
			return fault.Local(root.MkdirAll(path, 0o777))
		case err == nil && !info.IsDir():
			return fault.Local(&fs.PathError{Op: "mkdir", Path: path[:i], Err: syscall.ENOTDIR})
		case err != nil:
			return fault.Local(err)
		}
	}
	return nil
}

// TempName is a unique, unpredictable path beside the target: ".name.part-xxxxxxxx".
func (t Target) TempName() string {
	return beside(t.Path, ".part-"+strings.ToLower(rand.Text()[:8]), 0)
}

// PartName is the path beside the target of its partial file, ".name.part": the same for every run. A suffix of up to reserved
// bytes can be appended to it.
func (t Target) PartName(reserved int) string { return beside(t.Path, ".part", reserved) }

// maxName is the longest file name, in bytes, that common file systems accept.
const maxName = 255

// beside is a hidden path beside path with a suffix. The name is shortened where that and the reserved bytes would make it too
// long.
func beside(path, suffix string, reserved int) string {
	dir, name := filepath.Split(path)
	for len(name)+1+len(suffix)+reserved > maxName {
		_, w := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-w]
	}
	return dir + "." + name + suffix
}

// MkdirParent creates the folder of the target if it is missing.
func (t Target) MkdirParent() error {
	if t.folder {
		return nil
	}
	return fault.Local(t.Root.MkdirAll(filepath.Dir(t.Path), 0o777))
}

// Create creates the temporary file of that name, and missing folders. It has the attributes of CopyAttributes, and before that
// is readable by the user only if a file is replaced.
func (t Target) Create(temp string) (*os.File, error) {
	if err := t.MkdirParent(); err != nil {
		return nil, err
	}
	if t.old == nil {
		f, err := t.Root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666) // before umask
		return f, fault.Local(err)
	}
	f, err := t.Root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Local(err)
	}
	if err := t.CopyAttributes(f); err != nil {
		_ = f.Close()
		_ = t.Root.Remove(temp)
		return nil, err
	}
	return f, nil
}

// CopyAttributes gives a file the mode and, as far as permitted, the owner of the file that it replaces, or the mode of a new file.
// If the group cannot be kept, the group bits are reduced to those of others, so that no other group gains access.
func (t Target) CopyAttributes(f *os.File) error {
	if t.old == nil {
		return fault.Local(f.Chmod(0o666 &^ umask))
	}
	mode := t.old.Mode().Perm()
	if !keepOwner(f, t.old) {
		mode &= 0o707 | mode<<3&0o070
	}
	return fault.Local(f.Chmod(mode))
}

// Place sets the modification time of a complete file of that size, unless it is zero, and renames it to the target, if the
// temporary name still is that file. Conflict: another program changed it.
func (t Target) Place(f *os.File, temp string, size int64, modified time.Time) error {
	if !modified.IsZero() {
		_ = chtimes(t.Root, temp, modified) // a time that the file system cannot represent is left out
	}
	mine, err := f.Stat()
	if err != nil {
		return fault.Local(err)
	}
	there, err := t.Root.Lstat(temp)
	if err != nil {
		return fault.Local(err)
	}
	if !os.SameFile(mine, there) || mine.Size() != size {
		return fault.New(problem.Conflict, "%s, to which the bytes were written, was changed meanwhile", temp).
			WithHint("run the same command again, in a folder that no other program writes to")
	}
	return fault.Local(t.Root.Rename(temp, t.Path))
}

// Sync makes the name of a placed file durable.
func (t Target) Sync() error {
	d, err := t.Root.Open(filepath.Dir(t.Path))
	if err != nil {
		return fault.Local(err)
	}
	defer d.Close()
	if err := d.Sync(); !errors.Is(err, fs.ErrInvalid) {
		return fault.Local(err)
	}
	return nil
}

// Reset empties a file, reserves size bytes on the disk and gives it that size; its bytes are zero then. NoSpace.
func Reset(f *os.File, size int64) error {
	err := f.Truncate(0)
	if err == nil {
		err = Preallocate(f, size)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	return fault.Local(err)
}
