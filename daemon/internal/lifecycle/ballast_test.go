package lifecycle

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// BenchmarkCollector measures what the garbage of one request (16 KiB in 128 pieces) costs, collections included, in a daemon that keeps
// little or much alive: the small tables of a gateway, or the index of a storage node of some million chunks.
func BenchmarkCollector(b *testing.B) {
	const mib = 1 << 20
	for _, live := range []int{4, 48, 200} {
		for _, way := range []struct {
			name    string
			ballast int
			percent int
			limit   int64
		}{
			{"plain", 0, 100, math.MaxInt64},
			{"ballast", 32 * mib, 100, math.MaxInt64},
			{"limit", 0, -1, 64 * mib},
			{"percent", 0, 800, math.MaxInt64},
		} {
			b.Run(fmt.Sprintf("live=%dMiB/%s", live, way.name), func(b *testing.B) {
				defer Ballast(way.ballast)()
				defer debug.SetMemoryLimit(debug.SetMemoryLimit(way.limit))
				defer debug.SetGCPercent(debug.SetGCPercent(way.percent))
				alive := make([]*[1024]*byte, live*mib/8192)
				for i := range alive {
					alive[i] = new([1024]*byte)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					kept := make([][]byte, 128)
					for pb.Next() {
						for i := range kept {
							kept[i] = make([]byte, 128)
						}
					}
				})
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.NumGC-before.NumGC)/b.Elapsed().Seconds(), "collections/s")
				runtime.KeepAlive(alive)
			})
		}
	}
}
