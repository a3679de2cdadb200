package compare

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
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

// Links defines what a walk does with links.
type Links int

// With Follow, for a source, a link to a file is the file that it leads to, and a link to a folder is not followed; with FollowAll
// it is, except into a folder that the walk is already in. With Keep, for a target, links are Unknown: they are neither replaced
// nor followed for writing.
const (
	Keep Links = iota
	Follow
	FollowAll
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
	root   string
	links  Links
	yield  func(Entry) bool
	inside []fs.FileInfo // the folders that it is in, with FollowAll
}

// folder walks one folder; prefix is its name with a slash, or "". It returns false to stop the walk.
func (w *walk) folder(prefix string) bool {
	path := w.path(prefix)
	if w.links == FollowAll {
		info, err := os.Stat(path)
		if err == nil && slices.ContainsFunc(w.inside, func(above fs.FileInfo) bool { return os.SameFile(above, info) }) {
			return w.yield(Entry{Name: strings.TrimSuffix(prefix, "/"), Why: LinkLoop, Below: true, Path: path})
		}
		w.inside = append(w.inside, info)
		defer func() { w.inside = w.inside[:len(w.inside)-1] }()
	}
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
	byKey := make(map[string]fs.DirEntry, len(entries))
	for _, d := range entries {
		byKey[prefix+w.keyOf(path, d)] = d
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if strings.HasSuffix(key, "/") {
			if !w.folder(key) {
				return false
			}
			continue
		}
		if !w.yield(w.entry(path, key, byKey[key])) {
			return false
		}
	}
	return true
}

// keyOf returns the name of an entry, and behind that of a folder that is walked a slash.
func (w *walk) keyOf(dir string, d fs.DirEntry) string {
	folder := d.IsDir()
	if w.links == FollowAll && d.Type()&fs.ModeSymlink != 0 {
		info, err := os.Stat(filepath.Join(dir, d.Name()))
		folder = err == nil && info.IsDir()
	}
	if folder {
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
	case link && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP)):
		e.Why = Dangling
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

// Sum returns the CRC64NVME of an entry in the encoding of the API. That of an object is known; a local file is
// read.
func (e *Entry) Sum(ctx context.Context) (string, error) {
	if e.File != nil {
		if e.File.Checksums.CRC64NVME == "" {
			return "", fault.New(problem.Internal, "the server has no checksum of it").WithHint("s3ctl stat s3://%s/%s", e.File.Bucket, e.File.Name)
		}
		return e.File.Checksums.CRC64NVME, nil
	}
	f, err := os.Open(e.Path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	crc, _, err := localfile.Sum(ctx, f)
	if err != nil {
		return "", err
	}
	return checksum.Encode(crc), nil
}

// Older reports whether the target, judging by times, has other bytes than the source. If both have a modification time,
// any difference counts, except below the resolution of a file system; otherwise the target must not be older than
// the source.
func Older(target, source *Entry) bool {
	if target.Own && source.Own {
		return !sameTime(target.Time, source.Time)
	}
	return target.Time.Before(source.Time)
}

// sameTime compares times of which one may have been rounded by a file system.
func sameTime(a, b time.Time) bool {
	for _, unit := range []time.Duration{1, 100, time.Microsecond, time.Millisecond, time.Second} {
		if a.Equal(b) || a.Equal(b.Truncate(unit)) || b.Equal(a.Truncate(unit)) {
			return true
		}
	}
	return false
}
