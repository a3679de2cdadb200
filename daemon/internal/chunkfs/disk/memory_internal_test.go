package disk

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsShortWhenLittleIsFree(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"MemTotal:       24683656 kB\nMemFree:        17819008 kB\n": false,
		"MemTotal:       24683656 kB\nMemFree:         1048575 kB\n": true,
		"MemTotal:       24683656 kB\nMemFree:         1048577 kB\n": false,
		"MemTotal:        1000000 kB\nMemFree:          900000 kB\n": false,
		"MemTotal:        1000000 kB\nMemFree:           62000 kB\n": true,
		"MemTotal:        1000000 kB\nMemFree:           63000 kB\n": false,
		"MemTotal:        1000000 kB\nMemFree:             few kB\n": false,
		"MemFree:               0 kB\n":                              false,
		"MemTotal:        1000000 kB\n":                              false,
		"":                                                           false,
	} {
		require.Equal(t, want, isShort([]byte(text)), text)
	}
	var m Memory
	now := time.Now()
	first := m.Short(now)
	m.short.Store(!first)
	require.Equal(t, !first, m.Short(now.Add(memoryAge)), "the answer is kept for a while")
	m.Short(now.Add(2 * memoryAge))
	require.Equal(t, now.Add(2*memoryAge).UnixNano(), m.readAt.Load())
}
