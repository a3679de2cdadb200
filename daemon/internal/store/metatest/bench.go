package metatest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BenchFilesVariable names the environment variable that says how many files
// the bucket of the reading and listing benchmarks has; 2000 when it is not set.
const BenchFilesVariable = "RINGSTORE_BENCH_FILES"

// Benchmark measures what the data path waits for. Besides the usual figures
// each reports cpu-µs/op: user and system time of the whole process.
func Benchmark(b *testing.B, fresh Fresh) {
	b.Run("CommitFile16", func(b *testing.B) { benchCommit(b, opened(b, fresh(b)), false) })
	b.Run("Overwrite16", func(b *testing.B) { benchCommit(b, opened(b, fresh(b)), true) })
	b.Run("Read", func(b *testing.B) { benchRead(b, opened(b, fresh(b))) })
	b.Run("ListObjects", func(b *testing.B) { benchList(b, opened(b, fresh(b))) })
	b.Run("SavePart16", func(b *testing.B) { benchSavePart(b, opened(b, fresh(b))) })
	b.Run("CompleteLargest", func(b *testing.B) { benchComplete(b, opened(b, fresh(b))) })
}

// benchCommit has sixteen writers commit small files of three copies each, under new keys or a few old ones.
func benchCommit(b *testing.B, m store.Metadata, overwrite bool) {
	nodes := newNodes(3)
	var count atomic.Int64
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	stop := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := count.Add(1)
			if overwrite {
				n %= 1000
			}
			f := newFile(store.Key(fmt.Sprintf("photos/%03d/image-%08d.jpg", n%997, n)), newPart(1, nodes...))
			f.Meta = nil
			if _, _, err := m.CommitFile(b.Context(), store.Commit{File: f}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	stop()
}

// benchFiles commits as many files of one part as BenchFilesVariable says: ten folders with a tenth of the files each.
func benchFiles(b *testing.B, m store.Metadata) (all []store.File) {
	count := 2000
	if s := os.Getenv(BenchFilesVariable); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(b, err)
		count = n
	}
	began, nodes := time.Now(), newNodes(3)
	for i := range count {
		f := newFile(store.Key(fmt.Sprintf("folder-%d/%04d/file-%07d", i%10, i/1000, i)), newPart(1, nodes...))
		f.Meta = nil
		all = append(all, f)
		if begun := i / 10000 * 10000; i-begun == 9999 || i == count-1 {
			CommitAll(b, m, all[begun:])
		}
	}
	b.Logf("%d files committed in %v", count, time.Since(began).Round(time.Millisecond))
	return all
}

// benchRead reads files in random order.
func benchRead(b *testing.B, m store.Metadata) {
	files := benchFiles(b, m)
	random := rand.New(rand.NewPCG(1, 2))
	b.Run("File", func(b *testing.B) {
		stop := cpu(b)
		for b.Loop() {
			_, err := m.File(b.Context(), files[random.IntN(len(files))].ID)
			require.NoError(b, err)
		}
		stop()
	})
	b.Run("LatestFile", func(b *testing.B) {
		stop := cpu(b)
		for b.Loop() {
			_, err := m.LatestFile(b.Context(), store.DefaultBucket, files[random.IntN(len(files))].Key)
			require.NoError(b, err)
		}
		stop()
	})
}

// benchList lists pages of a bucket.
func benchList(b *testing.B, m store.Metadata) {
	benchFiles(b, m)
	for name, q := range map[string]store.ObjectQuery{
		"TenCommonPrefixes": {Delimiter: "/"},
		"Keys1000":          {Limit: 1000, Prefix: "folder-3/"},
		"OneKeyInTheMiddle": {Limit: 1, After: "folder-5/"},
	} {
		q.Bucket = store.DefaultBucket
		if q.Limit == 0 {
			q.Limit = 100
		}
		b.Run(name, func(b *testing.B) {
			stop := cpu(b)
			for b.Loop() {
				page, err := m.ListObjects(b.Context(), q)
				require.NoError(b, err)
				require.NotEmpty(b, page.Entries)
			}
			stop()
		})
	}
}

// benchSavePart has sixteen writers send parts of one session, as a resumable upload does.
func benchSavePart(b *testing.B, m store.Metadata) {
	s, nodes := session(b, m, "large"), newNodes(8)
	var count atomic.Int64
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	stop := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p := newPart(int(count.Add(1)-1)%store.MaxParts+1, nodes...)
			if err := m.BeginPart(b.Context(), s.ID, p); err != nil {
				b.Error(err)
				return
			}
			if err := m.SavePart(b.Context(), by(s.ID), p, time.Hour); err != nil {
				b.Error(err)
				return
			}
		}
	})
	stop()
}

// benchComplete makes files of as many parts as a file may have; only the completion is timed.
func benchComplete(b *testing.B, m store.Metadata) {
	nodes := newNodes(8)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		s := session(b, m, store.Key(fmt.Sprint("large-", i)))
		parts := make([]store.Part, store.MaxParts)
		for i := range parts {
			parts[i] = newPart(i+1, nodes...)
		}
		saveParts(b, m, s.ID, parts)
		f := fileOf(s, parts...)
		b.StartTimer()
		complete(b, m, f, s.ID)
	}
}

// CommitAll commits the files, 64 at once, for tests and benchmarks that need many.
func CommitAll(tb testing.TB, m store.Metadata, files []store.File) {
	tb.Helper()
	const writers = 64
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := w; i < len(files); i += writers {
				if _, _, err := m.CommitFile(tb.Context(), store.Commit{File: files[i]}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		require.NoError(tb, <-errs)
	}
}

// cpu starts the clock, and returns what stops it and reports the processor time per operation.
func cpu(b *testing.B) (stop func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := used()
	return func() { b.ReportMetric(float64((used()-began).Microseconds())/float64(b.N), "cpu-µs/op") }
}
