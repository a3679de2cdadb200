package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// target is the place below a root that a file is fetched to.
type target struct {
	root   *os.Root
	path   string      // with links resolved
	old    fs.FileInfo // the file that will be replaced; nil: none
	folder bool        // the parent folder exists
}

// maxLinks is how many links in a row are followed, as in Linux.
const maxLinks = 40

// findTarget resolves path to the file that is written. A link to a file is followed, as by any program that opens
// it, if it leads to a place below the root. A link to a folder is not followed: it may lead to files that belong elsewhere. Only
// regular files are replaced. Conflict.
func findTarget(root *os.Root, path string) (target, error) {
	todo := elements(path)
	var done []string
	t := target{root: root, folder: true}
	for links := 0; len(todo) > 0; {
		here := filepath.Join(append(done, todo[0])...)
		switch {
		case todo[0] != "..":
		case len(done) == 0:
			return target{}, leaves(path)
		case !t.old.IsDir():
			return target{}, fault.Local(&fs.PathError{Op: "open", Path: here, Err: syscall.ENOTDIR})
		case len(todo) == 1:
			return target{}, isFolder()
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
			return target{}, fault.Local(err)
		case t.old.Mode()&fs.ModeSymlink == 0:
			done = append(done, filepath.Base(here))
			continue
		}
		if len(todo) > 0 {
			return target{}, linkedFolder(here)
		}
		to, err := root.Readlink(here)
		switch {
		case err != nil:
			return target{}, fault.Local(err)
		case filepath.IsAbs(to):
			return target{}, leaves(here)
		case links == maxLinks:
			return target{}, fault.Local(&fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP})
		}
		links++
		todo = elements(to)
	}
	t.path = filepath.Join(done...)
	return t, t.check()
}

// missing is the target when here, the element before todo, does not exist.
func missing(t target, here string, todo []string) (target, error) {
	for _, element := range todo {
		if element == ".." {
			return target{}, fault.Local(&fs.PathError{Op: "open", Path: here, Err: syscall.ENOENT})
		}
	}
	t.old, t.folder = nil, len(todo) == 0
	t.path = filepath.Join(append([]string{here}, todo...)...)
	return t, nil
}

// elements are the elements of a path without ".". A ".." is kept: where it leads is known only after the element before
// it was resolved.
func elements(path string) []string {
	all := strings.FieldsFunc(path, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) })
	return slices.DeleteFunc(all, func(element string) bool { return element == "." })
}

func (t target) check() error {
	switch {
	case t.path == "", t.old.IsDir():
		return isFolder()
	case !t.old.Mode().IsRegular():
		return fault.New(problem.Conflict, "%s is not a regular file and is not replaced", t.path).
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

// create creates the temporary file of a target. If a file is replaced, it is readable by the user only until copyAttributes sets
// the mode of that file.
func (t target) create(temp string) (*os.File, error) {
	if !t.folder {
		if err := t.root.MkdirAll(filepath.Dir(t.path), 0o777); err != nil {
			return nil, fault.Local(err)
		}
	}
	mode := fs.FileMode(0o666) // before umask
	if t.old != nil {
		mode = 0o600
	}
	f, err := t.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, mode)
	return f, fault.Local(err)
}

// copyAttributes gives a file the mode and, as far as permitted, the owner of the file that it replaces, or the mode of a new file.
// If the group cannot be kept, the group bits are reduced to those of others, so that no other group gains access.
func (t target) copyAttributes(f *os.File) error {
	if t.old == nil {
		return fault.Local(f.Chmod(0o666 &^ umask))
	}
	mode := t.old.Mode().Perm()
	if !keepOwner(f, t.old) {
		mode &= 0o707 | mode<<3&0o070
	}
	return fault.Local(f.Chmod(mode))
}

// place sets the modification time of a complete file and renames it to the target, if the temporary name still is that file.
func (t target) place(f *os.File, temp string, file rest.File) error {
	setTime(t.root, temp, file)
	mine, err := f.Stat()
	if err != nil {
		return fault.Local(err)
	}
	there, err := t.root.Lstat(temp)
	if err != nil {
		return fault.Local(err)
	}
	if !os.SameFile(mine, there) || mine.Size() != file.Size {
		return fault.New(problem.Conflict, "%s, to which the bytes were written, was changed meanwhile", temp).
			WithHint("run the same command again, in a folder that no other program writes to")
	}
	return fault.Local(t.root.Rename(temp, t.path))
}

// setTime sets the modification time that was stored with the file. Without one, or if the file system cannot
// represent it, the time is left unchanged.
func setTime(root *os.Root, name string, file rest.File) {
	if at, err := time.Parse(time.RFC3339Nano, file.Meta["mtime"]); err == nil {
		_ = chtimes(root, name, at)
	}
}
