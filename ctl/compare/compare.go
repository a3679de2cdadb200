// Package compare brings two folders, local ones or those behind a prefix, side
// by side in the order of their names: what sync and diff work on. Both sides are read
// as they are needed and a little ahead, so that folders of any size take little memory.
package compare

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/rest"
)

// Entry is a file on one side.
type Entry struct {
	Name string // relative to the side, with slashes
	Size int64  // bytes
	Time time.Time
	Own  bool       // Time is that of the file's last change, and not only that of its upload
	Path string     // a local file's
	File *rest.File // an object's

	Skip string // why it is passed over, when it is; it then is no file to work on
	Err  error  // about Name, or with no Name about the side as a whole
}

// Side gives the entries of a folder in byte order of their names, each name once.
type Side iter.Seq[Entry]

// Pair is a name and what each side has under it; nil is nothing.
type Pair struct {
	Name        string
	Left, Right *Entry
}

// Trouble is the error of a pair that has one, or nil.
func (p Pair) Trouble() error {
	for _, e := range []*Entry{p.Left, p.Right} {
		if e != nil && e.Err != nil {
			return e.Err
		}
	}
	return nil
}

// Whole reports whether the pair tells of more than the one name: of trouble with a
// folder, or with a side as a whole. Whoever passes over names must not pass over it.
func (p Pair) Whole() bool {
	return p.Trouble() != nil && (p.Name == "" || strings.HasSuffix(p.Name, "/"))
}

// broken: one of the sides could not be read to its end.
func (p Pair) broken() bool { return p.Name == "" && p.Trouble() != nil }

// Skip is why a pair is passed over, or "".
func (p Pair) Skip() string {
	for _, e := range []*Entry{p.Left, p.Right} {
		if e != nil && e.Skip != "" {
			return e.Skip
		}
	}
	return ""
}

// Pairs brings two sides together, in byte order of the names, each name once. An error
// about a side as a whole is the last pair, and so is a side that is not in order: to go on
// would take what is there for missing. For the same reason nothing more comes once ctx has ended.
func Pairs(ctx context.Context, left, right Side) iter.Seq[Pair] {
	return func(yield func(Pair) bool) {
		l, r := readAhead(ctx, left), readAhead(ctx, right)
		defer l.stop()
		defer r.stop()
		for {
			p, ok := next(l, r)
			if !ok || ctx.Err() != nil || !yield(p) || p.broken() {
				return
			}
		}
	}
}

// next takes the lower of two names, or both where they are one.
func next(l, r *reader) (p Pair, ok bool) {
	a, b := l.peek(), r.peek()
	switch {
	case a == nil && b == nil:
		return Pair{}, false
	case a != nil && a.broken():
		return Pair{Left: l.take()}, true
	case b != nil && b.broken():
		return Pair{Right: r.take()}, true
	case b == nil || a != nil && a.Name < b.Name:
		return Pair{Name: a.Name, Left: l.take()}, true
	case a == nil || b.Name < a.Name:
		return Pair{Name: b.Name, Right: r.take()}, true
	}
	return Pair{Name: a.Name, Left: l.take(), Right: r.take()}, true
}

// broken: the entry is an error about its side as a whole.
func (e *Entry) broken() bool { return e.Name == "" && e.Err != nil }

// Sizes of what is read ahead: about two pages of a listing.
const (
	batchEntries = 256
	batches      = 8
)

// reader takes entries from a side that is read on a goroutine of its own.
type reader struct {
	in    chan []Entry
	batch []Entry
	last  string // the name before
	begun bool
	ended bool
	stop  func() // ends the goroutine, and waits for it
}

func readAhead(ctx context.Context, side Side) *reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{in: make(chan []Entry, batches)}
	go func() {
		defer close(r.in)
		batch := make([]Entry, 0, batchEntries)
		send := func() bool {
			select {
			case r.in <- batch:
				batch = make([]Entry, 0, batchEntries)
				return true
			case <-ctx.Done():
				return false
			}
		}
		for e := range side {
			batch = append(batch, e)
			if len(batch) == batchEntries && !send() {
				return
			}
		}
		send()
	}()
	r.stop = func() {
		cancel()
		for range r.in { // until the goroutine has ended
		}
	}
	return r
}

// peek is the entry that comes next; nil at the end.
func (r *reader) peek() *Entry {
	for len(r.batch) == 0 {
		var ok bool
		if r.batch, ok = <-r.in; !ok || r.ended {
			return nil
		}
		r.check()
	}
	return &r.batch[0]
}

// check replaces a batch that is not in order by an error, which is then the last entry.
func (r *reader) check() {
	for i := range r.batch {
		e := &r.batch[i]
		if e.broken() {
			continue
		}
		if r.begun && e.Name <= r.last {
			err := fault.New("internal", "name %q was listed behind %q", e.Name, r.last)
			r.batch = append(r.batch[:i:i], Entry{Err: err})
			r.ended = true
			return
		}
		r.last, r.begun = e.Name, true
	}
}

func (r *reader) take() *Entry {
	e := r.batch[0]
	r.batch = r.batch[1:]
	return &e
}

// At is where the entry is: a path or an address.
func (e *Entry) At() string {
	if e.File != nil {
		return address.Remote{Bucket: e.File.Bucket, Key: e.File.Name}.String()
	}
	return e.Path
}
