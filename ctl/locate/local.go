package locate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// Local is a local file to be sent.
type Local struct {
	Path string // as it is opened and shown
	Key  string // where it goes
	Size int64  // bytes; -1 for what is no regular file
}

// Destination is where files are put.
type Destination struct {
	Remote address.Remote
	folder bool // keys are made from file names
}

// ReadDestination reads the last argument of put: a key, or with a slash at its
// end (or nothing after the bucket) a folder. With many sources it must be a folder. Invalid.
func ReadDestination(arg string, many, recursive bool) (Destination, error) {
	remote, err := address.Parse(arg)
	if err != nil {
		return Destination{}, err
	}
	folder := remote.Key == "" || strings.HasSuffix(remote.Key, "/")
	if many && !folder && !recursive {
		return Destination{}, fault.New("invalid", "%s is one key, but there are several files", arg).
			WithHint("end it in a slash to put them under it: %s/", arg)
	}
	if recursive {
		remote.Key, folder = remote.Folder(), true
	}
	return Destination{Remote: remote, folder: folder}, nil
}

// Folder reports whether keys are made from file names.
func (d Destination) Folder() bool { return d.folder }

// Rel is the name of a file that goes to the destination, as it goes by there: what
// --include and --exclude look at.
func (d Destination) Rel(l Local) string {
	if d.folder {
		return strings.TrimPrefix(l.Key, d.Remote.Key)
	}
	return filepath.Base(l.Path)
}

// Place is where a file of that relative name, written with slashes, goes. Invalid.
func (d Destination) Place(rel string) (address.Remote, error) {
	key, err := d.key(rel)
	return address.Remote{Bucket: d.Remote.Bucket, Key: key}, err
}

// key is where a file of that relative name, written with slashes, goes. Invalid.
func (d Destination) key(rel string) (string, error) {
	key := d.Remote.Key
	if d.folder {
		key += rel
	}
	return key, address.CheckKey(key)
}

// Found tells of each file that was found, or of a path that cannot be sent. A
// skipped one is not an error.
type Found struct {
	Local
	Err  error  // about Path
	Skip string // why it is passed over, when it is
}

// Files finds what a path argument of put names: the file itself or, with
// recursive, all files below the folder, in order of their names. Links to files
// are followed, links to folders are not. found is called for each.
func Files(arg string, dst Destination, recursive bool, found func(Found)) {
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		found(Found{Local: Local{Path: arg}, Err: fault.Wrap(arg, err)})
	case !info.IsDir():
		found(one(arg, filepath.Base(arg), info, dst))
	case !recursive:
		found(Found{Local: Local{Path: arg}, Err: fault.Wrap(arg,
			fault.New("invalid", "this is a folder").WithHint("s3ctl put -r %s %s", arg, dst.Remote))})
	default:
		walk(arg, dst, found)
	}
}

// one describes a file. What is neither file nor folder (a pipe, as of a
// shell's <(command)) is sent as a stream.
func one(path, rel string, info fs.FileInfo, dst Destination) Found {
	key, err := dst.key(rel)
	f := Found{Local: Local{Path: path, Key: key, Size: info.Size()}, Err: fault.Wrap(path, err)}
	if !info.Mode().IsRegular() {
		f.Size = -1
	}
	return f
}

func walk(arg string, dst Destination, found func(Found)) {
	// As with rsync, "dir" keeps its own name in the keys and "dir/" does not. Neither
	// do "." and "..", which are no names.
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
			found(Found{Local: Local{Path: path}, Skip: "it vanished meanwhile"})
			return nil
		case err != nil:
			found(Found{Local: Local{Path: path}, Err: fault.Wrap(path, err)})
			return nil // the others can still be sent
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

// entry describes what the walk came upon.
func entry(path, rel string, d fs.DirEntry, dst Destination) Found {
	info, err := os.Stat(path) // follows links
	switch {
	case d.Type().IsRegular() && transfer.Unfinished(filepath.Dir(path), d.Name()):
		return Found{Local: Local{Path: path}, Skip: "a download that is not complete"}
	case errors.Is(err, fs.ErrNotExist) && d.Type()&fs.ModeSymlink == 0:
		return Found{Local: Local{Path: path}, Skip: "it vanished meanwhile"}
	case err != nil:
		return Found{Local: Local{Path: path}, Err: fault.Wrap(path, err)}
	case info.IsDir():
		return Found{Local: Local{Path: path}, Skip: "a link to a folder is not followed"}
	case !info.Mode().IsRegular():
		return Found{Local: Local{Path: path}, Skip: "not a regular file"}
	}
	return one(path, rel, info, dst)
}
