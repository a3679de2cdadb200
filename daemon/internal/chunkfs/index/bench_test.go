package index

import (
	"runtime"
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BenchmarkIndexMemory reports the bytes of memory that a packed chunk costs.
func BenchmarkIndexMemory(b *testing.B) {
	const chunks = 1_000_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := New()
		for i := range uint32(chunks) {
			x.Put(store.ChunkID{Part: store.NewPartID()}, Entry{Seg: 1, Off: i})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/chunks, "B/chunk")
		if x.Len() != chunks {
			b.Fatal("ids met")
		}
	}
}
