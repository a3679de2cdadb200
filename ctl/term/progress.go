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
type Progress interface {
	// Plan adds work to the totals before it starts; bytes < 0 if the size is unknown.
	Plan(files int, bytes int64)
	// Moved counts transferred bytes; negative if they have to be transferred again.
	Moved(bytes int64)
	// Resumed counts bytes that an earlier run transferred; negative if they turn out to be unusable.
	Resumed(bytes int64)
	// Finished counts a file whose transfer was acknowledged and verified, or has failed permanently.
	Finished()
	// Above runs write, which writes lines to any stream, while the bar is erased.
	Above(write func())
	// Complete ends the display: everything planned was verified.
	Complete()
	// Close ends the display of a run that is not complete. After Complete it does nothing.
	Close()
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

var progressStyles = []string{string(ProgressAuto), string(ProgressBar), string(ProgressLog), string(ProgressJSON), string(ProgressNone)}

// String implements pflag.Value.
func (p *ProgressStyle) String() string { return string(*p) }

// Set implements pflag.Value.
func (p *ProgressStyle) Set(text string) error {
	if !slices.Contains(progressStyles, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(progressStyles, ", "))
	}
	*p = ProgressStyle(text)
	return nil
}

// Type implements pflag.Value.
func (*ProgressStyle) Type() string { return "STYLE" }

// Silent returns a Progress that shows nothing.
func Silent() Progress { return &silence{} }

// ProgressAs returns a Progress on Err in a style.
func (s *Streams) ProgressAs(style ProgressStyle) Progress {
	switch {
	case style == ProgressNone:
		return Silent()
	case style == ProgressJSON:
		return newLines(s.Err, everySecond, jsonLine)
	case style == ProgressBar, style != ProgressLog && s.ErrTTY:
		return newBar(s.Err, 100*time.Millisecond)
	}
	return newLines(s.Err, nowAndThen, logLine)
}

// silence shows nothing; it only serializes Above.
type silence struct{ mu sync.Mutex }

func (*silence) Plan(int, int64) {}
func (*silence) Moved(int64)     {}
func (*silence) Resumed(int64)   {}
func (*silence) Finished()       {}
func (*silence) Complete()       {}
func (*silence) Close()          {}

func (s *silence) Above(write func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write()
}

// recorder is the part of a Progress that counts.
type recorder struct {
	mu      sync.Mutex // guards all below, and what is written
	count   count
	closed  bool
	changed func(now time.Time) // called after each count, with mu held
}

// Plan implements Progress.
func (r *recorder) Plan(files int, bytes int64) { r.change(func() { r.count.plan(files, bytes) }) }

// Moved implements Progress.
func (r *recorder) Moved(bytes int64) { r.change(func() { r.count.move(bytes, time.Now()) }) }

// Resumed implements Progress.
func (r *recorder) Resumed(bytes int64) { r.change(func() { r.count.resumed += bytes }) }

// Finished implements Progress.
func (r *recorder) Finished() { r.change(func() { r.count.done++ }) }

func (r *recorder) change(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		what()
		r.changed(time.Now())
	}
}

// end runs last once; nothing is counted after it.
func (r *recorder) end(last func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		last()
	}
}

// lines shows progress as lines of text. A line is due only when something happens: a stalled transfer writes none, and its
// retries are reported separately.
type lines struct {
	recorder
	w    io.Writer
	due  func(last, now snapshot) bool
	text func(snapshot) string

	last  snapshot // what was shown last, or the first one; guarded by mu
	shown bool     // guarded by mu
}

func newLines(w io.Writer, due func(last, now snapshot) bool, text func(snapshot) string) *lines {
	l := &lines{w: w, due: due, text: text}
	l.changed = func(at time.Time) {
		now := l.count.snapshot(at)
		switch {
		case l.last.at.IsZero():
			l.last = now
		case l.due(l.last, now):
			l.show(now)
		}
	}
	return l
}

// show writes a line. Errors are ignored: a closed stream must not fail a transfer.
func (l *lines) show(s snapshot) {
	l.last, l.shown = s, true
	fmt.Fprintln(l.w, l.text(s))
}

// Above implements Progress.
func (l *lines) Above(write func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	write()
}

// Complete implements Progress.
func (l *lines) Complete() { l.end(func() { l.showLast(l.count.snapshot(time.Now()).whole()) }) }

// Close implements Progress.
func (l *lines) Close() { l.end(func() { l.showLast(l.count.snapshot(time.Now())) }) }

func (l *lines) showLast(end snapshot) {
	end.ended = true
	if l.shown || l.due(l.last, end) {
		l.show(end)
	}
}
