package term

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Progress displays the progress of transfers. All methods are safe for concurrent use. It never shows the last byte before
// Complete, because bytes that were sent are not durable yet.
type Progress struct {
	mu      sync.Mutex // guards what follows, and what is written
	count   count
	closed  bool
	display display       // nil: nothing is shown
	every   time.Duration // the least time between two updates of the display
	updated time.Time     // the last one
	timer   *time.Timer
}

// display shows progress. One method is called at a time. They ignore write errors: a closed terminal must not fail a transfer.
type display interface {
	update(now snapshot)              // after each change, and each second if ticks
	above(now snapshot, write func()) // runs write, which writes lines to any stream
	end(last snapshot)
	line(text string) // a message on a line of its own
	ticks() bool      // time alone changes what it shows
}

// Silent returns a Progress that shows nothing.
func Silent() *Progress { return show(nil, 0) }

// show returns a Progress with a display, which is updated at most once in so much time.
func show(d display, every time.Duration) *Progress {
	return &Progress{display: d, every: every, count: count{pace: recent(), effort: recent()}}
}

// often is how often a display is updated: each change would be more work than the transfer.
const often = 100 * time.Millisecond

// Plan adds work to the totals before it starts; bytes < 0 if the size is unknown.
func (p *Progress) Plan(files int, bytes int64) {
	p.change(func(time.Time) { p.count.plan(files, bytes) })
}

// Listing says that more work may be found: the totals are not final until Listed.
func (p *Progress) Listing() { p.change(func(time.Time) { p.count.listing = true }) }

// Listed says that all work was found.
func (p *Progress) Listed() { p.change(func(time.Time) { p.count.listing = false }) }

// Start adds a file that is being transferred now, and was planned; bytes < 0 if its size is unknown. Without a name it is
// counted, but not shown as one in progress.
func (p *Progress) Start(name string, bytes int64) *Item {
	i := &Item{of: p, name: Clean(name), size: bytes}
	if name != "" {
		p.change(func(time.Time) { p.count.items = append(p.count.items, i) })
	}
	return i
}

// Failing says that an operation failed and is tried again, for at most limit since its first failure. Nothing is shown of what
// a retry ends within a second.
func (p *Progress) Failing(cause string, limit time.Duration) {
	p.change(func(now time.Time) {
		o := &p.count.outage
		if o.since.IsZero() {
			o.since = now
		}
		o.cause, o.limit = cause, limit
	})
}

// Working says that an operation succeeded: an outage is over.
func (p *Progress) Working() { p.change(p.recovered) }

// recovered ends an outage, and says so if it was shown.
func (p *Progress) recovered(now time.Time) {
	o := p.count.outage
	if o.since.IsZero() {
		return
	}
	p.count.outage = outage{}
	p.count.restart(now)
	if o.shown {
		p.display.line("s3ctl: back after " + Duration(now.Sub(o.since)))
	}
}

// Transferred returns the bytes that this run transferred until now.
func (p *Progress) Transferred() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count.moved
}

func (p *Progress) change(what func(now time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	now := time.Now()
	if p.count.began.IsZero() {
		p.count.began = now
	}
	what(now)
	if p.display == nil {
		return
	}
	if now.Sub(p.updated) >= p.every {
		p.update(now)
	}
	if p.timer == nil && p.display.ticks() {
		p.timer = time.AfterFunc(time.Second, p.tick)
	}
}

func (p *Progress) update(now time.Time) {
	p.updated = now
	p.display.update(p.count.snapshot(now))
}

// tick shows what changes with time only.
func (p *Progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.update(time.Now())
		p.timer.Reset(time.Second)
	}
}

// Above runs write, which writes lines to any stream, while the bar is erased.
func (p *Progress) Above(write func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.display == nil || p.closed {
		write()
		return
	}
	p.display.above(p.count.snapshot(time.Now()), write)
}

// Complete ends the display: everything planned was verified.
func (p *Progress) Complete() { p.end(snapshot.whole) }

// Close ends the display of a run that is not complete. After Complete it does nothing.
func (p *Progress) Close() { p.end(func(s snapshot) snapshot { return s }) }

