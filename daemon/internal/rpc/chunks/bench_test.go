package chunks_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// wireStreams is how many chunks are transferred at once.
const wireStreams = 6

// void is a chunk.Store that discards writes and can serve every chunk, so that a benchmark
// measures only the protocol.
type void struct {
	chunk.Store
	data  []byte // of one unit
	units int    // in each chunk
}

type voidWriter struct{}

func (void) Create(context.Context, chunk.Spec) (chunk.Writer, error) {
	return voidWriter{}, nil
}
func (voidWriter) Append(u chunk.Unit) error { u.Release(); return nil }
func (voidWriter) Commit(l chunk.Label) (chunk.Info, error) {
	return chunk.Info{ID: store.ChunkID{}, Label: l}, nil
}
func (voidWriter) Abort() {}

func (v void) Open(context.Context, store.ChunkID, int, int) (chunk.Reader, error) {
	return &voidReader{unit: chunk.Unit{Data: v.data, CRC: chunk.CRC32C(v.data), Owner: nobody{}}, left: v.units}, nil
}

type voidReader struct {
	unit chunk.Unit
	left int
}

func (r *voidReader) Next() (chunk.Unit, error) {
	if r.left == 0 {
		return chunk.Unit{}, io.EOF
	}
	r.left--
	return r.unit, nil
}
func (*voidReader) Close() error { return nil }

type nobody struct{}

func (nobody) Release() {}
func (nobody) Abandon() {}

// BenchmarkWire moves bytes between a client and a server over loopback, both
// in this process, six streams at once: MB/s, and CPU-seconds per GB of both
// ends together. For comparison the same bytes are sent as generated messages of 64 KiB with
// gRPC's standard codec and settings.
func BenchmarkWire(b *testing.B) {
	data := make([]byte, chunk.DefaultUnitSize)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for _, connections := range []int{1, 2} {
		name := map[int]string{1: "/connections=1", 2: "/connections=2"}[connections]
		b.Run("put/reference"+name, func(b *testing.B) { benchPut(b, data, connections) })
		b.Run("get/reference"+name, func(b *testing.B) { benchGet(b, data, connections) })
	}
	b.Run("put/stock64KiB", func(b *testing.B) { benchStockPut(b, data[:64<<10]) })
	b.Run("get/stock64KiB", func(b *testing.B) { benchStockGet(b, data[:64<<10]) })
	b.Run("getsmall/4KiB", func(b *testing.B) { benchGetSmall(b, data[:4<<10]) })
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(map[int]string{4 << 10: "putsmall/4KiB", 64 << 10: "putsmall/64KiB"}[size],
			func(b *testing.B) { benchPutSmall(b, data[:size]) })
	}
}

func wireClient(b *testing.B, v void, connections int) *chunks.Client {
	l := rpctest.Listen(b)
	rpctest.Serve(b, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: v,
	}), l)
	return dial(b, l.Addr().String(), chunks.DialConfig{JoinToken: joinToken, Connections: connections})
}

// metered runs six workers at once, each for its share of b.N units, and reports their CPU time.
func metered(b *testing.B, size int, worker func(units int) error) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var wg sync.WaitGroup
	var failed atomic.Value
	before := cpuTime(b)
	b.ResetTimer()
	for i := range wireStreams {
		share := b.N / wireStreams
		if i < b.N%wireStreams {
			share++
		}
		if share == 0 {
			continue
		}
		wg.Go(func() {
			if err := worker(share); err != nil {
				failed.Store(err)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	require.Nil(b, failed.Load())
	cpu := (cpuTime(b) - before).Seconds()
	b.ReportMetric(cpu/(float64(b.N)*float64(size)/1e9), "cpu-s/GB")
	b.ReportMetric(cpu*1e6/float64(b.N), "cpu-µs/op")
}

func cpuTime(b testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchID() store.ChunkID { return store.ChunkID{Part: store.NewPartID()} }

func benchPut(b *testing.B, data []byte, connections int) {
	c := wireClient(b, void{}, connections)
	u := chunk.NewUnit(data, nobody{})
	metered(b, len(data), func(units int) error {
		w, err := c.Create(context.Background(), chunk.Spec{ID: benchID(), UnitSize: len(data)})
		if err != nil {
			return err
		}
		defer w.Abort()
		for range units {
			if err := w.Append(u); err != nil {
				return err
			}
		}
		_, err = w.Commit(chunk.Label{})
		return err
	})
}

func benchGet(b *testing.B, data []byte, connections int) {
	c := wireClient(b, void{data: data, units: b.N}, connections)
	metered(b, len(data), func(units int) error {
		r, err := c.Open(context.Background(), benchID(), 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		for range units {
			u, err := r.Next()
			if err != nil {
				return err
			}
			u.Release()
		}
		return nil
	})
}

func benchPutSmall(b *testing.B, data []byte) {
	c := wireClient(b, void{}, 0)
	u := chunk.NewUnit(data, nobody{})
	metered(b, len(data), func(units int) error {
		for range units {
			_, err := c.PutSmall(context.Background(), chunk.Spec{ID: benchID(), UnitSize: chunk.DefaultUnitSize}, u, chunk.Label{Bucket: "photos", Key: "a/key"})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func benchGetSmall(b *testing.B, data []byte) {
	c := wireClient(b, void{data: data, units: 1}, 0)
	metered(b, len(data), func(units int) error {
		for range units {
			r, err := c.Open(context.Background(), benchID(), 0, -1)
			if err != nil {
				return err
			}
			u, err := r.Next()
			if err != nil {
				return err
			}
			u.Release()
			if _, err := r.Next(); !errors.Is(err, io.EOF) {
				return errors.New("more than one unit")
			}
			if err := r.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// stock is a server with generated code only.
type stock struct {
	storagev1.UnimplementedStorageServiceServer
	data []byte
}

func (s stock) PutChunk(in grpc.ClientStreamingServer[storagev1.PutChunkRequest, storagev1.PutChunkResponse]) error {
	for {
		if _, err := in.Recv(); errors.Is(err, io.EOF) {
			return in.SendAndClose(&storagev1.PutChunkResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (s stock) GetChunk(r *storagev1.GetChunkRequest, out grpc.ServerStreamingServer[storagev1.GetChunkResponse]) error {
	for range r.GetUnitCount() {
		if err := out.Send(&storagev1.GetChunkResponse{Data: s.data}); err != nil {
			return err
		}
	}
	return nil
}

func stockClient(b *testing.B, s stock) storagev1.StorageServiceClient {
	l := rpctest.Listen(b)
	g := grpc.NewServer()
	storagev1.RegisterStorageServiceServer(g, s)
	go func() { _ = g.Serve(l) }()
	b.Cleanup(g.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, conn.Close()) })
	return storagev1.NewStorageServiceClient(conn)
}

func benchStockPut(b *testing.B, data []byte) {
	c := stockClient(b, stock{})
	metered(b, len(data), func(units int) error {
		s, err := c.PutChunk(context.Background())
		if err != nil {
			return err
		}
		for range units {
			if err := s.Send(&storagev1.PutChunkRequest{Data: data}); err != nil {
				return err
			}
		}
		_, err = s.CloseAndRecv()
		return err
	})
}

func benchStockGet(b *testing.B, data []byte) {
	c := stockClient(b, stock{data: data})
	metered(b, len(data), func(units int) error {
		n := int64(units)
		s, err := c.GetChunk(context.Background(), &storagev1.GetChunkRequest{UnitCount: &n})
		if err != nil {
			return err
		}
		for range units {
			if _, err := s.Recv(); err != nil {
				return err
			}
		}
		return nil
	})
}
