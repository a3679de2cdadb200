package compare

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/proto/rest"
)

// Remote is what a bucket shows behind a prefix. Objects that only stand for a folder
// (empty, and named with a slash at the end) are left out.
func Remote(ctx context.Context, l locate.Lister, bucket, prefix string) Side {
	return func(yield func(Entry) bool) {
		for e, err := range l.List(ctx, client.Query{Bucket: bucket, Prefix: prefix}) {
			if err != nil {
				yield(Entry{Err: fault.Wrap(address.Remote{Bucket: bucket, Key: prefix}.String(), err)})
				return
			}
			if e.File == nil || e.File.Size == 0 && strings.HasSuffix(e.Name, "/") {
				continue
			}
			if !yield(object(*e.File, prefix)) {
				return
			}
		}
	}
}

func object(f rest.File, prefix string) Entry {
	e := Entry{Name: strings.TrimPrefix(f.Name, prefix), Size: f.Size, Time: f.CreatedAt, File: &f}
	if at, err := time.Parse(time.RFC3339Nano, f.Meta["mtime"]); err == nil {
		e.Time, e.Own = at, true
	}
	return e
}

// Links say what a walk does with links.
type Links bool

// Links to files are read as what they point to, or stand for themselves. Links to folders are never followed.
const (
	Follow Links = true
	Keep   Links = false
)

// Local is what lies in a local folder; one that is not there has nothing in it. The
// parts of downloads under way are left out.
func Local(root string, links Links) Side {
	return func(yield func(Entry) bool) {
		w := &walk{root: root, links: links, yield: yield}
		w.folder("")
	}
}

// walk goes through a folder in byte order of the keys that its files would have.
type walk struct {
	root  string
	links Links
	yield func(Entry) bool
}

// folder walks one folder; prefix is its name with a slash, or "". False means to stop.
func (w *walk) folder(prefix string) bool {
	path := w.path(prefix)
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && prefix == "":
		return true
	case err != nil && !w.yield(Entry{Name: prefix, Err: fault.Wrap(path, err)}):
		return false
	}
	// In keys a folder's name goes on with a slash: "a-b" comes before what lies in "a".
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(keyOf(a), keyOf(b)) })
	for _, d := range entries {
		if !w.entry(prefix, d) {
			return false
		}
	}
	return true
}

func keyOf(d fs.DirEntry) string {
	if d.IsDir() {
		return d.Name() + "/"
	}
	return d.Name()
}

func (w *walk) path(name string) string { return filepath.Join(w.root, filepath.FromSlash(name)) }

func (w *walk) entry(prefix string, d fs.DirEntry) bool {
	name := prefix + d.Name()
	switch {
	case d.IsDir():
		return w.folder(name + "/")
	case unfinished(d.Name()):
		return true
	}
	info, err := w.info(name, d)
	e := Entry{Name: name, Path: w.path(name)}
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.Type()&fs.ModeSymlink == 0:
		e.Skip = "it vanished meanwhile"
	case err != nil:
		e.Err = fault.Wrap(e.Path, err)
	case info.IsDir():
		e.Skip = "a link to a folder is not followed"
	case !info.Mode().IsRegular() && w.links == Follow:
		e.Skip = "not a regular file"
	default:
		e.Size, e.Time, e.Own = info.Size(), info.ModTime(), true
		if !info.Mode().IsRegular() {
			e.Size = -1 // the same as no object
		}
	}
	return w.yield(e)
}

func (w *walk) info(name string, d fs.DirEntry) (fs.FileInfo, error) {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Info()
	}
	info, err := os.Stat(w.path(name))
	if w.links == Follow || err == nil && info.IsDir() {
		return info, err
	}
	return d.Info()
}

// unfinished tells the names under which a download collects its bytes until it is complete.
func unfinished(name string) bool {
	return strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".part") || strings.HasSuffix(name, ".part.log"))
}