func (p *Progress) end(as func(snapshot) snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.display != nil && !p.closed {
		p.display.end(as(p.count.snapshot(time.Now())))
	}
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// Item is a file that is being transferred. Its methods are safe for concurrent use.
type Item struct {
	of    *Progress
	name  string
	size  int64
	moved int64 // guarded by of.mu; those of earlier runs included
}

// state returns the file as it is shown, without its last byte.
func (i *Item) state() itemState {
	moved := max(i.moved, 0)
	if i.size >= 0 {
		moved = min(moved, max(i.size-1, 0))
	}
	return itemState{i.name, moved, i.size}
}

// Moved counts transferred bytes; negative if they have to be transferred again.
func (i *Item) Moved(bytes int64) {
	i.of.change(func(now time.Time) {
		if bytes > 0 {
			i.of.recovered(now)
		}
		i.moved += bytes
		i.of.count.move(bytes, now)
	})
}

// Resumed counts bytes that an earlier run transferred; negative if they turn out to be unusable.
func (i *Item) Resumed(bytes int64) {
	i.of.change(func(time.Time) {
		i.moved += bytes
		i.of.count.resumed += bytes
	})
}

// End ends the progress of the file and counts it as done: its transfer was acknowledged and verified, or has failed permanently.
func (i *Item) End() {
	i.of.change(func(now time.Time) {
		i.leave()
		i.of.count.finish(now)
	})
}

// Interrupted ends the progress of a file whose transfer was interrupted.
func (i *Item) Interrupted() { i.of.change(func(time.Time) { i.leave() }) }

// leave removes the file from those in progress; of.mu is held.
func (i *Item) leave() {
	i.of.count.items = slices.DeleteFunc(i.of.count.items, func(other *Item) bool { return other == i })
}

// ProgressStyle is the value of --progress.
type ProgressStyle string

// The styles.
const (
	ProgressAuto ProgressStyle = "auto" // one bar on a terminal, a log otherwise
	ProgressBar  ProgressStyle = "bar"  // bars of the files in progress, and one of all
	ProgressLog  ProgressStyle = "log"  // occasional lines, for long transfers
	ProgressJSON ProgressStyle = "json" // one line of JSON a second
	ProgressNone ProgressStyle = "none"
)

// ParseProgressStyle parses the value of --progress.
func ParseProgressStyle(text string) (ProgressStyle, error) {
	styles := []string{string(ProgressAuto), string(ProgressBar), string(ProgressLog), string(ProgressJSON), string(ProgressNone)}
	if !slices.Contains(styles, text) {
		return "", fmt.Errorf("%q is not one of %s", text, strings.Join(styles, ", "))
	}
	return ProgressStyle(text), nil
}

// ProgressAs returns a Progress on Err in a style.
func (s *Streams) ProgressAs(style ProgressStyle) *Progress {
	switch {
	case style == ProgressNone:
		return Silent()
	case style == ProgressJSON:
		return show(&lines{w: s.Err, due: everySecond, text: jsonLine, clock: true}, often)
	case style == ProgressBar, style != ProgressLog && s.ErrTTY:
		return newBar(s.Err, often, style == ProgressBar)
	}
	return show(&lines{w: s.Err, due: nowAndThen, text: logLine, tell: true}, often)
}

// lines shows progress as lines of text. Of a stalled transfer a log has no lines, except for an outage: one as it begins, one
// each minute and one at its end.
type lines struct {
	w     io.Writer
	due   func(last, now snapshot) bool
	text  func(snapshot) string
	clock bool // lines are due while nothing changes
	tell  bool // an outage has lines of its own

	last   snapshot // what was shown last, or the first one
	shown  bool
	outage time.Time // of the last line about an outage; zero: none is shown
}

func (l *lines) ticks() bool { return l.clock }

func (l *lines) line(text string) {
	if l.tell {
		fmt.Fprintln(l.w, text)
	}
}

func (l *lines) update(now snapshot) {
	if now.outage == "" {
		l.outage = time.Time{}
	} else if l.tell {
		if now.at.Sub(l.outage) >= time.Minute {
			l.outage = now.at
			l.line("s3ctl: " + now.outage)
		}
		return
	}
	switch {
	case l.last.at.IsZero():
		l.last = now
	case l.due(l.last, now):
		l.last, l.shown = now, true
		fmt.Fprintln(l.w, l.text(now))
	}
}

func (*lines) above(_ snapshot, write func()) { write() }

func (l *lines) end(last snapshot) {
	last.ended = true
	if last.files > 0 && (l.shown || l.due(l.last, last)) {
		fmt.Fprintln(l.w, l.text(last))
	}
}
