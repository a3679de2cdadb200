package term

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ringstore/ringstore/ctl/pace"
)

// count adds up the calls of a Progress.
type count struct {
	began                 time.Time // of the first call
	files, done           int
	total, moved, resumed int64
	extra                 int64     // what files cost beyond their bytes, as bytes
	unknown               bool      // the size of some file is unknown
	listing               bool      // more files may be found
	pace, effort          pace.Pace // of bytes, and of the work that percentages are of
	items                 []*Item
	outage                outage
}

// fileEffort is the least that a file costs, as bytes that take as long. Without it ten thousand empty files would be 0% until the
// last one.
const fileEffort = 64 << 10

func (c *count) plan(files int, bytes int64) {
	c.files += files
	if bytes < 0 {
		c.unknown = true
		return
	}
	c.total += bytes
	if files < 0 {
		c.extra -= max(-int64(files)*fileEffort+bytes, 0)
		return
	}
	c.extra += max(int64(files)*fileEffort-bytes, 0)
}

func (c *count) move(bytes int64, now time.Time) {
	c.moved += bytes
	if bytes < 0 {
		c.restart(now)
		return
	}
	c.pace.See(c.moved, now)
	c.effort.See(c.spent(), now)
}

func (c *count) finish(now time.Time) {
	c.done++
	c.effort.See(c.spent(), now)
}

// spent is the effort of this run: its bytes, and what the files that are done cost beyond them, on average.
func (c *count) spent() int64 { return c.moved + c.extraDone() }

func (c *count) extraDone() int64 {
	return int64(float64(c.extra) * float64(c.done) / float64(max(c.files, 1)))
}

// restart makes the rates begin now: what was before says nothing about what follows.
func (c *count) restart(now time.Time) {
	c.pace.Restart(c.moved, now)
	c.effort.Restart(c.spent(), now)
}

// snapshot is the progress at a moment, as shown to the user.
type snapshot struct {
	at          time.Time
	elapsed     time.Duration
	done, files int
	listing     bool  // files and total are not final
	moved       int64 // bytes, including those of earlier runs
	total       int64 // < 0 if unknown
	resumed     int64
	rate        float64 // bytes a second
	effort      float64 // bytes a second, with what files cost beyond them
	extra       int64   // what all files cost beyond their bytes
	extraDone   int64   // and those that are done
	items       []itemState
	outage      string // why nothing moves; "" if something does
	ended       bool
	complete    bool // everything was acknowledged and verified
}

// itemState is a file in progress.
type itemState struct {
	name         string
	moved, total int64 // total < 0 if unknown
}

// snapshot returns the present progress, without the last byte.
func (c *count) snapshot(now time.Time) snapshot {
	s := snapshot{
		at: now, elapsed: now.Sub(c.began), done: c.done, files: c.files, listing: c.listing, moved: max(c.moved+c.resumed, 0), total: c.total,
		resumed: c.resumed, rate: c.pace.Rate(c.moved, now), effort: c.effort.Rate(c.spent(), now), outage: c.outage.text(now),
		extra: c.extra, extraDone: c.extraDone(),
	}
	for _, i := range c.items {
		s.items = append(s.items, i.state())
	}
	if c.unknown {
		s.total = -1
		return s
	}
	s.moved = max(min(s.moved, s.total-1), 0)
	return s
}

// whole returns the snapshot of a complete transfer, with the last byte.
func (s snapshot) whole() snapshot {
	s.complete, s.items, s.outage = true, nil, ""
	if s.total >= 0 {
		s.moved = s.total
	}
	return s
}

// open reports whether the total is unknown, so that there is neither a percentage nor a remaining time.
func (s snapshot) open() bool { return s.total < 0 || s.listing }

// percent returns the percentage of the work, rounded down; < 0 if unknown. 100 is left for what is complete.
func (s snapshot) percent() int {
	all := float64(s.total) + float64(s.extra)
	switch {
	case s.open():
		return -1
	case s.complete || all == 0:
		return 100
	}
	return min(int((float64(s.moved)+float64(s.extraDone))/all*100), 99)
}

// left returns the remaining time at the present rate; < 0 if unknown.
func (s snapshot) left() time.Duration {
	switch {
	case s.complete:
		return 0
	case s.open() || s.effort < 1 || s.outage != "":
		return -1
	}
	seconds := (float64(s.total-s.moved) + float64(s.extra-s.extraDone)) / s.effort
	if seconds > math.MaxInt32 { // decades
		return -1
	}
	return time.Duration(seconds+0.5) * time.Second
}

