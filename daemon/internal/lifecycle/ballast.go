package lifecycle

import "runtime"

// Ballast keeps the garbage collector from running for the sake of a few
// megabytes. The daemons keep little alive, because their buffers are pooled and bounded, so
// that the collector, which waits until the heap has doubled, would run many times a second.
// Ballast adds size bytes to what counts as alive, and nothing to the memory
// in use: its pages are never touched. It lasts until the function that it returns is called.
//
// A higher GOGC would do the same for an idle daemon, but let one that holds a
// hundred megabytes take several hundred; a memory limit instead of it makes a daemon that holds about as much
// collect all the time. ADR 130 has the figures.
func Ballast(size int) (release func()) {
	weight := make([]byte, size)
	return func() { runtime.KeepAlive(weight) }
}
