package term

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// count adds up the calls of a Progress.
type count struct {
	files, done           int
	total, moved, resumed int64
	unknown               bool // the size of some file is unknown
	pace                  pace
}

func (c *count) plan(files int, bytes int64) {
	c.files += files
	if bytes < 0 {
		c.unknown = true
		return
	}
	c.total += bytes
}

func (c *count) move(bytes int64, now time.Time) {
	c.moved += bytes
	c.pace.see(c.moved, now)
}

// snapshot is the progress at a moment, as shown to the user.
type snapshot struct {
	at          time.Time
	done, files int
	moved       int64 // bytes, including those of earlier runs
	total       int64 // < 0 if unknown
	resumed     int64
	rate        float64 // bytes a second
	ended       bool
	complete    bool // everything was acknowledged and verified
}

// snapshot returns the present progress, without the last byte.
func (c *count) snapshot(now time.Time) snapshot {
	s := snapshot{
		at: now, done: c.done, files: c.files, moved: max(c.moved+c.resumed, 0), total: c.total, resumed: c.resumed, rate: c.pace.rate(c.moved, now),
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
	s.complete = true
	if s.total >= 0 {
		s.moved = s.total
	}
	return s
}

// percent returns the percentage of the bytes, rounded down; < 0 if unknown.
func (s snapshot) percent() int {
	switch {
	case s.total < 0:
		return -1
	case s.complete || s.total == 0:
		return 100
	}
	return int(float64(s.moved) / float64(s.total) * 100)
}

// left returns the remaining time at the present rate; < 0 if unknown.
func (s snapshot) left() time.Duration {
	switch {
	case s.complete:
		return 0
	case s.total < 0 || s.rate < 1:
		return -1
	}
	seconds := float64(s.total-s.moved) / s.rate
	if seconds > math.MaxInt32 { // decades
		return -1
	}
	return time.Duration(seconds+0.5) * time.Second
}

// pace computes the transfer rate over the last ten seconds, so that it follows changes but does not
// jump.
type pace struct {
	seen []mark // the oldest first, at least paceStep apart
}

type mark struct {
	moved int64
	at    time.Time
}

const (
	paceStep  = 500 * time.Millisecond
	paceMarks = 20
)

func (p *pace) see(moved int64, now time.Time) {
	if n := len(p.seen); n > 0 && now.Sub(p.seen[n-1].at) < paceStep {
		return
	}
	if len(p.seen) == paceMarks {
		copy(p.seen, p.seen[1:])
		p.seen = p.seen[:paceMarks-1]
	}
	p.seen = append(p.seen, mark{moved, now})
}

// rate returns bytes per second.
func (p *pace) rate(moved int64, now time.Time) float64 {
	if len(p.seen) == 0 {
		return 0
	}
	took := now.Sub(p.seen[0].at).Seconds()
	if took <= 0 {
		return 0
	}
	return max(float64(moved-p.seen[0].moved)/took, 0)
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
	return elapsed >= time.Minute || elapsed >= 10*time.Second && !now.ended && (now.total < 0 || now.percent()/10 > last.percent()/10)
}

// logLine returns "s3ctl: 1.2 GiB of 4.0 GiB (30%), 3 of 10 files, 105 MiB/s, 27s left".
func logLine(s snapshot) string {
	text := "s3ctl: " + Size(s.moved)
	if s.total >= 0 {
		text += fmt.Sprintf(" of %s (%d%%)", Size(s.total), s.percent())
	}
	text += fmt.Sprintf(", %d of %s, %s/s", s.done, Count(s.files, "file"), Size(int64(s.rate)))
	if left := s.left(); left > 0 && !s.ended {
		text += ", " + left.String() + " left"
	}
	return text
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
	Complete   bool   `json:"complete"`
}

func jsonLine(s snapshot) string {
	left := int64(-1)
	if d := s.left(); d >= 0 {
		left = int64(d / time.Second)
	}
	data, _ := json.Marshal(progressJSON{"progress", s.moved, s.total, s.done, s.files, int64(s.rate), left, s.resumed, s.complete}) // numbers alone cannot fail
	return string(data)
}
