package compare

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// File is a side that is a single file, local or remote.
type File struct {
	Path   string         // of a local file; "" if remote
	Remote address.Remote // of a remote file; its key is not empty
	Name   string         // of its entry; the same for both sides
}

// ReadFiles parses two arguments of which at least one is a local file: both sides are then a file under its name, and an
// argument that is a folder, a bucket, or ends in a slash means the file of that name in it. ok is false if
// neither is a local file. Invalid.
func ReadFiles(left, right string) (l, r File, ok bool, err error) {
	switch {
	case isFile(left):
		l = File{Path: left, Name: filepath.Base(left)}
		r, err = beside(right, l.Name)
	case isFile(right):
		r = File{Path: right, Name: filepath.Base(right)}
		l, err = beside(left, r.Name)
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

// beside returns the file that arg names, or the file of that name in it.
func beside(arg, name string) (File, error) {
	if !address.IsRemote(arg) {
		path, err := address.Resolve(arg)
		if info, failed := os.Stat(arg); failed == nil && info.IsDir() {
			path = filepath.Join(path, name)
		}
		return File{Path: path, Name: name}, err
	}
	remote, err := address.Parse(arg)
	if remote.Key == "" || strings.HasSuffix(remote.Key, "/") {
		remote.Key += name
	}
	return File{Remote: remote, Name: name}, err
}

// Side yields the file as its only entry. A link is always followed, since the user named it.
func (f File) Side(ctx context.Context, l client.Lister, _ Links) Side {
	return func(yield func(Entry) bool) { yield(f.entry(ctx, l)) }
}

func (f File) entry(ctx context.Context, l client.Lister) Entry {
	if f.Path == "" {
		found, err := l.Latest(ctx, f.Remote.Bucket, f.Remote.Key)
		if err != nil {
			return Entry{Err: fault.Wrap(f.Remote.String(), err)}
		}
		e := object(found, "")
		e.Name = f.Name
		return e
	}
	info, err := os.Stat(f.Path)
	switch {
	case err != nil:
		return Entry{Err: fault.Wrap(f.Path, err)}
	case !info.Mode().IsRegular():
		return Entry{Err: fault.Wrap(f.Path, fault.New(problem.Invalid, "it is not a regular file"))}
	}
	return Entry{Name: f.Name, State: Present, Path: f.Path, Size: info.Size(), Time: info.ModTime(), Own: true}
}
