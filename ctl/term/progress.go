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
// Close(true), because bytes that were sent are not durable yet.
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
	// Close ends the display; complete means that everything planned was verified.
	Close(complete bool)
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

// NewProgress returns a bar on Err if that is a terminal, and otherwise, or if quiet, a Progress that shows nothing.
func (s *Streams) NewProgress(quiet bool) Progress {
	if quiet || !s.ErrTTY {
		return &silence{}
	}
	return s.ProgressAs(ProgressBar)
}

// ProgressAs returns a Progress on Err in a style.
func (s *Streams) ProgressAs(style ProgressStyle) Progress {
	switch {
	case style == ProgressNone:
		return &silence{}
	case style == ProgressJSON:
		return &lines{w: s.Err, due: everySecond, text: jsonLine}
	case style == ProgressBar, style != ProgressLog && s.ErrTTY:
		return newBar(s.Err, 100*time.Millisecond)
	}
	return &lines{w: s.Err, due: nowAndThen, text: logLine}
}

// silence shows nothing; it only serializes Above.
type silence struct{ mu sync.Mutex }

func (*silence) Plan(int, int64) {}
func (*silence) Moved(int64)     {}
func (*silence) Resumed(int64)   {}
func (*silence) Finished()       {}
func (*silence) Close(bool)      {}

func (s *silence) Above(write func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write()
}

// lines shows progress as lines of text. A line is due only when something happens: a stalled transfer writes none, and its
// retries are reported separately.
type lines struct {
	w    io.Writer
	due  func(last, now snapshot) bool
	text func(snapshot) string

	mu     sync.Mutex // guards all below, and the stream
	count  count
	last   snapshot // what was shown last, or the first one
	shown  bool
	closed bool
}

// Plan implements Progress.
func (l *lines) Plan(files int, bytes int64) { l.change(func() { l.count.plan(files, bytes) }) }

// Moved implements Progress.
func (l *lines) Moved(bytes int64) { l.change(func() { l.count.move(bytes, time.Now()) }) }

// Resumed implements Progress.
func (l *lines) Resumed(bytes int64) { l.change(func() { l.count.resumed += bytes }) }

// Finished implements Progress.
func (l *lines) Finished() { l.change(func() { l.count.done++ }) }

func (l *lines) change(what func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	what()
	now := l.count.snapshot(time.Now())
	switch {
	case l.last.at.IsZero():
		l.last = now
	case l.due(l.last, now):
		l.show(now)
	}
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

// Close implements Progress.
func (l *lines) Close(complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	end := l.count.snapshot(time.Now())
	end.ended = true
	if complete {
		end = end.whole()
	}
	if l.shown || l.due(l.last, end) {
		l.show(end)
	}
}
