package chunktest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// Benchmark measures small chunks by many concurrent writers, large chunks, and reading, in
// ns/op and MB/s.
func Benchmark(b *testing.B, open Open) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("PutSmall4KiB/writers=%d", writers), func(b *testing.B) { benchPutSmall(b, open(b), writers) })
	}
	b.Run("Write64MiB", func(b *testing.B) { benchWrite(b, open(b), 64<<20) })
	b.Run("Read64MiB", func(b *testing.B) { benchRead(b, open(b), 64<<20) })
	b.Run("Read4KiB", func(b *testing.B) { benchRead(b, open(b), 4<<10) })
}

func benchPutSmall(b *testing.B, c chunk.Store, writers int) {
	u, label := chunk.NewUnit(Bytes(1, 4<<10), nil), SampleLabel()
	var next atomic.Int64
	b.SetBytes(4 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	for _, err := range together(writers, func(int) error {
		for next.Add(1) <= int64(b.N) {
			spec := chunk.Spec{ID: NewID(), UnitSize: chunk.DefaultUnitSize, SizeHint: 4 << 10}
			if _, err := chunk.PutSmall(context.Background(), c, spec, u, label); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchWrite(b *testing.B, c chunk.Store, size int) {
	units := cut(Bytes(1, size), chunk.DefaultUnitSize)
	label := SampleLabel()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		id := NewID()
		spec := chunk.Spec{ID: id, UnitSize: chunk.DefaultUnitSize, SizeHint: int64(size)}
		if _, err := write(context.Background(), c, spec, units, label); err != nil {
			b.Fatal(err)
		}
		b.StopTimer() // delete it, so that a long run fills no disk
		if err := c.Delete(context.Background(), id); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func benchRead(b *testing.B, c chunk.Store, size int) {
	id := NewID()
	spec := chunk.Spec{ID: id, UnitSize: chunk.DefaultUnitSize, SizeHint: int64(size)}
	if _, err := write(context.Background(), c, spec, cut(Bytes(1, size), chunk.DefaultUnitSize), SampleLabel()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		r, err := c.Open(context.Background(), id, 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < size; {
			u, err := r.Next()
			if err != nil {
				b.Fatal(err)
			}
			n += len(u.Data)
			u.Release()
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
