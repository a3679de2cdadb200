package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar is one line for all that moves. Each frame is made whole, of our own numbers and for the columns that the terminal
// has at that moment, and written once: a line that is longer than the terminal would leave a line with every frame.
type bar struct {
	w        io.Writer
	throttle time.Duration
	columns  func() int

	mu     sync.Mutex // guards all below, and the terminal
	count  count
	drawn  time.Time
	frames int
	closed bool
}

func newBar(w io.Writer, throttle time.Duration) *bar {
	return &bar{w: w, throttle: throttle, columns: func() int { return columnsOf(w) }}
}

// columnsOf is how many columns a terminal has now; 80 where that cannot be found out.
func columnsOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// Plan implements Progress.
func (b *bar) Plan(files int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.plan(files, bytes)
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
		b.draw(b.count.standing(now), "")
	}
}

// draw shows what is safe to claim, over the frame before, in one write. Its errors are of no use to
// anyone here: a terminal that went away must not fail a transfer.
func (b *bar) draw(s standing, end string) {
	// The last column stays free: some terminals begin a line behind it.
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
	b.draw(b.count.standing(time.Now()), "")
}

func (b *bar) wipe() { fmt.Fprint(b.w, "\r\x1b[2K") }

// Close implements Progress. A bar that did not come to its end is wiped away:
// what is left on the screen is then the error alone.
func (b *bar) Close(complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	switch {
	case b.frames == 0:
	case complete && !b.count.unknown:
		b.draw(b.count.standing(time.Now()).whole(), "\n")
	default:
		b.wipe()
	}
}

// leastBar is the fewest columns in which a bar says something.
const leastBar = 8

// frame shows a standing in at most so many columns, all of its characters being one wide. What says least goes first as
// they become fewer: the rate, the time to go, the bar, and then all but the percentage.
func frame(s standing, columns, number int) string {
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

// rendered has the library draw a bar behind the label that fills the columns; "" where there are too few.
func rendered(s standing, label string, columns, number int) string {
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

// spinner are the frames of what has no known end.
var spinner = []string{"|", "/", "-", "\\"}

// drawn is one frame of the library, for a bar of so many columns.
func drawn(s standing, label string, width, number int) string {
	size, done := max(s.total, 1), s.moved
	if s.total < 0 {
		size = -1 // the library shows a spinner
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
		// Otherwise the library draws from a goroutine of its own.
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
