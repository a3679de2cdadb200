// Package locate finds what the arguments of a command name: the objects behind
// s3:// addresses, wildcards and folders, and the local files behind paths.
package locate

import (
	"context"
	"iter"
	"strings"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/rest"
)

// Lister looks names up; *client.Client is one.
type Lister interface {
	List(ctx context.Context, q client.Query) iter.Seq2[client.Entry, error]
	Latest(ctx context.Context, bucket, name string) (rest.File, error)
}

// Object is an object that was found.
type Object struct {
	Address address.Remote
	File    rest.File
	Rel     string // its name in a local folder: the key without what the argument fixed before it
}

// Options say how an argument is read.
type Options struct {
	Recursive bool // the argument names a folder: everything below it
	Raw       bool // wildcards and backslashes are plain characters
	MayLack   bool // to find nothing is no error, where there can be many
}

// Target is one argument that names objects.
type Target struct {
	arg     string
	opts    Options
	remote  address.Remote
	pattern address.Pattern // of keys; unless wild it is only the key
	wild    bool
}

// ReadTarget reads an argument. Invalid.
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
	t.wild = t.pattern.HasWildcards()
	if !t.wild {
		t.remote.Key = t.pattern.Prefix() // the key without its backslashes
	}
	return t, nil
}

// Many reports whether the target can be more than one object.
func (t Target) Many() bool { return t.wild || t.opts.Recursive }

// Wild reports whether the target has wildcards.
func (t Target) Wild() bool { return t.wild }

// Remote is the address; where the target has no wildcards, the one that it names.
func (t Target) Remote() address.Remote { return t.remote }

// String is the argument as it was written.
func (t Target) String() string { return t.arg }

// Base is what the keys of a target that can be many begin with: the folder, or what
// stands before the first wildcard up to its last slash.
func (t Target) Base() string {
	if t.wild {
		return address.Parent(t.pattern.Prefix())
	}
	return t.remote.Folder()
}

// Objects finds the objects of the target, in byte order of their keys. When
// there is none, the one error is NotFound, unless MayLack. A bucket or folder without Recursive is Invalid.
func (t Target) Objects(ctx context.Context, l Lister) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if !t.Many() {
			yield(t.single(ctx, l))
			return
		}
		found := false
		for e, err := range l.List(ctx, t.query()) {
			if err != nil {
				yield(Object{}, fault.Wrap(t.arg, err))
				return
			}
			if e.File == nil || !t.matches(e.Name) {
				continue
			}
			found = true
			if !yield(t.object(*e.File), nil) {
				return
			}
		}
		if !found && !t.opts.MayLack {
			yield(Object{}, t.nothing())
		}
	}
}

// Entries finds what ls shows of the target: objects and, unless Recursive, common
// prefixes, in byte order. The key of a target without wildcards is the
// beginning of keys here, not a folder, and to find nothing is no error.
func (t Target) Entries(ctx context.Context, l Lister) iter.Seq2[client.Entry, error] {
	q := t.query()
	if !t.wild {
		q = client.Query{Bucket: t.remote.Bucket, Prefix: t.remote.Key}
		if !t.opts.Recursive {
			q.Delimiter = "/"
		}
	}
	return func(yield func(client.Entry, error) bool) {
		found := false
		for e, err := range l.List(ctx, q) {
			switch {
			case err != nil:
				yield(e, fault.Wrap(t.arg, err))
				return
			case t.matches(e.Name), e.File == nil && t.matches(strings.TrimSuffix(e.Name, "/")):
			default:
				continue
			}
			found = true
			if !yield(e, nil) {
				return
			}
		}
		if t.wild && !found {
			yield(client.Entry{}, t.nothing())
		}
	}
}

func (t Target) single(ctx context.Context, l Lister) (Object, error) {
	if t.remote.Key == "" {
		return Object{}, fault.Wrap(t.arg, fault.New("invalid", "this is a bucket, not an object").
			WithHint("add -r for everything in it, or name an object: %s/KEY", t.remote))
	}
	f, err := l.Latest(ctx, t.remote.Bucket, t.remote.Key)
	if err == nil {
		return t.object(f), nil
	}
	if fault.ExitOf(err) == fault.NotFound && strings.HasSuffix(t.remote.Key, "/") {
		err = fault.New("not_found", "there is no such object").WithHint("add -r for everything that lies under it")
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
		q.Delimiter = "/" // no match lies deeper: let the server pass over it
	}
	return q
}

func (t Target) matches(key string) bool {
	if !t.wild {
		return true
	}
	return t.pattern.Match(key) || t.opts.Recursive && t.pattern.Deep().Match(key)
}

// object gives what was found its relative name. As with rsync, "dir" keeps its
// own name and "dir/" does not.
func (t Target) object(f rest.File) Object {
	base := address.Parent(t.remote.Key)
	if t.wild {
		base = address.Parent(t.pattern.Prefix())
	}
	return Object{Address: address.Remote{Bucket: t.remote.Bucket, Key: f.Name}, File: f, Rel: strings.TrimPrefix(f.Name, base)}
}

func (t Target) nothing() error {
	if t.wild {
		return fault.Wrap(t.arg, fault.New("not_found", "nothing matches").
			WithHint("* and ? stop at a slash, ** does not; --raw takes the characters * ? [ as they are"))
	}
	return fault.Wrap(t.arg, fault.New("not_found", "nothing lies under it").
		WithHint("s3ctl ls %s", address.Remote{Bucket: t.remote.Bucket, Key: address.Parent(strings.TrimSuffix(t.remote.Key, "/"))}))
}
