package term

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Progress hears of transfers as they go. All methods may be called at once
// from many goroutines. What it shows never claims the last byte before Close(true): bytes
// that were sent are not yet bytes that are safe.
type Progress interface {
	// Plan adds work to the totals, before it begins; bytes < 0 where it is not known.
	Plan(files int, bytes int64)
	// Moved counts bytes on their way; negative when they have to go again.
	Moved(bytes int64)
	// Resumed counts bytes that an earlier run has moved; negative when they turn out to be of no use.
	Resumed(bytes int64)
	// Finished counts a file whose transfer was acknowledged and verified, or has failed for good.
	Finished()
	// Above runs write, which shows lines on any stream, while no bar is in the way.
	Above(write func())
	// Close ends the display; complete says that all that was planned was verified.
	Close(complete bool)
}

// ProgressStyle is how progress is shown. It is a flag's value.
type ProgressStyle string

// The styles.
const (
	ProgressAuto ProgressStyle = "auto" // a bar on a terminal, a log otherwise
	ProgressBar  ProgressStyle = "bar"
	ProgressLog  ProgressStyle = "log"  // a line now and then, of transfers that take long
	ProgressJSON ProgressStyle = "json" // a line of JSON a second
	ProgressNone ProgressStyle = "none"
)

var progressStyles = []string{string(ProgressAuto), string(ProgressBar), string(ProgressLog), string(ProgressJSON), string(ProgressNone)}

// String implements pflag.Value.
func (p *ProgressStyle) String() string { return string(*p) }

// Set implements pflag.Value.
func (p *ProgressStyle) Set(text string) error {
	if !slices.Contains(progressStyles, text) {
		return fmt.Errorf("%q is none of %s", text, strings.Join(progressStyles, ", "))
	}
	*p = ProgressStyle(text)
	return nil
}

// Type implements pflag.Value.
func (*ProgressStyle) Type() string { return "STYLE" }

// NewProgress shows progress on Err as it fits: a bar on a terminal, and nothing where that is asked for or
// Err is none.
func (s *Streams) NewProgress(quiet bool) Progress {
	if quiet || !s.ErrTTY {
		return &silence{}
	}
	return s.ProgressAs(ProgressBar)
}

// ProgressAs shows progress on Err in a style.
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

// silence only keeps lines whole.
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

// lines shows progress as lines of text, which are due when something happens: a
// transfer in which nothing moves says nothing here, its retries are told apart.
type lines struct {
	w    io.Writer
	due  func(last, now standing) bool
	text func(standing) string

	mu     sync.Mutex // guards all below, and the stream
	count  count
	last   standing // what was shown last, or when it began
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
	now := l.count.standing(time.Now())
	switch {
	case l.last.at.IsZero():
		l.last = now
	case l.due(l.last, now):
		l.show(now)
	}
}

// show writes a line. Its errors are of no use to anyone here: nobody reads it then.
func (l *lines) show(s standing) {
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
	end := l.count.standing(time.Now())
	end.ended = true
	if complete {
		end = end.whole()
	}
	if l.shown || l.due(l.last, end) {
		l.show(end)
	}
}
