package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// durable opens a store on a PostgreSQL that syncs as in production.
func durable(b *testing.B) (*postgres.Store, string) {
	b.Helper()
	dsn := pgtest.Private(b, pgserver.Options{Durable: true}).DSN("postgres")
	return open(b, dsn, postgres.Options{}), dsn
}

// smallFile is a file of one part in three copies, as the engine stores small bodies.
func smallFile(key store.Key) store.File {
	part := store.Part{ID: store.NewPartID(), Number: 1, Size: 4096, K: 1, M: 2, UnitSize: 256 << 10, CRC64: 1}
	for i := range 3 {
		part.Chunks = append(part.Chunks, store.Placement{Node: store.NewNodeID(), Sum: store.ChunkSum(i)})
	}
	return store.File{
		ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, Size: 4096, ContentType: "application/octet-stream",
		CreatedAt: time.Now(), CRC64: 1, ETag: "0123456789abcdef", Parts: []store.Part{part},
	}
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parallel runs f b.N times from that many goroutines, and reports operations a second and CPU of the client.
func parallel(b *testing.B, callers int, f func(n int64) error) {
	b.Helper()
	var n atomic.Int64
	var all sync.WaitGroup
	before := cpuTime()
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "client-µs/op")
}

func BenchmarkCommitFile(b *testing.B) {
	for _, callers := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, _ := durable(b)
			parallel(b, callers, func(n int64) error {
				_, _, err := s.CommitFile(context.Background(), store.Commit{File: smallFile(store.Key(fmt.Sprintf("dir/%08d", n)))})
				return err
			})
		})
	}
}

func BenchmarkCommitFileReplacing(b *testing.B) {
	s, _ := durable(b)
	parallel(b, 16, func(n int64) error {
		_, _, err := s.CommitFile(context.Background(), store.Commit{File: smallFile(store.Key(fmt.Sprintf("dir/%08d", n%1000)))})
		return err
	})
}

func BenchmarkFile(b *testing.B) {
	s, _ := durable(b)
	files := make([]store.File, 1000)
	for i := range files {
		files[i] = smallFile(store.Key(strconv.Itoa(i)))
		_, _, err := s.CommitFile(b.Context(), store.Commit{File: files[i]})
		require.NoError(b, err)
	}
	parallel(b, 16, func(n int64) error {
		_, err := s.File(context.Background(), files[n%1000].ID)
		return err
	})
}

// benchFiles is how many files the listing benchmarks load.
func benchFiles() int {
	if n, err := strconv.Atoi(os.Getenv("RINGSTORE_BENCH_FILES")); err == nil {
		return n
	}
	return 20_000
}

// load fills the default bucket with n files under ten top folders of ten folders each.
func load(tb testing.TB, dsn string, n int) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	require.NoError(tb, err)
	defer conn.Close(context.WithoutCancel(tb.Context()))
	now := time.Now()
	columns := []string{"id", "bucket_id", "key", "size", "content_type", "state", "latest", "delete_marker", "created_at", "completed_at", "crc64", "etag"}
	_, err = conn.CopyFrom(tb.Context(), pgx.Identifier{"files"}, columns, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		key := fmt.Sprintf("top-%d/mid-%d/file-%08d", i%10, i/10%10, i)
		return []any{[16]byte(store.NewFileID()), int64(1), []byte(key), int64(1), "text/plain", int16(2), true, false, now, now, int64(1), "etag"}, nil
	}))
	require.NoError(tb, err)
	_, err = conn.Exec(tb.Context(), "ANALYZE files")
	require.NoError(tb, err)
}

func BenchmarkListObjects(b *testing.B) {
	s, dsn := durable(b)
	load(b, dsn, benchFiles())
	for name, q := range map[string]store.ObjectQuery{
		"ten-prefixes":   {Delimiter: "/", Limit: 1000},
		"thousand-keys":  {Limit: 1000},
		"keys-and-delim": {Delimiter: "/", Prefix: "top-3/mid-7/", Limit: 1000},
		"deep-delim":     {Delimiter: "-0000", Limit: 1000},
	} {
		q.Bucket = store.DefaultBucket
		b.Run(name, func(b *testing.B) {
			parallel(b, 1, func(int64) error {
				_, err := s.ListObjects(context.Background(), q)
				return err
			})
		})
	}
}

// What a pooler in transaction mode costs: the same calls directly and through one.
func BenchmarkPooler(b *testing.B) {
	server := pgtest.Private(b, pgserver.Options{Durable: true})
	pooler, err := server.NewPooler(b.Context(), pgserver.PoolerOptions{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, pooler.Close()) })
	for name, dsn := range map[string]string{"direct": server.DSN("postgres"), "pooler": pooler.DSN("postgres")} {
		s := open(b, dsn, postgres.Options{})
		f := smallFile("read")
		_, _, err := s.CommitFile(b.Context(), store.Commit{File: f})
		require.NoError(b, err)
		for call, run := range map[string]func(n int64) error{
			"CommitFile": func(n int64) error {
				_, _, err := s.CommitFile(context.Background(), store.Commit{File: smallFile(store.Key(fmt.Sprintf("dir/%08d", n)))})
				return err
			},
			"File": func(int64) error {
				_, err := s.File(context.Background(), f.ID)
				return err
			},
			"ListObjects": func(int64) error {
				_, err := s.ListObjects(context.Background(), store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: "/", Limit: 100})
				return err
			},
		} {
			b.Run(call+"/"+name, func(b *testing.B) { parallel(b, 16, run) })
		}
	}
}
