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
	display display // nil: nothing is shown
}

// display shows progress. One method is called at a time. They ignore write errors: a closed terminal must not fail a transfer.
type display interface {
	update(now snapshot)              // after each change
	above(now snapshot, write func()) // runs write, which writes lines to any stream
	end(last snapshot)
}

// Silent returns a Progress that shows nothing.
func Silent() *Progress { return &Progress{} }

// Plan adds work to the totals before it starts; bytes < 0 if the size is unknown.
func (p *Progress) Plan(files int, bytes int64) {
	p.change(func(time.Time) { p.count.plan(files, bytes) })
}

// Moved counts transferred bytes; negative if they have to be transferred again.
func (p *Progress) Moved(bytes int64) {
	p.change(func(now time.Time) { p.count.move(bytes, now) })
}

// Resumed counts bytes that an earlier run transferred; negative if they turn out to be unusable.
func (p *Progress) Resumed(bytes int64) { p.change(func(time.Time) { p.count.resumed += bytes }) }

// Finished counts a file whose transfer was acknowledged and verified, or has failed permanently.
func (p *Progress) Finished() { p.change(func(time.Time) { p.count.done++ }) }

func (p *Progress) change(what func(now time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.display != nil && !p.closed {
		now := time.Now()
		what(now)
		p.display.update(p.count.snapshot(now))
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
}

// ProgressStyle is the value of --progress.
type ProgressStyle string

// The styles.
const (
	ProgressAuto ProgressStyle = "auto" // a bar on a terminal, a log otherwise
	ProgressBar  ProgressStyle = "bar"
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
		return &Progress{display: &lines{w: s.Err, due: everySecond, text: jsonLine}}
	case style == ProgressBar, style != ProgressLog && s.ErrTTY:
		return newBar(s.Err, 100*time.Millisecond)
	}
	return &Progress{display: &lines{w: s.Err, due: nowAndThen, text: logLine}}
}

// lines shows progress as lines of text. A line is due only when something happens: a stalled transfer writes none, and its
// retries are reported separately.
type lines struct {
	w    io.Writer
	due  func(last, now snapshot) bool
	text func(snapshot) string

	last  snapshot // what was shown last, or the first one
	shown bool
}

func (l *lines) update(now snapshot) {
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
	if l.shown || l.due(l.last, last) {
		fmt.Fprintln(l.w, l.text(last))
	}
}
