// Package locate finds what the arguments of a command name: objects by s3:// addresses, wildcards and folders, and
// local files by paths.
package locate

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Object is an object that was found.
type Object struct {
	Address address.Remote
	File    rest.File
	Rel     string // its name relative to the folder that the argument names
}

// String returns the address.
func (o Object) String() string { return o.Address.String() }

// Bytes returns the size.
func (o Object) Bytes() int64 { return o.File.Size }

// Options define how an argument is parsed.
type Options struct {
	Recursive bool // the argument names a folder: everything below it
	Raw       bool // wildcards and backslashes are literal characters
	MayLack   bool // finding nothing is not an error if the target can be many
}

// Target is one argument that names objects.
type Target struct {
	Arg    string         // as it was written
	Remote address.Remote // wildcards and their escapes are kept, unless the target has no wildcards
	Wild   bool           // it has wildcards

	opts    Options
	pattern address.Pattern // of keys; a literal key unless Wild
	deep    address.Pattern // of everything in the folders that match
}

// ReadTarget parses an argument. Invalid.
func ReadTarget(arg string, opts Options) (Target, error) {
	remote, err := address.Parse(arg)
	if err != nil {
		return Target{}, err
	}
	t := Target{Arg: arg, opts: opts, Remote: remote}
	if opts.Raw {
		return t, nil
	}
	if t.pattern, err = address.Compile(remote.Key); err != nil {
		return Target{}, err
	}
	t.Wild, t.deep = t.pattern.HasWildcards(), t.pattern.Deep()
	if !t.Wild {
		t.Remote.Key = t.pattern.Prefix() // the key without escapes
	}
	return t, nil
}

// Many reports whether the target can be more than one object.
func (t Target) Many() bool { return t.Wild || t.opts.Recursive }

// Base returns the common folder of the keys of a target that can be many: the folder itself, or the part before the first
// wildcard up to its last slash.
func (t Target) Base() string {
	if t.Wild {
		return address.Parent(t.pattern.Prefix())
	}
	return t.Remote.Folder()
}

// Beginning is what all addresses of the target have in common, up to a slash.
func (t Target) Beginning() string {
	key := t.Remote.Key
	if t.Wild {
		key = t.pattern.Prefix()
	}
	return address.Remote{Bucket: t.Remote.Bucket}.String() + "/" + address.Parent(key)
}

// Objects yields the objects of the target in byte order of their keys, or an error, which ends it. If there are no objects, the
// error is NotFound, unless MayLack. A bucket or folder without Recursive is Invalid.
func (t Target) Objects(ctx context.Context, l client.Lister) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if !t.Many() {
			yield(t.single(ctx, l))
			return
		}
		isObject := func(e client.Entry) bool { return e.File != nil && t.matches(e.Name) }
		for e, err := range t.list(ctx, l, t.query(), isObject, !t.opts.MayLack) {
			object := Object{}
			if err == nil {
				object = t.object(*e.File)
			}
			if !yield(object, err) {
				return
			}
		}
	}
}

// Entries yields what ls shows of the target: objects and, unless Recursive, common prefixes, in byte order. Here the key of
// a target without wildcards is a prefix of keys, not a folder, and finding nothing is not an error.
func (t Target) Entries(ctx context.Context, l client.Lister) iter.Seq2[client.Entry, error] {
	q := t.query()
	if !t.Wild {
		q = client.Query{Bucket: t.Remote.Bucket, Prefix: t.Remote.Key}
		if !t.opts.Recursive {
			q.Delimiter = "/"
		}
	}
	return t.list(ctx, l, q, func(e client.Entry) bool {
		return t.matches(e.Name) || e.File == nil && t.matches(strings.TrimSuffix(e.Name, "/"))
	}, t.Wild)
}

// list yields the entries of a listing that are wanted, or an error, which ends it: with must, finding none is one.
func (t Target) list(ctx context.Context, l client.Lister, q client.Query, wanted func(client.Entry) bool, must bool) iter.Seq2[client.Entry, error] {
	return func(yield func(client.Entry, error) bool) {
		found := false
		for e, err := range l.List(ctx, q) {
			switch {
			case err != nil:
				yield(e, fault.Wrap(t.Arg, err))
				return
			case !wanted(e):
				continue
			}
			found = true
			if !yield(e, nil) {
				return
			}
		}
		if must && !found {
			yield(client.Entry{}, t.nothing())
		}
	}
}

func (t Target) single(ctx context.Context, l client.Lister) (Object, error) {
	if t.Remote.Key == "" {
		return Object{}, fault.Wrap(t.Arg, fault.New(problem.Invalid, "it is a bucket, not an object").
			WithHint("add -r for everything in it, or name an object: %s/KEY", t.Remote))
	}
	f, err := l.Latest(ctx, t.Remote.Bucket, t.Remote.Key)
	if err == nil {
		return t.object(f), nil
	}
	if fault.ExitOf(err) == fault.NotFound && strings.HasSuffix(t.Remote.Key, "/") {
		err = fault.New(problem.NotFound, "the object does not exist").WithHint("add -r for everything under it")
	}
	return Object{}, fault.Wrap(t.Arg, err)
}

