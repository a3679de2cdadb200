package term

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Progress hears of transfers as they go. All methods may be called at once
// from many goroutines.
type Progress interface {
	// Plan adds work to the totals, before it begins; bytes < 0 where it is not known.
	Plan(files int, bytes int64)
	// Moved counts bytes on their way; negative when they have to go again.
	Moved(bytes int64)
	// Finished counts a file whose transfer was acknowledged and verified, or has failed for good.
	Finished()
	// Above runs write, which shows lines on any stream, while no bar is in the way.
	Above(write func())
	// Close ends the display; complete says that all that was planned was verified.
	Close(complete bool)
}

// NewProgress gives a bar on Err where that is a terminal, and silence otherwise.
func (s *Streams) NewProgress(quiet bool) Progress {
	if quiet || !s.ErrTTY {
		return &silence{}
	}
	return newBar(s.Err, 100*time.Millisecond)
}

// silence only keeps lines whole.
type silence struct{ mu sync.Mutex }

func (*silence) Plan(int, int64) {}
func (*silence) Moved(int64)     {}
func (*silence) Finished()       {}
func (*silence) Close(bool)      {}

func (s *silence) Above(write func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write()
}

// bar is one line for everything under way. It never shows the last byte before
// Close(true): bytes that were sent are not yet bytes that are safe.
type bar struct {
	mu       sync.Mutex // guards all below, and the terminal
	lib      *progressbar.ProgressBar
	w        io.Writer
	throttle time.Duration

	files, done  int
	total, moved int64
	unknown      bool
	closed       bool
}

func newBar(w io.Writer, throttle time.Duration) *bar {
	return &bar{w: w, throttle: throttle}
}

// start makes the library's bar as soon as there is something to show.
func (b *bar) start() {
	if b.lib != nil {
		return
	}
	size := max(b.total, 1)
	if b.unknown {
		size = -1 // the library shows a spinner
	}
	b.lib = progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(b.throttle),
		progressbar.OptionUseANSICodes(true),
		// Otherwise the library draws from a goroutine of its own, across our lines and after the end.
		progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionFullWidth(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionSetDescription(b.label()),
	)
}

func (b *bar) label() string { return fmt.Sprintf("%d/%d ", b.done, b.files) }

// Plan implements Progress.
func (b *bar) Plan(files int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files += files
	if bytes < 0 {
		b.unknown = true
	} else {
		b.total += bytes
	}
	if b.lib != nil && !b.unknown {
		b.lib.ChangeMax64(max(b.total, 1))
	}
}

// Moved implements Progress.
func (b *bar) Moved(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.start()
	b.moved += bytes
	b.show()
}

// show draws what is safe to claim. The library's own errors are of no use to
// anyone here: a terminal that went away must not fail a transfer.
func (b *bar) show() {
	shown := b.moved
	if !b.unknown {
		shown = max(min(b.moved, b.total-1), 0)
	}
	_ = b.lib.Set64(shown)
}

// Finished implements Progress.
func (b *bar) Finished() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.start()
	b.done++
	b.lib.Describe(b.label())
}

// Above implements Progress.
func (b *bar) Above(write func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lib == nil {
		write()
		return
	}
	b.wipe()
	write()
	b.show()
}

func (b *bar) wipe() { fmt.Fprint(b.w, "\r\x1b[2K") }

// Close implements Progress. A bar that did not come to its end is wiped away:
// what is left on the screen is then the error alone.
func (b *bar) Close(complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.lib == nil {
		return
	}
	if complete && !b.unknown {
		_ = b.lib.Finish()
		fmt.Fprintln(b.w)
	} else {
		b.wipe()
	}
	b.lib = nil
}
