package disk

import (
	"bytes"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// shortMemory is how many bytes of the machine's memory are free when the page cache has nearly all of the rest, or a
	// sixteenth of the memory where that is less.
	shortMemory = 1 << 30
	// memoryAge is how long an answer is used.
	memoryAge = 250 * time.Millisecond
)

// Memory tells whether the page cache has used up the machine's memory, so that each page that is written needs the place of another. The
// zero value is ready. Safe for concurrent use.
type Memory struct {
	readAt atomic.Int64 // Unix nanoseconds
	short  atomic.Bool
}

// Short reports whether memory is short. Where that cannot be told it is not.
func (m *Memory) Short(now time.Time) bool {
	last := m.readAt.Load()
	if age := now.UnixNano() - last; (age < 0 || age > int64(memoryAge)) && m.readAt.CompareAndSwap(last, now.UnixNano()) {
		text, err := os.ReadFile("/proc/meminfo")
		m.short.Store(err == nil && isShort(text))
	}
	return m.short.Load()
}

// isShort reads the text of /proc/meminfo (proc(5)).
func isShort(text []byte) bool {
	free, known := bytesOf(text, "MemFree:")
	total, _ := bytesOf(text, "MemTotal:")
	return known && free < min(shortMemory, total/16)
}

// bytesOf returns the number of bytes in a line that gives it in kB.
func bytesOf(text []byte, name string) (int64, bool) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != name {
			continue
		}
		kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
		return kib << 10, err == nil
	}
	return 0, false
}
