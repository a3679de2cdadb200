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
	"syscall"
	"time"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/proto/rest"
)

// Remote lists a remote folder.
func Remote(ctx context.Context, l client.Lister, f Folder) Side {
	return func(yield func(Entry) bool) {
		for e, err := range l.List(ctx, client.Query{Bucket: f.Remote.Bucket, Prefix: f.Remote.Key}) {
			if err != nil {
				yield(Entry{Err: fault.Wrap(f.Remote.String(), err)})
				return
			}
			if e.File == nil || !f.Markers && e.File.Size == 0 && strings.HasSuffix(e.Name, "/") {
				continue
			}
			if !yield(object(*e.File, f.Remote.Key)) {
				return
			}
		}
	}
}

func object(f rest.File, prefix string) Entry {
	e := Entry{Name: strings.TrimPrefix(f.Name, prefix), State: Present, Size: f.Size, Time: f.CreatedAt, File: &f}
	if at, err := time.Parse(time.RFC3339Nano, f.Meta["mtime"]); err == nil {
		e.Time, e.Own = at, true
	}
	return e
}

// Links defines what a walk does with links to files; links to folders are never followed.
type Links bool

// With Follow, for a source, a link to a file is the file that it leads to. With Keep, for a target, it is Unknown: a link
// is neither replaced nor followed for writing.
const (
	Follow Links = true
	Keep   Links = false
)

// Local lists a local folder; one that does not exist is empty. Files of unfinished downloads, devices, and everything
// below links to folders are Unknown.
func Local(root string, links Links) Side {
	return func(yield func(Entry) bool) {
		w := &walk{root: root, links: links, yield: yield}
		w.folder("")
	}
}

// walk walks a folder in byte order of the keys that its files would have.
type walk struct {
	root  string
	links Links
	yield func(Entry) bool
}

// folder walks one folder; prefix is its name with a slash, or "". It returns false to stop the walk.
func (w *walk) folder(prefix string) bool {
	path := w.path(prefix)
	entries, err := os.ReadDir(path)
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case gone && prefix == "":
		return true
	case gone || prefix != "" && errors.Is(err, syscall.ENOTDIR): // it was a folder a moment ago
		return w.yield(Entry{Name: prefix, Why: Vanished, Below: true, Path: path})
	case err != nil && !w.yield(Entry{Name: prefix, Why: "it cannot be read", Below: true, Err: fault.Wrap(path, err), Path: path}):
		return false
	}
	// In keys a folder's name is followed by a slash: "a-b" sorts before everything in "a".
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(keyOf(a), keyOf(b)) })
	for _, d := range entries {
		name := prefix + d.Name()
		if d.IsDir() {
			if !w.folder(name + "/") {
				return false
			}
			continue
		}
		if !w.yield(w.entry(path, name, d)) {
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

// entry returns the entry of a name that is not a folder.
func (w *walk) entry(dir, name string, d fs.DirEntry) Entry {
	e := Entry{Name: name, Path: w.path(name), Below: true}
	link := d.Type()&fs.ModeSymlink != 0
	if d.Type().IsRegular() && journal.Unfinished(dir, d.Name()) {
		e.Why = Unfinished
		return e
	}
	info, err := d.Info()
	if link {
		info, err = os.Stat(e.Path)
	}
	switch {
	case err != nil && link && w.links == Keep: // a broken link is a link, too
		e.Why = LinkFile
	case errors.Is(err, fs.ErrNotExist) && !link:
		e.Why = Vanished
	case err != nil:
		e.Why, e.Err = "it cannot be read", fault.Wrap(e.Path, err)
	case info.IsDir() && link:
		e.Why = LinkFolder
	case !info.Mode().IsRegular():
		e.Why = Irregular
	default:
		e.Size, e.Time, e.Own = info.Size(), info.ModTime(), true
		if link && w.links == Keep {
			e.Why, e.Linked = LinkFile, true
			return e
		}
		e.State, e.Below = Present, false
	}
	return e
}
