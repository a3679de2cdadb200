package compare

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
)

// File is a side that is one file, here or there.
type File struct {
	Path   string         // local; "" where it is remote
	Remote address.Remote // its key is not empty
}

// ReadFiles reads two arguments of which at least one is a file here: both sides are
// then one file each. An argument that is a folder, a bucket, or ends in a slash means the file
// in it that has the other's name. Not ok: neither is a file here, and both are folders. Invalid.
func ReadFiles(left, right string) (l, r File, ok bool, err error) {
	switch {
	case isFile(left):
		l = File{Path: left}
		r, err = beside(right, l)
	case isFile(right):
		r = File{Path: right}
		l, err = beside(left, r)
	default:
		return l, r, false, nil
	}
	return l, r, true, err
}

func isFile(arg string) bool {
	if address.IsRemote(arg) {
		return false
	}
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir()
}

// beside is the file that arg names, or that it has under the name of the local file.
func beside(arg string, local File) (File, error) {
	name := filepath.Base(local.Path)
	if !address.IsRemote(arg) {
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			arg = filepath.Join(arg, name)
		}
		return File{Path: arg}, nil
	}
	remote, err := address.Parse(arg)
	if remote.Key == "" || strings.HasSuffix(remote.Key, "/") {
		remote.Key += name
	}
	return File{Remote: remote}, err
}

// String is the file as a path or an address.
func (f File) String() string {
	if f.Path != "" {
		return f.Path
	}
	return f.Remote.String()
}

// Name is the last element of the path or the key.
func (f File) Name() string {
	if f.Path != "" {
		return filepath.Base(f.Path)
	}
	return path.Base(f.Remote.Key)
}

// Side finds the file, and is that one entry under the name, so that files of two names can be a pair. NotFound.
func (f File) Side(ctx context.Context, l locate.Lister, name string) (Side, error) {
	e, err := f.entry(ctx, l)
	if err != nil {
		return nil, fault.Wrap(f.String(), err)
	}
	e.Name = name
	return Side(slices.Values([]Entry{e})), nil
}

func (f File) entry(ctx context.Context, l locate.Lister) (Entry, error) {
	if f.Path == "" {
		found, err := l.Latest(ctx, f.Remote.Bucket, f.Remote.Key)
		return object(found, ""), err
	}
	info, err := os.Stat(f.Path)
	switch {
	case err != nil:
		return Entry{}, err
	case !info.Mode().IsRegular():
		return Entry{}, fault.New("invalid", "this is no regular file")
	}
	return Entry{Path: f.Path, Size: info.Size(), Time: info.ModTime(), Own: true}, nil
}