func (t Target) query() client.Query {
	q := client.Query{Bucket: t.Remote.Bucket}
	if !t.Wild {
		q.Prefix = t.Remote.Folder()
		return q
	}
	q.Prefix = t.pattern.Prefix()
	if t.pattern.Flat() && !t.opts.Recursive {
		q.Delimiter = "/" // no match is deeper: let the server skip it
	}
	return q
}

func (t Target) matches(key string) bool {
	if !t.Wild {
		return true
	}
	return t.pattern.Match(key) || t.opts.Recursive && t.deep.Match(key)
}

// object adds the relative name to a file. As in rsync, "dir" keeps its name in it and "dir/" does not.
func (t Target) object(f rest.File) Object {
	base := address.Parent(t.Remote.Key)
	if t.Wild {
		base = address.Parent(t.pattern.Prefix())
	}
	return Object{Address: address.Remote{Bucket: t.Remote.Bucket, Key: f.Name}, File: f, Rel: strings.TrimPrefix(f.Name, base)}
}

func (t Target) nothing() error {
	if t.Wild {
		return fault.Wrap(t.Arg, fault.New(problem.NotFound, "nothing matches").
			WithHint("* and ? do not match a slash, ** does; with --raw the characters * ? [ are literal"))
	}
	return fault.Wrap(t.Arg, fault.New(problem.NotFound, "there is nothing under it").
		WithHint("s3ctl ls %s", address.Remote{Bucket: t.Remote.Bucket, Key: address.Parent(strings.TrimSuffix(t.Remote.Key, "/"))}))
}

// Local is a local file to send, or a path that cannot be sent. A skipped path is not an error.
type Local struct {
	Path string // as opened and shown
	Key  string // the key that it is stored under
	Size int64  // bytes; -1 if it is not a regular file
	Err  error  // about Path
	Skip string // why it is skipped; "" if it is not
}

// String returns the path.
func (l Local) String() string { return l.Path }

// Bytes returns the size, < 0 if it is unknown.
func (l Local) Bytes() int64 { return l.Size }

// Destination is the target of put, cp or mv.
type Destination struct {
	Remote    address.Remote
	Folder    bool // file names are appended to the key
	recursive bool
	links     compare.Links
}

// Sources is what is sent to a destination.
type Sources struct {
	Many      bool // more than one argument, or one that matches several objects
	Recursive bool // folders are sent with all that is below them
	Linked    bool // and with what is below links to folders
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
	links := compare.Follow
	if from.Linked {
		links = compare.FollowAll
	}
	return Destination{Remote: remote, Folder: folder, recursive: from.Recursive, links: links}, nil
}

// Rel is the name of a file relative to the destination, to which --include and --exclude apply.
func (d Destination) Rel(l Local) string {
	if d.Folder {
		return strings.TrimPrefix(l.Key, d.Remote.Key)
	}
	return filepath.Base(l.Path)
}

// Place returns the address for a file of that relative name, with slashes as separators. Invalid.
func (d Destination) Place(rel string) (address.Remote, error) {
	to := d.Remote
	if d.Folder {
		to.Key += rel
	}
	return to, address.CheckKey(to.Key)
}

// Files finds the files that a path argument of put names, and calls found for each: the file itself or, if the sources are recursive, all
// files below the folder, in order of their keys. Links to files are followed, links to folders are not.
func Files(arg string, dst Destination, found func(Local)) {
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		found(Local{Path: arg, Err: fault.Wrap(arg, err)})
	case info.Mode().IsRegular():
		found(one(arg, filepath.Base(arg), info.Size(), dst))
	case !info.IsDir(): // a pipe, as of a shell's <(command), is sent as a stream
		found(one(arg, filepath.Base(arg), -1, dst))
	case !dst.recursive:
		found(Local{Path: arg, Err: fault.Wrap(arg, fault.New(problem.Invalid, "it is a folder").WithHint("s3ctl put -r %s %s", arg, dst.Remote))})
	default:
		walk(arg, dst, found)
	}
}

func one(path, rel string, size int64, dst Destination) Local {
	to, err := dst.Place(rel)
	return Local{Path: path, Key: to.Key, Size: size, Err: fault.Wrap(path, err)}
}

func walk(arg string, dst Destination, found func(Local)) {
	// As in rsync, "dir" keeps its name in the keys and "dir/" does not, nor do "." and "..".
	base := ""
	if !strings.HasSuffix(arg, "/") && !strings.HasSuffix(arg, string(filepath.Separator)) {
		if name := filepath.Base(arg); name != "." && name != ".." {
			base = name + "/"
		}
	}
	root, err := address.Resolve(arg)
	if err != nil {
		found(Local{Path: arg, Err: err})
		return
	}
	for e := range compare.Local(root, dst.links) {
		switch {
		case e.Err != nil:
			found(Local{Path: e.Path, Err: e.Err})
		case e.State != compare.Present:
			found(Local{Path: e.Path, Skip: e.Why})
		default:
			f := one(e.Path, base+e.Name, e.Size, dst)
			if f.Err != nil {
				f = Local{Path: e.Path, Skip: compare.Unstorable}
			}
			found(f)
		}
	}
}
