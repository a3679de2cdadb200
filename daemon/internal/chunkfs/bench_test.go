package chunkfs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

func BenchmarkChunks(b *testing.B) {
	chunktest.Benchmark(b, func(b testing.TB) chunk.Store { return open(b, chunkfs.Config{Dir: b.TempDir()}) })
}

// cpuTime is the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// runWriters runs step b.N times, by the given number of writers on each of six stores, and
// reports steps per second and CPU time per step.
func runWriters(b *testing.B, writers int, step func(place, writer int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	began, cpu := time.Now(), cpuTime()
	for p := range 6 {
		for w := range writers {
			wg.Go(func() {
				for next.Add(1) <= int64(b.N) {
					if err := step(p, w); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "steps/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/step")
}

// BenchmarkSixSmall is 4 KiB puts on six stores of one disk by 48 writers, beside
// six plain files: the same bytes per sync, each written and synced by one loop, at the end
// of the file and over existing blocks.
func BenchmarkSixSmall(b *testing.B) {
	const size = 4 << 10
	b.Run("stores", func(b *testing.B) {
		var stores [6]*chunkfs.Store
		for i := range stores {
			stores[i] = open(b, chunkfs.Config{Dir: b.TempDir()})
		}
		u, label := chunk.NewUnit(chunktest.Bytes(1, size), nil), chunktest.SampleLabel()
		runWriters(b, 8, func(p, _ int) error {
			spec := chunk.Spec{ID: chunktest.NewID(), UnitSize: chunk.DefaultUnitSize, SizeHint: size}
			_, err := stores[p].PutSmall(context.Background(), spec, u, label)
			return err
		})
	})
	for _, perSync := range []int{1, 8} {
		b.Run(fmt.Sprintf("bare files, %d a sync", perSync), func(b *testing.B) {
			files, ends := bareFiles(b)
			data := chunktest.Bytes(1, (size+300)*perSync)
			runWriters(b, 1, func(p, _ int) error {
				ends[p] += int64(len(data))
				if _, err := files[p].WriteAt(data, ends[p]-int64(len(data))); err != nil {
					return err
				}
				return files[p].Datasync()
			})
		})
	}
}

func bareFiles(b *testing.B) (files [6]vfs.File, ends [6]int64) {
	fsys, err := vfs.OpenOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = fsys.Close() })
	for i := range files {
		f, err := fsys.Create(fmt.Sprint("f", i))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		files[i] = f
	}
	return files, ends
}

// BenchmarkSixLarge is six parallel writers of 64 MiB chunks, each to its own store on one
// disk, beside six plain streams that write and sync the same.
func BenchmarkSixLarge(b *testing.B) {
	const size = 64 << 20
	data := chunktest.Bytes(1, chunk.DefaultUnitSize)
	b.Run("stores", func(b *testing.B) {
		var stores [6]*chunkfs.Store
		for i := range stores {
			stores[i] = open(b, chunkfs.Config{Dir: b.TempDir()})
		}
		u, label := chunk.NewUnit(data, nil), chunktest.SampleLabel()
		b.SetBytes(size)
		runWriters(b, 1, func(p, _ int) error {
			id := chunktest.NewID()
			w, err := stores[p].Create(context.Background(), chunk.Spec{ID: id, UnitSize: len(data), SizeHint: size})
			if err != nil {
				return err
			}
			defer w.Abort()
			for range size / len(data) {
				if err := w.Append(u); err != nil {
					return err
				}
			}
			if _, err := w.Commit(label); err != nil {
				return err
			}
			return stores[p].Delete(context.Background(), id) // so that a long run fills no disk
		})
	})
	b.Run("bare streams", func(b *testing.B) {
		dir := b.TempDir()
		b.SetBytes(size)
		runWriters(b, 1, func(p, _ int) error {
			name := filepath.Join(dir, fmt.Sprint(p))
			f, err := os.Create(name)
			if err != nil {
				return err
			}
			defer f.Close()
			for range size / len(data) {
				if _, err := f.Write(data); err != nil {
					return err
				}
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
			return os.Remove(name)
		})
	})
}
