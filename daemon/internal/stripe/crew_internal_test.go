package stripe

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// goroutines is how many goroutines of crews there are.
func goroutines() int {
	all := make([]byte, 1<<20)
	return strings.Count(string(all[:runtime.Stack(all, true)]), ".(*crew).serve(")
}

// Each function is executed once, also one that others wait for, and Wait leaves no goroutine behind.
func TestCrew(t *testing.T) { //nolint:paralleltest // it counts goroutines
	var c crew
	for round := range 3 {
		const callers, each = 8, 100
		var executed atomic.Int64
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range each {
					c.Go(func() { executed.Add(1) })
				}
			})
		}
		all.Wait()
		c.Wait()
		require.EqualValues(t, callers*each, executed.Load(), round)
		require.Eventually(t, func() bool { return goroutines() == 0 }, time.Minute, time.Millisecond)
	}
}

// A function waits for no other: those that block have goroutines of their own, and no more than are worth it are kept.
func TestCrewBlocked(t *testing.T) { //nolint:paralleltest // it counts goroutines
	var c crew
	release, blocked := make(chan struct{}), sync.WaitGroup{}
	for range 3 * keptIdle {
		blocked.Add(1)
		c.Go(func() { blocked.Done(); <-release })
	}
	blocked.Wait() // all of them run at the same time
	close(release)
	require.Eventually(t, func() bool { return goroutines() == keptIdle }, time.Minute, time.Millisecond)
	c.Wait()
	require.Eventually(t, func() bool { return goroutines() == 0 }, time.Minute, time.Millisecond)
}
