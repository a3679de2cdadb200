package command

import (
	"context"
	"iter"
	"os"
	"path/filepath"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
)

// folder is one side of sync and diff: a local folder, or what lies behind a prefix.
type folder struct {
	dir    string         // local; "" where it is remote
	remote address.Remote // its key is empty or ends in a slash
}

// readFolder reads an argument of sync or diff, which is taken as it is written. Invalid.
func readFolder(arg string) (folder, error) {
	if !address.IsRemote(arg) {
		return folder{dir: filepath.Clean(arg)}, nil
	}
	remote, err := address.Parse(arg)
	remote.Key = remote.Folder()
	return folder{remote: remote}, err
}

func (f folder) local() bool { return f.dir != "" }

// String is the folder as an address or a path.
func (f folder) String() string {
	if f.local() {
		return f.dir
	}
	return f.remote.String()
}

// at is where a file of that relative name is, to be shown.
func (f folder) at(name string) string {
	if f.local() {
		return filepath.Join(f.dir, filepath.FromSlash(name))
	}
	return f.object(name).String()
}

func (f folder) object(name string) address.Remote {
	return address.Remote{Bucket: f.remote.Bucket, Key: f.remote.Key + name}
}

// exists makes sure that a local folder is there to be read. What is behind a prefix shows when it is listed.
func (f folder) exists() error {
	if !f.local() {
		return nil
	}
	info, err := os.Stat(f.dir)
	switch {
	case err != nil:
		return fault.Wrap(f.dir, err)
	case !info.IsDir():
		return fault.Wrap(f.dir, fault.New("invalid", "this is a file, not a folder"))
	}
	return nil
}

func (f folder) side(ctx context.Context, l locate.Lister, links compare.Links) compare.Side {
	if f.local() {
		return compare.Local(f.dir, links)
	}
	return compare.Remote(ctx, l, f.remote.Bucket, f.remote.Key)
}

// within reports whether one folder lies in the other, or is the same.
func within(a, b folder) bool {
	if a.local() != b.local() || a.remote.Bucket != b.remote.Bucket {
		return false
	}
	short, long := a.remote.Key, b.remote.Key
	if len(short) > len(long) {
		short, long = long, short
	}
	return long[:len(short)] == short
}

// inOrder runs work on the items, several at once, and gives what it made of them in
// their order. No more are under way, or wait to be taken, than parallel.
func inOrder[T, R any](parallel int, items iter.Seq[T], work func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		queue := make([]chan R, 0, max(parallel, 1))
		defer func() {
			for _, one := range queue {
				<-one
			}
		}()
		shift := func() bool {
			r := <-queue[0]
			queue = queue[1:]
			return yield(r)
		}
		for item := range items {
			if len(queue) >= max(parallel, 1) && !shift() {
				return
			}
			one := make(chan R, 1)
			queue = append(queue, one)
			go func() { one <- work(item) }()
		}
		for len(queue) > 0 {
			if !shift() {
				return
			}
		}
	}
}
