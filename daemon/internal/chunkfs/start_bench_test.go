package chunkfs

import (
	"testing"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BenchmarkStart reports how long a start takes, for a million packed chunks of
// 4 KiB: after a kill, when the open segment is scanned, and with all sealed.
func BenchmarkStart(b *testing.B) {
	const chunks, size = 50_000, 4 << 10
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
		began := time.Now()
		s = start()
		b.ReportMetric(time.Since(began).Seconds()*1e6/chunks, "s/M-"+what)
		end = s.Close
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
