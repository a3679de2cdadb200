// Package compare merges two folders, each local or remote, by name, for sync and diff. Both sides are read as needed and a
// little ahead, so that folders of any size take little memory.
package compare

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// State is what a side has under a name. The zero value is Unknown, so that a name that was not checked never counts as
// missing.
type State int

// The states. A name is Absent only if its folder was read completely: if a folder could not be read, is a link, or was removed
// meanwhile, all names below it are Unknown.
const (
	Unknown State = iota // there may be something, which must not be removed, overwritten, or reported as missing
	Absent               // the side was read and has nothing under the name
	Present              // a file or an object, which can be read and replaced
)

// Why a name is Unknown, as shown to the user.
const (
	Excluded   = "excluded" // by --include and --exclude; all others are properties of the entry
	LinkFolder = "links to folders are not followed"
	LinkFile   = "it is a link"
	LinkLoop   = "it is a link to a folder that it is in"
	Dangling   = "it is a link that leads nowhere"
	Unstorable = "its name cannot be stored: it is not valid UTF-8, or too long"
	Irregular  = "not a regular file"
	Vanished   = "it was removed meanwhile"
	Unfinished = "an unfinished download"
	Foreign    = "the other side cannot have this name"
	behind     = "it is below "
)

// Entry is what one side has under a name.
type Entry struct {
	Name  string // relative to the side, with slashes; that of a folder ends in a slash, and is never Present
	State State
	Why   string // if Unknown: the reason, for the user
	Below bool   // if Unknown: every name below it is Unknown, too
	Err   error  // if Unknown: the error that is the reason; without Name it concerns the side as a whole

	// If Present. Size, Time and Own are also set for a link to a file, which is Unknown: those of the file that it leads to.
	Size   int64 // bytes
	Time   time.Time
	Own    bool       // Time is the file's modification time; otherwise it is that of its upload
	Linked bool       // it is such a link
	Path   string     // of a local file
	File   *rest.File // of an object
}

// Side yields the entries of a folder in byte order of their names, each name once.
type Side iter.Seq[Entry]

// Unless makes an entry Unknown if why returns a reason for its name. Entries with an error that concerns more than their own
// name keep it: a rule that matches a folder need not match everything in it.
func (s Side) Unless(why func(name string) string) Side {
	return func(yield func(Entry) bool) {
		for e := range s {
			if e.Err == nil || !e.isFolder() {
				if text := why(e.Name); text != "" {
					e.State, e.Why, e.Err, e.Linked = Unknown, text, nil, false
				}
			}
			if !yield(e) {
				return
			}
		}
	}
}

// Only makes the names Excluded that the rules do not select.
func (s Side) Only(takes address.Filter) Side {
	return s.Unless(func(name string) string {
		if takes.Takes(name) {
			return ""
		}
		return Excluded
	})
}

// Inherited reports whether the entry is Unknown only because a folder above it is.
func (e *Entry) Inherited() bool { return e.State == Unknown && e.Path == "" && e.File == nil }

// isFolder reports whether the entry concerns a folder, or the side as a whole.
func (e *Entry) isFolder() bool { return e.Name == "" || strings.HasSuffix(e.Name, "/") }

// Pair is a name and what each side has under it. Left and Right are never both Absent.
type Pair struct {
	Name        string
	Left, Right Entry
}

// Trouble returns the error of one of the sides, or nil.
func (p *Pair) Trouble() error {
	for _, e := range []*Entry{&p.Left, &p.Right} {
		if e.Err != nil {
			return e.Err
		}
	}
	return nil
}

// Why returns why the pair cannot be compared: Excluded, or the reason of one side; "" if both sides are known.
func (p *Pair) Why() string {
	why := ""
	for _, e := range []*Entry{&p.Left, &p.Right} {
		switch {
		case e.State == Unknown && e.Why == Excluded:
			return Excluded
		case e.State == Unknown:
			why = cmp.Or(why, e.Why, "it is not known")
		}
	}
	return why
}

// broken reports whether one of the sides could not be read to its end.
func (p *Pair) broken() bool { return p.Left.broken() || p.Right.broken() }

// Pairs merges two sides in byte order of the names, each name once. An error of a side as a whole, or a side that is not in
// order, is the last pair: names after it would wrongly count as missing. For the same reason it stops once ctx has
// ended.
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

// next takes the lower of the two next names, from both sides if they are equal.
func next(l, r *reader) (p Pair, ok bool) {
	a, b := l.peek(), r.peek()
	switch {
	case a == nil && b == nil:
		return Pair{}, false
	case a != nil && a.broken():
		return Pair{Left: l.take()}, true
	case b != nil && b.broken():
		return Pair{Right: r.take()}, true
	case b == nil || a != nil && a.Name <= b.Name:
		p.Name = a.Name
	default:
		p.Name = b.Name
	}
	p.Left, p.Right = l.at(p.Name), r.at(p.Name)
	return p, true
}

// broken reports whether the entry is an error of the side as a whole.
func (e *Entry) broken() bool { return e.Name == "" && e.Err != nil }

// ahead is how many entries of a side are read ahead: about two pages of a listing.
const ahead = 2048

// reader receives entries from a side that is read on its own goroutine.
type reader struct {
	in    chan Entry
	next  *Entry          // nil: to be received
	last  string          // the previous name
	above []unknownFolder // Unknown folders in which more names may follow, outermost first
	ended bool
	stop  func() // ends the goroutine and waits for it
}

func readAhead(ctx context.Context, side Side) *reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{in: make(chan Entry, ahead)}
	go func() {
		defer close(r.in)
		for e := range side {
			select {
			case r.in <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	r.stop = func() {
		cancel()
		for range r.in { // until the goroutine has ended
		}
	}
	return r
}

// peek returns the next entry; nil at the end. A name that is not in order is an error, which ends the side.
func (r *reader) peek() *Entry {
	if r.next != nil || r.ended {
		return r.next
	}
	e, ok := <-r.in
	switch {
	case !ok:
		r.ended = true
		return nil
	case e.broken():
	case e.Name <= r.last:
		e = Entry{Err: fault.New(problem.Internal, "name %q was listed after %q", e.Name, r.last)}
		r.ended = true
	default:
		r.last = e.Name
	}
	r.next = &e
	return r.next
}

func (r *reader) take() Entry {
	e := *r.next
	r.next = nil
	if e.State == Unknown && e.Below {
		folder := strings.TrimSuffix(e.Name, "/")
		r.above = append(r.above, unknownFolder{folder + "/", behind + folder + ": " + e.Why})
	}
	return e
}

// unknownFolder makes the names Unknown that begin with prefix, which ends in a slash.
type unknownFolder struct{ prefix, why string }

// at returns the entry under a name. It is called with names in order, none of which is after that of the next entry.
func (r *reader) at(name string) Entry {
	if e := r.peek(); e != nil && e.Name == name {
		return r.take()
	}
	r.above = slices.DeleteFunc(r.above, func(v unknownFolder) bool {
		return name >= v.prefix[:len(v.prefix)-1]+"0" // no name from this one on begins with the prefix: '0' follows '/'
	})
	for _, v := range r.above {
		if strings.HasPrefix(name, v.prefix) {
			return Entry{Name: name, State: Unknown, Why: v.why}
		}
	}
	return Entry{Name: name, State: Absent}
}

// At returns the path or the address of the entry.
func (e *Entry) At() string {
	if e.File != nil {
		return address.Remote{Bucket: e.File.Bucket, Key: e.File.Name}.String()
	}
	return e.Path
}
