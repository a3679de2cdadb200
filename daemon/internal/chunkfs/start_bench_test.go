package chunkfs

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// benchChunks is how many chunks BenchmarkStart writes. A segment holds 150,000 of them.
func benchChunks() int {
	if n, err := strconv.Atoi(os.Getenv("RINGSTORE_BENCH_CHUNKS")); err == nil {
		return n
	}
	return 50_000
}

// BenchmarkStart reports how long a start takes for a million packed chunks of 1 KiB, and how much memory for one: after a kill,
// when the open segment is scanned, and with all sealed.
func BenchmarkStart(b *testing.B) {
	const size = 1 << 10
	chunks := benchChunks()
	cfg := Config{Dir: b.TempDir(), NoBackground: true}
	start := func() *Store {
		s, err := Open(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := start()
	data := [][]byte{make([]byte, size)}
	crcs := []uint32{chunk.CRC32C(data[0])}
	for range chunks / 1000 {
		var recs []*format.Record
		for range 1000 {
			info := chunk.Info{ID: store.ChunkID{Part: store.NewPartID()}, UnitSize: chunk.DefaultUnitSize, Size: size, Sum: format.SumOf(crcs), Label: chunk.Label{Bucket: "bucket", Key: "some/key/of/usual/length.jpg"}}
			recs = append(recs, &format.Record{Kind: format.KindChunk, Content: format.Content{Info: info, CRCs: crcs}, Data: data})
		}
		if err := s.log.Append(recs...); err != nil {
			b.Fatal(err)
		}
	}
	s.stop()
	s.background.Wait()
	end := s.free // not sealed: as after a kill
	for _, what := range []string{"scanned", "sealed"} {
		if err := end(); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		began, peak := time.Now(), peakHeap()
		s = start()
		b.ReportMetric(time.Since(began).Seconds()*1e6/float64(chunks), "s/M-"+what)
		b.ReportMetric(float64(peak())/float64(chunks), "B/chunk-"+what)
		end = s.Close
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// peakHeap watches the heap until the function that it returns is called, which returns by how many bytes it grew at most.
func peakHeap() (grown func() uint64) {
	read := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before, stop, peak := read(), make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for most := before; ; {
			select {
			case <-tick.C:
				most = max(most, read())
			case <-stop:
				peak <- most - before
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-peak
	}
}
