// Package locate finds what the arguments of a command name: objects by s3:// addresses, wildcards and folders, and
// local files by paths.
package locate

import (
	"context"
	"iter"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
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

// Options define how an argument is parsed.
type Options struct {
	Recursive bool // the argument names a folder: everything below it
	Raw       bool // wildcards and backslashes are literal characters
	MayLack   bool // finding nothing is not an error if the target can be many
}

// Target is one argument that names objects.
type Target struct {
	arg     string
	opts    Options
	remote  address.Remote
	pattern address.Pattern // of keys; a literal key unless wild
	deep    address.Pattern // of everything in the folders that match
	wild    bool
}

// ReadTarget parses an argument. Invalid.
func ReadTarget(arg string, opts Options) (Target, error) {
	remote, err := address.Parse(arg)
	if err != nil {
		return Target{}, err
	}
	t := Target{arg: arg, opts: opts, remote: remote}
	if opts.Raw {
		return t, nil
	}
	if t.pattern, err = address.Compile(remote.Key); err != nil {
		return Target{}, err
	}
	t.wild, t.deep = t.pattern.HasWildcards(), t.pattern.Deep()
	if !t.wild {
		t.remote.Key = t.pattern.Prefix() // the key without escapes
	}
	return t, nil
}

// Many reports whether the target can be more than one object.
func (t Target) Many() bool { return t.wild || t.opts.Recursive }

// Wild reports whether the target has wildcards.
func (t Target) Wild() bool { return t.wild }

// Remote returns the address; wildcards and their escapes are kept, unless the target has no wildcards.
func (t Target) Remote() address.Remote { return t.remote }

// String returns the argument as it was written.
func (t Target) String() string { return t.arg }

// Base returns the common folder of the keys of a target that can be many: the folder itself, or the part before the first
// wildcard up to its last slash.
func (t Target) Base() string {
	if t.wild {
		return address.Parent(t.pattern.Prefix())
	}
	return t.remote.Folder()
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
	if !t.wild {
		q = client.Query{Bucket: t.remote.Bucket, Prefix: t.remote.Key}
		if !t.opts.Recursive {
			q.Delimiter = "/"
		}
	}
	return t.list(ctx, l, q, func(e client.Entry) bool {
		return t.matches(e.Name) || e.File == nil && t.matches(strings.TrimSuffix(e.Name, "/"))
	}, t.wild)
}

// list yields the entries of a listing that are wanted, or an error, which ends it: with must, finding none is one.
func (t Target) list(ctx context.Context, l client.Lister, q client.Query, wanted func(client.Entry) bool, must bool) iter.Seq2[client.Entry, error] {
	return func(yield func(client.Entry, error) bool) {
		found := false
		for e, err := range l.List(ctx, q) {
			switch {
			case err != nil:
				yield(e, fault.Wrap(t.arg, err))
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
	if t.remote.Key == "" {
		return Object{}, fault.Wrap(t.arg, fault.New(problem.Invalid, "it is a bucket, not an object").
			WithHint("add -r for everything in it, or name an object: %s/KEY", t.remote))
	}
	f, err := l.Latest(ctx, t.remote.Bucket, t.remote.Key)
	if err == nil {
		return t.object(f), nil
	}
	if fault.ExitOf(err) == fault.NotFound && strings.HasSuffix(t.remote.Key, "/") {
		err = fault.New(problem.NotFound, "the object does not exist").WithHint("add -r for everything under it")
	}
	return Object{}, fault.Wrap(t.arg, err)
}

func (t Target) query() client.Query {
	q := client.Query{Bucket: t.remote.Bucket}
	if !t.wild {
		q.Prefix = t.remote.Folder()
		return q
	}
	q.Prefix = t.pattern.Prefix()
	if t.pattern.Flat() && !t.opts.Recursive {
		q.Delimiter = "/" // no match is deeper: let the server skip it
	}
	return q
}

func (t Target) matches(key string) bool {
	if !t.wild {
		return true
	}
	return t.pattern.Match(key) || t.opts.Recursive && t.deep.Match(key)
}

// object adds the relative name to a file. As in rsync, "dir" keeps its name in it and "dir/" does not.
func (t Target) object(f rest.File) Object {
	base := address.Parent(t.remote.Key)
	if t.wild {
		base = address.Parent(t.pattern.Prefix())
	}
	return Object{Address: address.Remote{Bucket: t.remote.Bucket, Key: f.Name}, File: f, Rel: strings.TrimPrefix(f.Name, base)}
}

func (t Target) nothing() error {
	if t.wild {
		return fault.Wrap(t.arg, fault.New(problem.NotFound, "nothing matches").
			WithHint("* and ? do not match a slash, ** does; with --raw the characters * ? [ are literal"))
	}
	return fault.Wrap(t.arg, fault.New(problem.NotFound, "there is nothing under it").
		WithHint("s3ctl ls %s", address.Remote{Bucket: t.remote.Bucket, Key: address.Parent(strings.TrimSuffix(t.remote.Key, "/"))}))
}
