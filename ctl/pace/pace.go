// Package pace computes how fast a number grows, over the recent past.
package pace

import "time"

// Pace remembers a growing number over the last Range. Not safe for concurrent use.
type Pace struct {
	Range time.Duration // what is older is forgotten, so that a pause does not count
	Step  time.Duration // the least time between two marks, and the least time that a rate is computed of

	marks []mark // the oldest first
}

type mark struct {
	total int64
	at    time.Time
}

// See records the number at a time, which does not decrease from call to call.
func (p *Pace) See(total int64, now time.Time) {
	if n := len(p.marks); n > 0 && now.Sub(p.marks[n-1].at) < p.Step {
		return
	}
	p.forget(now)
	p.marks = append(p.marks, mark{total, now})
}

// Restart forgets everything before now.
func (p *Pace) Restart(total int64, now time.Time) { p.marks = append(p.marks[:0], mark{total, now}) }

// Rate returns the growth per second up to the present number; 0 if it fell, or until there is enough to compute it of.
func (p *Pace) Rate(total int64, now time.Time) float64 {
	p.forget(now)
	if len(p.marks) == 0 || now.Sub(p.marks[0].at) < p.Step {
		return 0
	}
	return max(float64(total-p.marks[0].total)/now.Sub(p.marks[0].at).Seconds(), 0)
}

// forget drops the marks that are too old.
func (p *Pace) forget(now time.Time) {
	old := 0
	for old < len(p.marks) && now.Sub(p.marks[old].at) > p.Range {
		old++
	}
	if old > 0 {
		p.marks = append(p.marks[:0], p.marks[old:]...)
	}
}
