package term

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar is one line for everything under way. The library draws; what it is told
// are our own numbers, as it takes resumed bytes for very fast ones.
type bar struct {
	w        io.Writer
	throttle time.Duration

	mu     sync.Mutex // guards all below, and the terminal
	lib    *progressbar.ProgressBar
	count  count
	drawn  time.Time
	closed bool
}

func newBar(w io.Writer, throttle time.Duration) *bar {
	return &bar{w: w, throttle: throttle}
}

// start makes the library's bar as soon as there is something to show.
func (b *bar) start() {
	if b.lib != nil {
		return
	}
	size := max(b.count.total, 1)
	if b.count.unknown {
		size = -1 // the library shows a spinner
	}
	b.lib = progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(0), // ours is enough, and must not swallow what Above draws again
		progressbar.OptionUseANSICodes(true),
		// Otherwise the library draws from a goroutine of its own, across our lines and after the end.
		progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionFullWidth(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionSetDescription(label(b.count.standing(time.Now()))),
	)
}

// label is "3/10  1.2 GiB of 4.0 GiB  105 MiB/s  27s ".
func label(s standing) string {
	text := fmt.Sprintf("%d/%d  %s", s.done, s.files, Size(s.moved))
	if s.total >= 0 {
		text += " of " + Size(s.total)
	}
	if s.rate >= 1 {
		text += "  " + Size(int64(s.rate)) + "/s"
	}
	if left := s.left(); left > 0 {
		text += "  " + left.String()
	}
	return text + " "
}

// Plan implements Progress.
func (b *bar) Plan(files int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.plan(files, bytes)
	if b.lib != nil && !b.count.unknown {
		b.lib.ChangeMax64(max(b.count.total, 1))
	}
}

// Moved implements Progress.
func (b *bar) Moved(bytes int64) { b.change(func() { b.count.move(bytes, time.Now()) }) }

// Resumed implements Progress.
func (b *bar) Resumed(bytes int64) { b.change(func() { b.count.resumed += bytes }) }

// Finished implements Progress.
func (b *bar) Finished() { b.change(func() { b.count.done++ }) }

func (b *bar) change(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	what()
	if now := time.Now(); now.Sub(b.drawn) >= b.throttle {
		b.drawn = now
		b.start()
		b.show(b.count.standing(now))
	}
}

// show draws what is safe to claim. The library's own errors are of no use to
// anyone here: a terminal that went away must not fail a transfer.
func (b *bar) show(s standing) {
	b.lib.Describe(label(s))
	_ = b.lib.Set64(s.moved)
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
	b.show(b.count.standing(time.Now()))
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
	if complete && !b.count.unknown {
		b.lib.Describe(label(b.count.standing(time.Now()).whole()))
		_ = b.lib.Finish()
		fmt.Fprintln(b.w)
	} else {
		b.wipe()
	}
	b.lib = nil
}
