package syncer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/proto/problem"
)

// deferred is a change whose path in the local target is occupied: by a folder where its file belongs, or by a file where it
// needs a folder. It is made at the end, after what is in the way was removed.
type deferred struct {
	change
	folder bool   // the path is a folder, which is removed if it is empty by then; otherwise
	file   string // is the extra file in the way, which has to be removed first
	stays  bool   // something in the way must not be removed
}

// waitsFor reports whether a name of the target has to be removed before the change can be made.
func (l *deferred) waitsFor(name string) bool {
	if l.folder {
		return strings.HasPrefix(name, l.Name+"/")
	}
	return name == l.file
}

// keep marks the deferred changes that need this name removed: it must not be. It is called with names in order.
func (s *syncer) keep(name string) {
	s.open = slices.DeleteFunc(s.open, func(l *deferred) bool { return name >= l.Name+"0" }) // '0' follows '/'
	for _, l := range s.open {
		if l.waitsFor(name) {
			l.stays = true
		}
	}
}

// placed reports whether a change can be made at once. Otherwise it is deferred, or fails if its path can never be free.
func (s *syncer) placed(c change) bool {
	if !s.Target.Local() || c.reason == "" { // if a checksum decides, the target has the file already
		return true
	}
	l, err := s.place(c.Name)
	switch {
	case err != nil:
		s.failAt(c.Name, err)
	case l != nil:
		l.change = c
		s.deferred = append(s.deferred, l)
		if !l.folder {
			return false
		}
		s.open = append(s.open, l)
	default:
		return true
	}
	s.above = slices.DeleteFunc(s.above, func(folder string) bool { return folder == c.Name+"/" }) // the file does not exist yet
	return false
}

// place checks the path of a file in the local target, and its parents, without following links. nil means that the path is
// free or is a file to replace. Invalid, Conflict, and errors of the system.
func (s *syncer) place(name string) (*deferred, error) {
	local, err := address.Localize(name)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(local, string(filepath.Separator))
	folder := filepath.Dir(local)
	at, first := s.Target.Dir, 0
	if folder == s.checked && folder != "." {
		at, first = filepath.Join(at, folder), len(parts)-1
	}
	for i, part := range parts[first:] {
		i += first
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, mayBeNamed(filepath.Dir(at), parts[i:])
		case err != nil:
			return nil, err
		case info.Mode()&fs.ModeSymlink != 0 && i < len(parts)-1:
			return nil, inTheWay(at + " is a link")
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, inTheWay(compare.LinkFile)
		case info.IsDir() && i == len(parts)-1:
			return &deferred{folder: true}, nil
		case info.IsDir():
		case i == len(parts)-1 && !info.Mode().IsRegular():
			return nil, inTheWay(compare.Irregular)
		case i < len(parts)-1:
			return s.waitForFile(strings.Join(parts[:i+1], "/"), at, parts[i+1:])
		}
		if i == len(parts)-2 {
			s.checked = folder
		}
	}
	return nil, nil
}

// mayBeNamed checks that the file system accepts the names of folders and files that do not exist yet, by looking them up in
// the nearest existing folder.
func mayBeNamed(folder string, names []string) error {
	for up := filepath.Dir(folder); up != folder; folder, up = up, filepath.Dir(up) {
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			break
		}
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

// surelyShort is a name length in bytes that every file system accepts.
const surelyShort = 128

// longElements returns the elements of a name that a file system may refuse.
func longElements(name string) (long []string) {
	for e := range strings.SplitSeq(name, "/") {
		if len(e) > surelyShort {
			long = append(long, e)
		}
	}
	return long
}

// waitForFile defers a change that needs a folder where there is a file; below are the names that it needs in the folder.
func (s *syncer) waitForFile(name, path string, below []string) (*deferred, error) {
	_, extra := slices.BinarySearchFunc(s.extra, name, func(e compare.Entry, name string) int { return strings.Compare(e.Name, name) })
	if !extra {
		return nil, fault.New(problem.Conflict, "%s is a file, but a folder is needed", path).WithHint("move it away, or use --delete to remove it")
	}
	return &deferred{file: name}, mayBeNamed(filepath.Dir(path), below)
}

// writable checks that a name in the local target can be created or replaced: its nearest existing parent folder must be
// writable.
func (s *syncer) writable(name string) error {
	at := filepath.Dir(filepath.Join(s.Target.Dir, filepath.FromSlash(name)))
	for {
		info, err := os.Stat(at)
		up := filepath.Dir(at)
		switch {
		case absent(err) && up != at:
			at = up
			continue
		case err != nil:
			return err
		case !info.IsDir(): // it is in the way of a folder, and is removed first
			at = up
			continue
		}
		if err := localfile.MayWrite(at); err != nil {
			return fault.Wrap(at, err)
		}
		return nil
	}
}
