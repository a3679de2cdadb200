package engine_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// BenchmarkPut and BenchmarkGet measure what the engine itself costs: the nodes keep no bytes, and all
// chunks read as zeros. cpu-ms/GB is processor time of the whole process, which a busy machine changes less than ns/op.
func BenchmarkPut(b *testing.B) {
	for _, c := range []struct {
		name string
		size int64
	}{{"64KiB", 64 << 10}, {"64MiB", 64 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			e := benchEngine(b)
			measure(b, c.size, func() error {
				_, err := e.Put(context.Background(), engine.PutRequest{
					Bucket: store.DefaultBucket, Key: "key", Size: c.size, Body: io.LimitReader(zeros{}, c.size),
				})
				return err
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, c := range []struct {
		name string
		size int64
		away int // nodes that are off
	}{{"64KiB", 64 << 10, 0}, {"64MiB", 64 << 20, 0}, {"64MiB, 2 nodes off", 64 << 20, 2}} {
		b.Run(c.name, func(b *testing.B) {
			e := benchEngine(b)
			f, err := e.Put(context.Background(), engine.PutRequest{
				Bucket: store.DefaultBucket, Key: "key", Size: c.size, Body: io.LimitReader(zeros{}, c.size),
			})
			if err != nil {
				b.Fatal(err)
			}
			for i := range c.away {
				e.nodes.chunks[f.Parts[0].Chunks[i].Node] = nil
			}
			measure(b, c.size, func() error {
				o, err := e.Open(context.Background(), f.ID)
				if err != nil {
					return err
				}
				return o.WriteRange(context.Background(), io.Discard, 0, c.size)
			})
		})
	}
}

func measure(b *testing.B, size int64, f func() error) {
	b.Helper()
	b.SetBytes(size)
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	spent := cpuTime(b) - before
	b.ReportMetric(float64(spent)/1e3*float64(1<<30)/float64(size)/float64(b.N), "cpu-ms/GB")
}

// cpuTime is the processor time of this process in microseconds.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return (u.Utime.Sec+u.Stime.Sec)*1e6 + u.Utime.Usec + u.Stime.Usec
}

type benchRig struct {
	*engine.Engine
	nodes *benchNodes
}

func benchEngine(b *testing.B) *benchRig {
	b.Helper()
	n := &benchNodes{nodes: newNodes(options{nodes: 6}), chunks: map[store.NodeID]chunk.Store{}}
	for id := range n.all() {
		n.chunks[id] = &hollow{}
	}
	meta := &benchMeta{Metadata: mem.NewMetadata()}
	e := engine.New(engine.Config{Meta: meta, Fleet: n, Survive: 2, Log: slog.New(slog.DiscardHandler)})
	b.Cleanup(func() {
		e.Close()
		_ = meta.Close()
	})
	return &benchRig{Engine: e, nodes: n}
}

// benchMeta keeps the last file only, so that the cost of a commit does not grow with the number of puts.
type benchMeta struct {
	*mem.Metadata
	last store.File
}

func (m *benchMeta) CommitFile(_ context.Context, c store.Commit) (stored store.File, replaced store.FileID, err error) {
	f := c.File
	f.State = store.Complete
	m.last = f
	return f, store.FileID{}, nil
}

func (m *benchMeta) File(context.Context, store.FileID) (store.File, error) { return m.last, nil }

func (m *benchMeta) Part(context.Context, store.PartID) (store.Part, store.File, error) {
	return m.last.Parts[0], m.last, nil
}

// benchNodes is a fleet of nodes that keep no bytes. A node without chunks cannot be reached.
type benchNodes struct {
	*nodes
	chunks map[store.NodeID]chunk.Store
}

func (n *benchNodes) Chunks(id store.NodeID) (chunk.Store, error) {
	if c := n.chunks[id]; c != nil {
		return c, nil
	}
	return nil, store.Errorf(store.Unavailable, "the node is off")
}

func (n *benchNodes) Report(store.NodeID, error) {}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// hollow is a chunk store that keeps the sizes of its chunks, and reads them as zeros.
type hollow struct {
	chunk.Store
	sizes sync.Map // store.ChunkID -> int64, bytes
}

func (h *hollow) Create(_ context.Context, spec chunk.Spec) (chunk.Writer, error) {
	return &hollowWriter{h: h, info: chunk.Info{ID: spec.ID}}, nil
}

type hollowWriter struct {
	h    *hollow
	info chunk.Info
}

func (w *hollowWriter) Append(u chunk.Unit) error {
	w.info.Size += int64(len(u.Data))
	w.info.Sum = w.info.Sum.Add(u.CRC)
	u.Release()
	return nil
}

func (w *hollowWriter) Commit(chunk.Label) (chunk.Info, error) {
	w.h.sizes.Store(w.info.ID, w.info.Size)
	return w.info, nil
}

func (w *hollowWriter) Abort() {}

func (h *hollow) Open(_ context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	size, _ := h.sizes.Load(id)
	return &hollowReader{units: count, bytes: size.(int64) - int64(first)*chunk.DefaultUnitSize}, nil
}

type hollowReader struct {
	units int
	bytes int64 // to the end of the chunk
}

var zeroUnit = chunk.NewUnit(make([]byte, chunk.DefaultUnitSize), nil)

func (r *hollowReader) Next() (chunk.Unit, error) {
	n := min(r.bytes, chunk.DefaultUnitSize)
	if r.units == 0 || n <= 0 {
		return chunk.Unit{}, io.EOF
	}
	r.units--
	r.bytes -= n
	if n == chunk.DefaultUnitSize {
		return zeroUnit, nil
	}
	return chunk.NewUnit(zeroUnit.Data[:n], nil), nil
}

func (r *hollowReader) Close() error { return nil }
