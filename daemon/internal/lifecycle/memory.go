package lifecycle

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The conditions for returning memory.
const (
	returnEvery = 15 * time.Second
	quietBelow  = 4 << 20  // bytes allocated in that time by an idle daemon, at most: one with six nodes in its process allocates 0.6 MB
	worthAbove  = 16 << 20 // bytes that can be returned
)

// ReturnMemory is a service that returns memory to the system when the daemon has become
// idle. By itself the runtime collects an idle process once in two minutes and returns pages
// slowly, so that a daemon would stay as large as in its busiest minute. It does nothing while
// the daemon is busy, or when there is little to return.
func ReturnMemory() Service {
	return Service{Name: "memory", Run: func(ctx context.Context) error {
		tick := time.NewTicker(returnEvery)
		defer tick.Stop()
		var last memory
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			now := readMemory()
			if now.worthReturning(last) {
				debug.FreeOSMemory()
				now = readMemory()
			}
			last = now
		}
	}}
}

// memory is the runtime's memory statistics, in bytes.
type memory struct {
	allocated uint64 // since the start
	live      uint64 // found by the last collection
	objects   uint64 // live, or garbage not collected yet
	idle      uint64 // obtained from the system and not in use
}

// worthReturning reports whether little was allocated since last, and much can be returned.
func (m memory) worthReturning(last memory) bool {
	return m.allocated-last.allocated < quietBelow && m.idle+m.objects-min(m.objects, m.live) > worthAbove
}

func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	return memory{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()}
}
