package compare

import (
	"context"
	"os"
	"path/filepath"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Folder is a side that is a local folder or a remote prefix.
type Folder struct {
	Dir    string         // path of a local folder; "" if remote
	Remote address.Remote // of a remote folder; its key is empty or ends in a slash

	// Markers includes objects that only stand for a folder (empty, with a slash at the end of the key). Otherwise they are
	// left out, as local folders are.
	Markers bool
}

// ReadFolders parses two arguments, without wildcards. Between two prefixes markers are included, since nothing becomes a local
// file. Invalid, and errors of the system about a local path.
func ReadFolders(left, right string) (l, r Folder, err error) {
	if l, err = readFolder(left); err != nil {
		return l, r, err
	}
	if r, err = readFolder(right); err != nil {
		return l, r, err
	}
	l.Markers = !l.Local() && !r.Local()
	r.Markers = l.Markers
	return l, r, nil
}

func readFolder(arg string) (Folder, error) {
	if !address.IsRemote(arg) {
		dir, err := address.Resolve(arg)
		return Folder{Dir: dir}, err
	}
	remote, err := address.Parse(arg)
	remote.Key = remote.Folder()
	return Folder{Remote: remote}, err
}

// Local reports whether the folder is local.
func (f Folder) Local() bool { return f.Dir != "" }

// String returns the folder as an address or a path.
func (f Folder) String() string {
	if f.Local() {
		return f.Dir
	}
	return f.Remote.String()
}

// At returns the path or address of a file of that relative name, for output.
func (f Folder) At(name string) string {
	if f.Local() {
		return filepath.Join(f.Dir, filepath.FromSlash(name))
	}
	return f.Object(name).String()
}

// Object returns the address of a file of that relative name in a remote folder.
func (f Folder) Object(name string) address.Remote {
	return address.Remote{Bucket: f.Remote.Bucket, Key: f.Remote.Key + name}
}

// Exists checks that a local folder exists. A remote one is checked when it is listed.
func (f Folder) Exists() error {
	if !f.Local() {
		return nil
	}
	info, err := os.Stat(f.Dir)
	switch {
	case err != nil:
		return fault.Wrap(f.Dir, err)
	case !info.IsDir():
		return fault.Wrap(f.Dir, fault.New(problem.Invalid, "it is a file, not a folder"))
	}
	return nil
}

// Side reads the folder.
func (f Folder) Side(ctx context.Context, l client.Lister, links Links) Side {
	if f.Local() {
		return Local(f.Dir, links)
	}
	return Remote(ctx, l, f)
}

// Within reports whether one folder is in the other, or both are the same.
func Within(a, b Folder) bool {
	if a.Local() != b.Local() || a.Remote.Bucket != b.Remote.Bucket {
		return false
	}
	short, long := a.Remote.Key, b.Remote.Key
	if len(short) > len(long) {
		short, long = long, short
	}
	return long[:len(short)] == short
}
