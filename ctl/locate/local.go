package locate

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Local is a local file to send.
type Local struct {
	Path string // as opened and shown
	Key  string // the key that it is stored under
	Size int64  // bytes; -1 if it is not a regular file
}

// String returns the path.
func (l Local) String() string { return l.Path }

// Destination is the target of put, cp or mv.
type Destination struct {
	Remote    address.Remote
	folder    bool // file names are appended to the key
	recursive bool
}

// Sources is what is sent to a destination.
type Sources struct {
	Many      bool // more than one argument, or one that matches several objects
	Recursive bool // folders are sent with all that is below them
}

// ReadDestination parses the target argument: a key, or a folder if it ends in a slash or names only the bucket. With many
// sources it must be a folder; with recursive ones it is one. Invalid.
func ReadDestination(arg string, from Sources) (Destination, error) {
	remote, err := address.Parse(arg)
	if err != nil {
		return Destination{}, err
	}
	folder := remote.Key == "" || strings.HasSuffix(remote.Key, "/")
	if from.Many && !folder && !from.Recursive {
		return Destination{}, fault.New(problem.Invalid, "%s is a single key, but there are several files", arg).
			WithHint("end it with a slash to use it as a folder: %s/", arg)
	}
	if from.Recursive {
		remote.Key, folder = remote.Folder(), true
	}
	return Destination{Remote: remote, folder: folder, recursive: from.Recursive}, nil
}

// Folder reports whether file names are appended to the key.
func (d Destination) Folder() bool { return d.folder }

// Rel is the name of a file relative to the destination, to which --include and --exclude apply.
func (d Destination) Rel(l Local) string {
	if d.folder {
		return strings.TrimPrefix(l.Key, d.Remote.Key)
	}
	return filepath.Base(l.Path)
}

// Place returns the address for a file of that relative name, with slashes as separators. Invalid.
func (d Destination) Place(rel string) (address.Remote, error) {
	key, err := d.key(rel)
	return address.Remote{Bucket: d.Remote.Bucket, Key: key}, err
}

// key returns the key for a file of that relative name, with slashes as separators. Invalid.
func (d Destination) key(rel string) (string, error) {
	key := d.Remote.Key
	if d.folder {
		key += rel
	}
	return key, address.CheckKey(key)
}

// Found is a file that was found, or a path that cannot be sent. A skipped path is not an error.
type Found struct {
	Local
	Err  error  // about Path
	Skip string // why it is skipped; "" if it is not
}

func failed(path string, err error) Found { return Found{Local: Local{Path: path}, Err: err} }

// Files finds the files that a path argument of put names, and calls found for each: the file itself or, if the sources are recursive, all
// files below the folder, in order of their keys. Links to files are followed, links to folders are not.
func Files(arg string, dst Destination, found func(Found)) {
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		found(failed(arg, fault.Wrap(arg, err)))
	case info.Mode().IsRegular():
		found(one(arg, filepath.Base(arg), info.Size(), dst))
	case !info.IsDir(): // a pipe, as of a shell's <(command), is sent as a stream
		found(one(arg, filepath.Base(arg), -1, dst))
	case !dst.recursive:
		found(failed(arg, fault.Wrap(arg, fault.New(problem.Invalid, "it is a folder").WithHint("s3ctl put -r %s %s", arg, dst.Remote))))
	default:
		walk(arg, dst, found)
	}
}

func one(path, rel string, size int64, dst Destination) Found {
	key, err := dst.key(rel)
	return Found{Local: Local{Path: path, Key: key, Size: size}, Err: fault.Wrap(path, err)}
}

func walk(arg string, dst Destination, found func(Found)) {
	// As in rsync, "dir" keeps its name in the keys and "dir/" does not, nor do "." and "..".
	base := ""
	if !strings.HasSuffix(arg, "/") && !strings.HasSuffix(arg, string(filepath.Separator)) {
		if name := filepath.Base(arg); name != "." && name != ".." {
			base = name + "/"
		}
	}
	root, err := address.Resolve(arg)
	if err != nil {
		found(failed(arg, err))
		return
	}
	for e := range compare.Local(root, compare.Follow) {
		switch {
		case e.Err != nil:
			found(failed(e.Path, e.Err))
		case e.State != compare.Present:
			found(Found{Local: Local{Path: e.Path}, Skip: e.Why})
		default:
			found(one(e.Path, base+e.Name, e.Size, dst))
		}
	}
}
