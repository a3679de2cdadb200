package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func open(tb testing.TB, dir string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "metadata.db"), sqlite.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func smallFile(key string) store.File {
	nodes := make([]store.Placement, 3)
	for i := range nodes {
		nodes[i] = store.Placement{Node: store.NewNodeID(), Sum: 7}
	}
	id := store.NewFileID()
	return store.File{
		ID: id, Bucket: store.DefaultBucket, Key: store.Key(key), Size: 4096, ContentType: "application/octet-stream", ETag: id.String(),
		Parts: []store.Part{{ID: store.NewPartID(), Number: 1, Size: 4096, K: 1, M: 2, UnitSize: store.DefaultUnitSize, Chunks: nodes}},
	}
}

func BenchmarkCommitSmallFile(b *testing.B) {
	for _, lanes := range []int{1, 16} {
		b.Run(fmt.Sprint(lanes), func(b *testing.B) {
			s := open(b, b.TempDir())
			var n atomic.Int64
			b.SetParallelism(lanes / 2) // times GOMAXPROCS
			if lanes == 1 {
				for b.Loop() {
					_, _, err := s.CommitFile(context.Background(), smallFile(fmt.Sprint(n.Add(1))), false)
					require.NoError(b, err)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _, err := s.CommitFile(context.Background(), smallFile(fmt.Sprint(n.Add(1))), false)
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkFile(b *testing.B) {
	s := open(b, b.TempDir())
	f := smallFile("key")
	_, _, err := s.CommitFile(context.Background(), f, false)
	require.NoError(b, err)
	for b.Loop() {
		_, err := s.File(context.Background(), f.ID)
		require.NoError(b, err)
	}
}

// BenchmarkListTenPrefixes lists ten common prefixes that hide
// RINGSTORE_BENCH_FILES files (10,000 where it is not set).
func BenchmarkListTenPrefixes(b *testing.B) {
	count := 10_000
	if v, err := strconv.Atoi(os.Getenv("RINGSTORE_BENCH_FILES")); err == nil {
		count = v
	}
	s := open(b, b.TempDir())
	fill(b, s, count)
	for b.Loop() {
		page, err := s.ListObjects(context.Background(), store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: "/", Limit: 1000})
		require.NoError(b, err)
		require.Len(b, page.Entries, 10)
	}
	b.ReportMetric(float64(count), "files")
}

func fill(tb testing.TB, s *sqlite.Store, count int) {
	errs := make(chan error, 64)
	for lane := range 64 {
		go func() {
			for i := lane; i < count; i += 64 {
				if _, _, err := s.CommitFile(context.Background(), smallFile(fmt.Sprintf("dir-%d/file-%08d", i%10, i)), false); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 64 {
		require.NoError(tb, <-errs)
	}
}