// recent returns a pace over the last ten seconds, so that it follows changes but does not jump.
func recent() pace.Pace { return pace.Pace{Range: 10 * time.Second, Step: 500 * time.Millisecond} }

// outage is a time in which the server cannot be reached, or cannot serve.
type outage struct {
	since time.Time // of the first failure; zero: the server works
	cause string
	limit time.Duration
	shown bool
}

// patient is how long an outage is not worth a word: a retry has usually ended it.
const patient = time.Second

// text describes the outage, "" while the server works or has only begun to fail.
func (o *outage) text(now time.Time) string {
	if o.since.IsZero() || now.Sub(o.since) < patient {
		return ""
	}
	o.shown = true
	return fmt.Sprintf("%s; waiting for %s, up to %s", o.cause, Duration(now.Sub(o.since)), Duration(o.limit))
}

// everySecond is due every second and at the end, for programs.
func everySecond(last, now snapshot) bool { return now.ended || now.at.Sub(last.at) >= time.Second }

// nowAndThen is due, for logs, at each tenth of the total and after each minute, but not within ten seconds of the start or of the
// line before.
func nowAndThen(last, now snapshot) bool {
	if last.at.IsZero() {
		return false // there was nothing to transfer
	}
	elapsed := now.at.Sub(last.at)
	return elapsed >= time.Minute || elapsed >= 10*time.Second && !now.ended && (now.open() || now.percent()/10 > last.percent()/10)
}

// logLine returns "s3ctl: 1.2 of 4.0 GiB (30%), 3 of 10 files, 105 MiB/s, 27s left".
func logLine(s snapshot) string {
	files := fmt.Sprintf("%s of %s", humanize.Comma(int64(s.done)), Count(s.files, "file"))
	text := "s3ctl: " + s.sizes()
	switch percent := s.percent(); {
	case s.listing:
		files = humanize.Comma(int64(s.done)) + " done, still listing"
	case percent >= 0:
		text += " (" + strconv.Itoa(percent) + "%)"
	}
	text += ", " + files
	if s.rate >= 1 {
		text += ", " + Size(int64(s.rate)) + "/s"
	}
	if left := s.left(); left > 0 && !s.ended {
		text += ", " + Duration(left) + " left"
	}
	return text
}

// sizes is how many bytes were transferred, and of how many if that is known: "0.48 of 1.00 GiB".
func (s snapshot) sizes() string { return sizes(s.moved, s.total, s.listing) }

func sizes(moved, total int64, open bool) string {
	if total < 0 || open {
		return Size(moved)
	}
	unit, name := float64(1), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if float64(total) < unit*1024 {
			break
		}
		unit, name = unit*1024, next
	}
	digits, scale := 0, 1.0
	if name != "B" && float64(total)/unit < 10 {
		digits, scale = 2, 100
	}
	form := func(n int64) string {
		return strconv.FormatFloat(math.Floor(float64(n)/unit*scale)/scale, 'f', digits, 64)
	}
	return form(moved) + " of " + form(total) + " " + name
}

// Duration formats a time for the user, in seconds: 8s, 1m20s, 2h5m.
func Duration(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	if d >= time.Minute && d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

// progressJSON is a line of --progress=json, documented in docs/json-output.md.
type progressJSON struct {
	Type       string `json:"type"`
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`
	FilesDone  int    `json:"files_done"`
	FilesTotal int    `json:"files_total"`
	Rate       int64  `json:"bytes_per_second"`
	Left       int64  `json:"eta_seconds"`
	Resumed    int64  `json:"resumed_bytes"`
	Listing    bool   `json:"listing,omitempty"`
	Elapsed    int64  `json:"elapsed_seconds"`
	Outage     string `json:"waiting_for,omitempty"`
	Complete   bool   `json:"complete"`
}

func jsonLine(s snapshot) string {
	left := int64(-1)
	if d := s.left(); d >= 0 {
		left = int64(d / time.Second)
	}
	data, _ := json.Marshal(progressJSON{ // numbers and texts cannot fail
		"progress", s.moved, s.total, s.done, s.files, int64(s.rate), left, s.resumed, s.listing, int64(s.elapsed / time.Second), s.outage, s.complete,
	})
	return string(CleanJSON(data))
}
