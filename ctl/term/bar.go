package term

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar is a one-line progress bar for all transfers. Each frame is rendered for the present width of the terminal and
// written in one call, since a longer line would wrap and leave a line behind with every frame.
type bar struct {
	w        io.Writer
	throttle time.Duration
	columns  func() int

	drawn time.Time
	begun bool // a frame was drawn
}

func newBar(w io.Writer, throttle time.Duration) *Progress {
	return &Progress{display: &bar{w: w, throttle: throttle, columns: func() int { return columnsOf(w) }}}
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

// update draws nothing before the first byte or file.
func (b *bar) update(now snapshot) {
	if now.at.Sub(b.drawn) >= b.throttle && (now.moved > 0 || now.done > 0) {
		b.drawn = now.at
		b.draw(now, "")
	}
}

// draw overwrites the previous frame in one write.
func (b *bar) draw(s snapshot, end string) {
	// The last column stays free, because some terminals start a new line after it.
	fmt.Fprint(b.w, "\r"+frame(s, b.columns()-1)+"\x1b[0K"+end)
	b.begun = true
}

func (b *bar) above(now snapshot, write func()) {
	b.wipe()
	write()
	if b.begun {
		b.draw(now, "")
	}
}

// end erases a bar that is not complete, so that only the error remains on the screen.
func (b *bar) end(last snapshot) {
	if b.begun && last.complete && last.total >= 0 {
		b.draw(last, "\n")
		return
	}
	b.wipe()
}

func (b *bar) wipe() {
	if b.begun {
		fmt.Fprint(b.w, "\r\x1b[2K")
	}
}

// leastBar is the smallest useful width of a bar in columns.
const leastBar = 8

// frame renders a snapshot in at most so many columns; every character is one column wide. If there are too few columns, it
// leaves out in this order: the rate, the remaining time, the bar, and then everything except the percentage.
func frame(s snapshot, columns int) string {
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
	texts := []string{join(counted, sized, rate, left), join(counted, sized, left), join(counted, sized), Size(s.moved)}
	if s.total >= 0 {
		for _, label := range texts[:3] {
			if width := leastBar + columns - len(drawn(s, label, leastBar)); width >= leastBar {
				return drawn(s, label, width) // the bar fills the columns
			}
		}
		percent := fmt.Sprintf("%d%%", s.percent())
		texts = []string{join(counted, sized, percent), join(sized, percent), join(Size(s.moved), percent), percent}
	}
	for _, text := range texts {
		if len(text) <= columns {
			return text
		}
	}
	return ""
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "  ")
}

// drawn returns one frame of the progress bar library for a bar of that width and a known total.
func drawn(s snapshot, label string, width int) string {
	size := max(s.total, 1)
	one := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(width),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(0),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionSetDescription(label),
	)
	if s.complete {
		_ = one.Set64(size)
		return strings.TrimSpace(one.String())
	}
	if s.moved == 0 {
		_ = one.RenderBlank()
	}
	_ = one.Set64(s.moved)
	return strings.TrimSpace(one.String())
}
