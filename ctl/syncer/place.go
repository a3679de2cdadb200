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
)

// late is a change whose place in the local target is taken: by a folder where its file is to be, or by a file where it needs a folder.
type late struct {
	change
	folder bool   // the place is a folder, which may go when nothing is left in it; else:
	file   string // what only the target has, and has to go first
	stays  bool   // something there is not to be removed
}

// waitsFor reports whether a name of the target has to go before the change can be made.
func (l *late) waitsFor(name string) bool {
	if l.folder {
		return strings.HasPrefix(name, l.Name+"/")
	}
	return name == l.file
}

// stays tells the changes that wait for a folder's place that something in it is not to be removed. It is called with names in order.
func (s *Syncer) stays(name string) {
	s.open = slices.DeleteFunc(s.open, func(l *late) bool { return name >= l.Name+"0" }) // '0' follows '/'
	for _, l := range s.open {
		if l.waitsFor(name) {
			l.stays = true
		}
	}
}

// placed reports whether a change has a place in the target by now. One that must wait for it is kept, and one that can have none fails.
func (s *Syncer) placed(c change) bool {
	if !s.Target.Local() || c.reason == "" { // where a checksum decides, there is a file already
		return true
	}
	l, err := s.place(c.Name)
	switch {
	case err != nil:
		s.failAt(c.Name, err)
	case l != nil:
		l.change = c
		s.late = append(s.late, l)
		if !l.folder {
			return false
		}
		s.open = append(s.open, l)
	default:
		return true
	}
	s.above = slices.DeleteFunc(s.above, func(folder string) bool { return folder == c.Name+"/" }) // nothing is there to be continued
	return false
}

// place looks at what stands where a file of the source is to be, and on the way to it, without following links. Nil is a free place, or a
// file to be replaced. Invalid, Conflict and what the system says.
func (s *Syncer) place(name string) (*late, error) {
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
			return &late{folder: true}, nil
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

// mayBeNamed asks the system whether it takes the names of folders and files that are not there yet: the nearest folder that
// is there answers for those below it.
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

// surelyShort is a length in bytes up to which every file system takes a name.
const surelyShort = 128

// longElements are the elements of a name that a file system may refuse.
func longElements(name string) (long []string) {
	for e := range strings.SplitSeq(name, "/") {
		if len(e) > surelyShort {
			long = append(long, e)
		}
	}
	return long
}

// waitForFile is for a change that needs a folder where a file stands, and in it the names of below.
func (s *Syncer) waitForFile(name, path string, below []string) (*late, error) {
	_, extra := slices.BinarySearchFunc(s.extra, name, func(e compare.Entry, name string) int { return strings.Compare(e.Name, name) })
	if !extra {
		return nil, fault.New("conflict", "%s is a file, where a folder is needed", path).WithHint("move it away, or let it be removed with --delete")
	}
	return &late{file: name}, mayBeNamed(filepath.Dir(path), below)
}

// writable says why a name in the local target cannot be made or replaced: the folder that it is to be in, or the next one above
// that is there, cannot be written.
func (s *Syncer) writable(name string) error {
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
		case !info.IsDir(): // it stands in the way of a folder, and is to be removed before
			at = up
			continue
		}
		if err := mayWrite(at); err != nil {
			return fault.Wrap(at, err)
		}
		return nil
	}
}
