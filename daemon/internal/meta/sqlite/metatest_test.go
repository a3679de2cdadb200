package sqlite_test

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/metatest"
)

func TestMetadata(t *testing.T) { metatest.Run(t, fresh) }

func BenchmarkMetadata(b *testing.B) { metatest.Benchmark(b, fresh) }

func fresh(tb testing.TB) metatest.Open {
	dir := tb.TempDir()
	return func(tb testing.TB) store.Metadata { return open(tb, dir) }
}
