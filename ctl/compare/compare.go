// Package compare brings two folders, local ones or those behind a prefix, side
// by side in the order of their names: what sync and diff work on. Both sides are read
// as they are needed and a little ahead, so that folders of any size take little memory.
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
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/proto/rest"
)

// State is what a side has under a name. The zero value is Unknown, so that what was not
// looked at is never taken for missing.
type State int

// The states. Absent is only said of a name whose place was read to the end: where a folder could not be read,
// is a link, or vanished meanwhile, all names below it are Unknown.
const (
	Unknown State = iota // something may be there: it must not be removed, not overwritten, and not called missing
	Absent               // the side was read where the name would stand, and has nothing there
	Present              // a file or an object, to be read and to be replaced
)

// Why a name is Unknown, in the words that are shown.
const (
	Excluded   = "excluded" // by the rules of the command line; all others are found out
	LinkFolder = "a link to a folder is not followed"
	LinkFile   = "it is a link"
	Irregular  = "not a regular file"
	Vanished   = "it vanished meanwhile"
	Unfinished = "a download that is not complete"
	Foreign    = "the other side cannot have this name"
	behind     = "it lies behind "
)

// Entry is what one side has under a name.
type Entry struct {
	Name  string // relative to the side, with slashes; one of a folder ends in a slash, and is never Present
	State State
	Why   string // of what is Unknown: for a person
	Below bool   // of what is Unknown: so is every name that continues it with a slash
	Err   error  // of what is Unknown: the error that hides it; with no Name it is about the side as a whole

	// Of what is Present; Size, Time and Own also of a link to a file, which is Unknown: those of the file that it leads to.
	Size   int64 // bytes
	Time   time.Time
	Own    bool       // Time is that of the file's last change, and not only that of its upload
	Linked bool       // it is such a link
	Path   string     // a local file's
	File   *rest.File // an object's
}

// Side gives the entries of a folder in byte order of their names, each name once.
type Side iter.Seq[Entry]

// Unless makes the entries Unknown of which why says why they are; "" leaves an entry as it is. What hides more than its one name
// is not asked about: a rule about a folder need not be about all that is in it.
func (s Side) Unless(why func(name string) string) Side {
	return func(yield func(Entry) bool) {
		for e := range s {
			if e.Err == nil || !e.whole() {
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

// Only makes the names Excluded that the rules do not take.
func (s Side) Only(takes filter.Filter) Side {
	return s.Unless(func(name string) string {
		if takes.Takes(name) {
			return ""
		}
		return Excluded
	})
}

// Veiled reports whether the side gave nothing under the name itself, because what hides it lies further up.
func (e *Entry) Veiled() bool { return e.State == Unknown && e.Path == "" && e.File == nil }

// whole: the entry is about more than a name.
func (e *Entry) whole() bool { return e.Name == "" || strings.HasSuffix(e.Name, "/") }

// Pair is a name and what each side has under it. Left and Right are never both Absent.
type Pair struct {
	Name        string
	Left, Right Entry
}

// Trouble is the error of a pair that has one, or nil.
func (p *Pair) Trouble() error {
	for _, e := range []*Entry{&p.Left, &p.Right} {
		if e.Err != nil {
			return e.Err
		}
	}
	return nil
}

// Why says why the pair cannot be compared: Excluded, or what a side says; "" when both sides are known.
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

// broken: one of the sides could not be read to its end.
func (p *Pair) broken() bool { return p.Left.broken() || p.Right.broken() }

// Pairs brings two sides together, in byte order of the names, each name once. An error
// about a side as a whole is the last pair, and so is a side that is not in order: to continue
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
	case b == nil || a != nil && a.Name <= b.Name:
		p.Name = a.Name
	default:
		p.Name = b.Name
	}
	p.Left, p.Right = l.at(p.Name), r.at(p.Name)
	return p, true
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
	veils []veil // what hides names that may still come, the widest first
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

func (r *reader) take() Entry {
	e := r.batch[0]
	r.batch = r.batch[1:]
	if e.State == Unknown && e.Below {
		folder := strings.TrimSuffix(e.Name, "/")
		r.veils = append(r.veils, veil{folder + "/", behind + folder + ": " + e.Why})
	}
	return e
}

// veil hides the names that begin with prefix, which ends in a slash.
type veil struct{ prefix, why string }

// past: no name from this one on begins with the prefix ('0' is what follows '/').
func (v veil) past(name string) bool { return name >= v.prefix[:len(v.prefix)-1]+"0" }

// at is what the side has under a name. It is called with names in order, of which none is beyond the next entry's.
func (r *reader) at(name string) Entry {
	if e := r.peek(); e != nil && e.Name == name {
		return r.take()
	}
	r.veils = slices.DeleteFunc(r.veils, func(v veil) bool { return v.past(name) })
	for _, v := range r.veils {
		if strings.HasPrefix(name, v.prefix) {
			return Entry{Name: name, State: Unknown, Why: v.why}
		}
	}
	return Entry{Name: name, State: Absent}
}

// At is where the entry is: a path or an address.
func (e *Entry) At() string {
	if e.File != nil {
		return address.Remote{Bucket: e.File.Bucket, Key: e.File.Name}.String()
	}
	return e.Path
}
