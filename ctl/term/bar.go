package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar is a one-line progress bar for all transfers. Each frame is rendered for the present width of the terminal and
// written in one call, since a longer line would wrap and leave a line behind with every frame.
type bar struct {
	recorder
	w        io.Writer
	throttle time.Duration
	columns  func() int

	drawn  time.Time // guarded by mu
	frames int       // guarded by mu
}

func newBar(w io.Writer, throttle time.Duration) *bar {
	b := &bar{w: w, throttle: throttle, columns: func() int { return columnsOf(w) }}
	b.changed = func(now time.Time) {
		if now.Sub(b.drawn) >= b.throttle {
			b.drawn = now
			b.draw(b.count.snapshot(now), "")
		}
	}
	return b
}

// columnsOf returns the present width of the terminal in columns; 80 if it is unknown.
func columnsOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// Plan implements Progress. It draws nothing, since nothing has happened yet.
func (b *bar) Plan(files int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.plan(files, bytes)
}

// draw overwrites the previous frame in one write. Errors are ignored: a closed terminal must not fail a
// transfer.
func (b *bar) draw(s snapshot, end string) {
	// The last column stays free, because some terminals start a new line after it.
	fmt.Fprint(b.w, "\r"+frame(s, b.columns()-1, b.frames)+"\x1b[0K"+end)
	b.frames++
}

// Above implements Progress.
func (b *bar) Above(write func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.frames == 0 || b.closed {
		write()
		return
	}
	b.wipe()
	write()
	b.draw(b.count.snapshot(time.Now()), "")
}

func (b *bar) wipe() { fmt.Fprint(b.w, "\r\x1b[2K") }

// Complete implements Progress.
func (b *bar) Complete() {
	b.end(func() {
		if b.frames > 0 && !b.count.unknown {
			b.draw(b.count.snapshot(time.Now()).whole(), "\n")
			return
		}
		b.erase()
	})
}

// Close implements Progress. A bar that is not complete is erased, so that only the error remains on the
// screen.
func (b *bar) Close() { b.end(b.erase) }

func (b *bar) erase() {
	if b.frames > 0 {
		b.wipe()
	}
}

// leastBar is the smallest useful width of a bar in columns.
const leastBar = 8

// frame renders a snapshot in at most so many columns; every character is one column wide. If there are too few columns, it
// leaves out in this order: the rate, the remaining time, the bar, and then everything except the percentage.
func frame(s snapshot, columns, number int) string {
	sized := Size(s.moved)
	if s.total >= 0 {
		sized += " of " + Size(s.total)
	}
	counted := fmt.Sprintf("%d/%d", s.done, s.files)
	rate, left := "", ""
	if s.rate >= 1 {
		rate = Size(int64(s.rate)) + "/s"
	}
	if d := s.left(); d > 0 {
		left = d.String()
	}
	for _, label := range []string{join(counted, sized, rate, left), join(counted, sized, left), join(counted, sized)} {
		if text := rendered(s, label, columns, number); text != "" {
			return text
		}
	}
	percent := ""
	if s.total >= 0 {
		percent = fmt.Sprintf("%d%%", s.percent())
	}
	for _, text := range []string{join(counted, sized, percent), join(sized, percent), join(Size(s.moved), percent), percent} {
		if len(text) <= columns {
			return text
		}
	}
	return ""
}

func join(parts ...string) string {
	return strings.Join(strings.FieldsFunc(strings.Join(parts, "\x00"), func(r rune) bool { return r == 0 }), "  ")
}

// rendered returns the label followed by a bar that fills the columns; "" if there are too few.
func rendered(s snapshot, label string, columns, number int) string {
	if s.total < 0 {
		if text := drawn(s, label, 0, number); len(text) <= columns {
			return text
		}
		return ""
	}
	width := leastBar + columns - len(drawn(s, label, leastBar, number))
	if width < leastBar {
		return ""
	}
	return drawn(s, label, width, number)
}

// spinner are the frames for an unknown total.
var spinner = []string{"|", "/", "-", "\\"}

// drawn returns one frame of the progress bar library for a bar of that width.
func drawn(s snapshot, label string, width, number int) string {
	size, done := max(s.total, 1), s.moved
	if s.total < 0 {
		size = -1 // the library then shows a spinner
	}
	if s.complete {
		done = size
	}
	one := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(width),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(0),
		// Otherwise the library starts a goroutine that draws.
		progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionSpinnerCustom(spinner[number%len(spinner):]),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionSetDescription(label),
	)
	if done == 0 {
		_ = one.RenderBlank()
	}
	_ = one.Set64(done)
	return strings.TrimSpace(one.String())
}
