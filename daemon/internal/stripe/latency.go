package stripe

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// latency keeps the most recent durations of one kind of call and their 95th percentile. Safe for concurrent use.
type latency struct {
	mu     sync.Mutex // guards recent and count
	recent [256]time.Duration
	count  int
	cached atomic.Int64 // the 95th percentile in nanoseconds; 0: not known yet
}

func (l *latency) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent[l.count%len(l.recent)] = d
	l.count++
	if l.count%64 == 0 {
		sorted := slices.Clone(l.recent[:min(l.count, len(l.recent))])
		slices.Sort(sorted)
		l.cached.Store(int64(sorted[len(sorted)*95/100]))
	}
}

// p95 is the 95th percentile of the recent durations; 0 before 64 of them are known.
func (l *latency) p95() time.Duration { return time.Duration(l.cached.Load()) }

// hedge is how long to wait for a unit before it counts as slow: well over
// the 95th percentile, and at least floor.
func (l *latency) hedge(floor time.Duration) time.Duration { return max(floor, 4*l.p95()) }
