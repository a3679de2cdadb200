package term

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar is a progress bar for all transfers together, and with rows one more for each file in progress. Each frame is rendered for
// the present size of the terminal and written in one call, since a longer line would wrap and leave a line behind with every
// frame.
type bar struct {
	w     io.Writer
	after time.Duration // what is over before needs no bar
	rows  bool          // show the files in progress, and the end also of what was too short for a bar
	size  func() (columns, lines int)
	lines int // of the last frame; 0: none is on the screen
}

// newBar returns a Progress with a bar that is drawn at most once in so much time, and first after five times that.
func newBar(w io.Writer, every time.Duration, rows bool) *Progress {
	return show(&bar{w: w, after: 5 * every, rows: rows, size: func() (columns, lines int) { return sizeOf(w) }}, every)
}

// sizeOf returns the present size of the terminal; 80 by 24 if it is unknown.
func sizeOf(w io.Writer) (columns, lines int) {
	if f, ok := w.(*os.File); ok {
		if columns, lines, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && lines > 0 {
			return columns, lines
		}
	}
	return 80, 24
}

func (*bar) ticks() bool { return true }

// update draws nothing before the first byte or file, nor for what is soon over, unless there is an outage to show.
func (b *bar) update(now snapshot) {
	begun := now.files > 0 && (now.moved > 0 || now.done > 0) || now.listing
	if b.lines > 0 || now.outage != "" || begun && now.elapsed >= b.after {
		b.draw(now, "")
	}
}

// draw overwrites the previous frame in one write.
func (b *bar) draw(s snapshot, end string) {
	columns, height := b.size()
	// The last column stays free, because some terminals start a new line after it.
	frame := []string{frame(s, columns-1)}
	if b.rows && s.files > 1 && !s.complete {
		frame = append(itemFrames(s.items, columns-1, height-2), frame...)
	}
	fmt.Fprint(b.w, b.up()+strings.Join(frame, "\x1b[0K\n")+"\x1b[0J"+end)
	b.lines = len(frame)
}

// up moves to the start of the last frame.
func (b *bar) up() string {
	if b.lines > 1 {
		return fmt.Sprintf("\r\x1b[%dA", b.lines-1)
	}
	return "\r"
}

func (b *bar) above(now snapshot, write func()) {
	shown := b.lines > 0
	b.wipe()
	write()
	if shown {
		b.draw(now, "")
	}
}

func (b *bar) line(text string) {
	b.wipe()
	fmt.Fprintln(b.w, text)
}

// end erases a bar that is not complete, so that only the error remains on the screen.
func (b *bar) end(last snapshot) {
	if (b.lines > 0 || b.rows) && last.complete && last.total >= 0 && last.files > 0 {
		b.draw(last, "\n")
		b.lines = 0
		return
	}
	b.wipe()
}

func (b *bar) wipe() {
	if b.lines > 0 {
		fmt.Fprint(b.w, b.up()+"\x1b[0J")
	}
	b.lines = 0
}

// leastBar is the smallest useful width of a bar in columns.
const leastBar = 8

// frame renders a snapshot in at most so many columns. If there are too few, it leaves out in this order: the elapsed time, the
// rate, the remaining time, the bar, and then everything except the percentage.
func frame(s snapshot, columns int) string {
	if s.outage != "" {
		return cutEnd(s.outage, columns)
	}
	counted, sized := s.counted(columns), s.sizes()
	rate, elapsed, left := "", "in "+Duration(s.elapsed), ""
	if s.rate >= 1 {
		rate = Size(int64(s.rate)) + "/s"
	}
	if d := s.left(); d > 0 {
		left = Duration(d) + " left"
	}
	texts := []string{join(counted, sized, rate, elapsed, left), join(counted, sized, rate, left), join(counted, sized, left), join(counted, sized), Size(s.moved)}
	if !s.open() {
		for _, label := range texts[:4] {
			if bar := barBehind(label, s, columns); bar != "" {
				return bar
			}
		}
		percent := fmt.Sprintf("%d%%", s.percent())
		texts = []string{join(counted, sized, percent), join(sized, percent), join(Size(s.moved), percent), percent}
	}
	if s.listing {
		texts = append(texts, counted)
	}
	for _, text := range texts {
		if width(text) <= columns {
			return text
		}
	}
	return ""
}

// counted is how many files are done: "3/10", while they are still being found "3 done, still listing", and of a single file its name.
func (s snapshot) counted(columns int) string {
	done := humanize.Comma(int64(s.done))
	switch {
	case s.listing:
		return done + " done, still listing"
	case s.files == 1 && len(s.items) == 1 && columns >= 60:
		return cut(s.items[0].name, columns/4)
	}
	return done + "/" + humanize.Comma(int64(s.files))
}

// itemFrames renders the files in progress, the oldest first and at most so many.
func itemFrames(items []itemState, columns, most int) (frames []string) {
	names := max(min(columns/3, columns-30), 8)
	for _, i := range items[:max(min(len(items), most), 0)] {
		s := snapshot{moved: i.moved, total: i.total}
		label := join(padded(cut(i.name, names), names), s.sizes())
		row := ""
		if i.total > 0 {
			row = barBehind(label, s, columns)
		}
		if row == "" {
			row = cutEnd(label, columns)
		}
		frames = append(frames, row)
	}
	return frames
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "  ")
}

// barBehind returns a label and behind it a bar that fills the columns, or "" if they are too few.
func barBehind(label string, s snapshot, columns int) string {
	size := leastBar + columns - width(drawn(s, label, leastBar))
	if size < leastBar {
		return ""
	}
	return drawn(s, label, size)
}

// drawn returns one frame of the progress bar library for a bar of that width and a known total. The library shows a percentage of
// a hundred parts as it is given.
func drawn(s snapshot, label string, size int) string {
	const parts = 100
	one := progressbar.NewOptions64(parts,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(size),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(0),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionSetDescription(label),
	)
	if s.percent() == 0 {
		_ = one.RenderBlank()
	}
	_ = one.Set64(int64(s.percent()))
	return strings.TrimSpace(one.String())
}
