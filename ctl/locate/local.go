package locate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
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
	Remote address.Remote
	folder bool // file names are appended to the key
}

// ReadDestination parses the target argument: a key, or a folder if it ends in a slash or names only the bucket. With many
// sources it must be a folder. Invalid.
func ReadDestination(arg string, many, recursive bool) (Destination, error) {
	remote, err := address.Parse(arg)
	if err != nil {
		return Destination{}, err
	}
	folder := remote.Key == "" || strings.HasSuffix(remote.Key, "/")
	if many && !folder && !recursive {
		return Destination{}, fault.New(problem.Invalid, "%s is a single key, but there are several files", arg).
			WithHint("end it with a slash to use it as a folder: %s/", arg)
	}
	if recursive {
		remote.Key, folder = remote.Folder(), true
	}
	return Destination{Remote: remote, folder: folder}, nil
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

// Files finds the files that a path argument of put names, and calls found for each: the file itself or, with recursive, all
// files below the folder, in order of their names. Links to files are followed, links to folders are not.
func Files(arg string, dst Destination, recursive bool, found func(Found)) {
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		found(Found{Local: Local{Path: arg}, Err: fault.Wrap(arg, err)})
	case !info.IsDir():
		found(one(arg, filepath.Base(arg), info, dst))
	case !recursive:
		found(Found{Local: Local{Path: arg}, Err: fault.Wrap(arg,
			fault.New(problem.Invalid, "it is a folder").WithHint("s3ctl put -r %s %s", arg, dst.Remote))})
	default:
		walk(arg, dst, found)
	}
}

// one describes a file. A file that is neither regular nor a folder (a pipe, as of a shell's <(command)) is sent as a
// stream.
func one(path, rel string, info fs.FileInfo, dst Destination) Found {
	key, err := dst.key(rel)
	f := Found{Local: Local{Path: path, Key: key, Size: info.Size()}, Err: fault.Wrap(path, err)}
	if !info.Mode().IsRegular() {
		f.Size = -1
	}
	return f
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
		found(Found{Local: Local{Path: arg}, Err: err})
		return
	}
	_ = filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != root:
			found(Found{Local: Local{Path: path}, Skip: "it was removed meanwhile"})
			return nil
		case err != nil:
			found(Found{Local: Local{Path: path}, Err: fault.Wrap(path, err)})
			return nil // continue with the others
		case d.IsDir():
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			found(Found{Local: Local{Path: path}, Err: fault.Wrap(path, err)})
			return nil
		}
		found(entry(path, base+filepath.ToSlash(rel), d, dst))
		return nil
	})
}

// entry describes an entry of the walk.
func entry(path, rel string, d fs.DirEntry, dst Destination) Found {
	info, err := os.Stat(path) // follows links
	switch {
	case d.Type().IsRegular() && journal.Unfinished(filepath.Dir(path), d.Name()):
		return Found{Local: Local{Path: path}, Skip: "an unfinished download"}
	case errors.Is(err, fs.ErrNotExist) && d.Type()&fs.ModeSymlink == 0:
		return Found{Local: Local{Path: path}, Skip: "it was removed meanwhile"}
	case err != nil:
		return Found{Local: Local{Path: path}, Err: fault.Wrap(path, err)}
	case info.IsDir():
		return Found{Local: Local{Path: path}, Skip: "links to folders are not followed"}
	case !info.Mode().IsRegular():
		return Found{Local: Local{Path: path}, Skip: "not a regular file"}
	}
	return one(path, rel, info, dst)
}
