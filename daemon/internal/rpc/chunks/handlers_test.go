package chunks_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// The handlers over a real disk: client, TCP, server, chunkfs, files.

// onDisk serves a data directory. The hook, unless nil, is called before every call of the file system.
func onDisk(t testing.TB, hook func(vfstest.Call) error) (c *chunks.Client, dir string) {
	t.Helper()
	dir = t.TempDir()
	disk, err := vfs.OpenOS(dir)
	require.NoError(t, err)
	kept, err := chunkfs.Open(t.Context(), chunkfs.Config{Dir: dir, FS: vfstest.NewInject(disk, hook)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	return overTCP(t, kept), dir
}

// bigChunk is 1 GiB; 64 MiB under the race detector and with -short, where a GiB takes too long.
func bigChunk() int64 {
	if raceDetector || testing.Short() {
		return 64 << 20
	}
	return 1 << 30
}

// pattern fills b with unit number i of a chunk, different from all others.
func pattern(b []byte, i int64) []byte {
	binary.LittleEndian.PutUint64(b, uint64(i)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(b[len(b)-8:], ^uint64(i))
	return b
}

// stream writes a chunk of size bytes, a multiple of the unit size, and returns its checksum.
func stream(ctx context.Context, c chunk.Store, id store.ChunkID, size int64) (store.ChunkSum, error) {
	w, err := c.Create(ctx, chunk.Spec{ID: id, UnitSize: unitSize, SizeHint: size})
	if err != nil {
		return 0, err
	}
	defer w.Abort()
	free := bufpool.New()
	var sum store.ChunkSum
	for i := range size / unitSize {
		b := free.Lend(unitSize)
		u := chunk.NewUnit(pattern(b.Data, i), b)
		sum = sum.Add(u.CRC)
		if err := w.Append(u); err != nil {
			return 0, err
		}
	}
	info, err := w.Commit(chunktest.SampleLabel())
	if err == nil && (info.Size != size || info.Sum != sum) {
		err = errors.New("the node stored something else")
	}
	return sum, err
}

// compare reads a chunk that stream wrote and compares every byte.
func compare(ctx context.Context, c chunk.Store, id store.ChunkID, size int64) error {
	r, err := c.Open(ctx, id, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	want := make([]byte, unitSize)
	for i := range size / unitSize {
		u, err := r.Next()
		if err != nil {
			return err
		}
		equal := string(u.Data) == string(pattern(want, i))
		u.Release()
		if !equal {
			return errors.New("a unit came back with other bytes")
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		return errors.New("the chunk goes on after its end")
	}
	return nil
}

// filesIn counts the files of chunks and of writes in progress.
func filesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, sub := range []string{"chunks", "tmp"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return err
		})
		if !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
		}
	}
	return n
}

func TestPutChunk_Success(t *testing.T) {
	t.Parallel()
	c, dir := onDisk(t, nil)
	id, size := chunktest.NewID(), bigChunk()
	sum, err := stream(t.Context(), c, id, size)
	require.NoError(t, err)
	info, err := c.Stat(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, size, info.Size)
	require.Equal(t, sum, info.Sum)
	_, err = os.Stat(filepath.Join(dir, "chunks", id.String()[:2], id.String()))
	require.NoError(t, err, "the file lies under the first two characters of its id")
	require.NoError(t, compare(t.Context(), c, id, size))
	require.NoError(t, c.Verify(t.Context(), id))
}

func TestPutChunk_InvalidChunkID(t *testing.T) {
	t.Parallel()
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, serveChunks(t, openDisk(t))))
	for _, id := range []string{"", "../../etc/passwd", "0123", chunktest.NewID().String() + "0"} {
		s, err := client.PutChunk(t.Context())
		require.NoError(t, err)
		_ = s.Send(&storagev1.PutChunkRequest{Spec: &storagev1.ChunkSpec{ChunkId: id, UnitSize: unitSize}})
		_, err = s.CloseAndRecv()
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%q: %v", id, err)
	}
}

func openDisk(t testing.TB) *chunkfs.Store {
	t.Helper()
	kept, err := chunkfs.Open(t.Context(), chunkfs.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	return kept
}

func TestPutChunk_DiskFull(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"preallocate", "write"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			var full atomic.Bool
			c, dir := onDisk(t, func(call vfstest.Call) error {
				if full.Load() && call.Op == op && (op == "preallocate" || call.Off > 1<<20) {
					return syscall.ENOSPC
				}
				return nil
			})
			full.Store(true)
			id := chunktest.NewID()
			_, err := stream(t.Context(), c, id, 16<<20)
			require.ErrorIs(t, err, store.NoSpace)
			require.Equal(t, codes.ResourceExhausted, status.Code(err))
			_, err = c.Stat(t.Context(), id)
			require.ErrorIs(t, err, store.NotFound)
			require.Zero(t, filesIn(t, dir), "the partial file was gone before the answer came")

			full.Store(false)
			_, err = stream(t.Context(), c, id, 16<<20)
			require.NoError(t, err, "there is space again")
		})
	}
}

func TestGetChunk_Success(t *testing.T) {
	t.Parallel()
	c, _ := onDisk(t, nil)
	for _, size := range []int64{unitSize, 4 << 20, 32 << 20} { // packed, and as files
		id := chunktest.NewID()
		_, err := stream(t.Context(), c, id, size)
		require.NoError(t, err)
		require.NoError(t, compare(t.Context(), c, id, size))
	}
}

func TestGetChunk_NotFound(t *testing.T) {
	t.Parallel()
	c, _ := onDisk(t, nil)
	_, err := chunktest.Read(t.Context(), c, chunktest.NewID())
	require.ErrorIs(t, err, store.NotFound)
	require.Equal(t, codes.NotFound, status.Code(err))
}

func TestGetChunk_CorruptedFile(t *testing.T) {
	t.Parallel()
	c, dir := onDisk(t, nil)
	id := chunktest.NewID()
	_, err := stream(t.Context(), c, id, 8<<20)
	require.NoError(t, err)
	f, err := os.OpenFile(filepath.Join(dir, "chunks", id.String()[:2], id.String()), os.O_RDWR, 0)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 5<<20)
	require.NoError(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, 5<<20)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	data, err := chunktest.Read(t.Context(), c, id)
	require.ErrorIs(t, err, store.Corrupt)
	require.Equal(t, codes.DataLoss, status.Code(err))
	require.LessOrEqual(t, len(data), 5<<20, "nothing of the rotten unit was handed out")
	require.ErrorIs(t, c.Verify(t.Context(), id), store.Corrupt)
}

func TestDeleteChunk_Success(t *testing.T) {
	t.Parallel()
	c, dir := onDisk(t, nil)
	id := chunktest.NewID()
	_, err := stream(t.Context(), c, id, 8<<20)
	require.NoError(t, err)
	require.Equal(t, 1, filesIn(t, dir))
	for range 2 { // deleting what is absent is success
		require.NoError(t, c.Delete(t.Context(), id))
		_, err = c.Stat(t.Context(), id)
		require.ErrorIs(t, err, store.NotFound)
	}
	require.Zero(t, filesIn(t, dir))
}

// Each result is that of its chunk, with kind, message and hint.
func TestDeleteChunks_TellsWhatBecameOfEach(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	c := dial(t, serveChunks(t, kept), chunks.DialConfig{JoinToken: joinToken})
	ids := []store.ChunkID{chunktest.NewID(), chunktest.NewID(), chunktest.NewID()}
	for _, id := range ids {
		chunktest.Put(t, kept, id, chunktest.Bytes(1, 100))
	}
	kept.SetHook(func(_ context.Context, call mem.Call) error {
		if call.ID != ids[1] {
			return nil
		}
		return store.Errorf(store.NoSpace, "no room %s", strings.Repeat("x", 5000)).WithHint("Free space.").WithItem(call.ID)
	})
	results := c.DeleteMany(t.Context(), ids)
	require.NoError(t, results[0])
	require.ErrorIs(t, results[1], store.NoSpace)
	require.ErrorContains(t, results[1], ids[1].String()+": no room")
	require.Less(t, len(results[1].Error()), 2000)
	require.Equal(t, "Free space.", store.HintOf(results[1]))
	require.NoError(t, results[2])
	kept.SetHook(nil)
	page, err := kept.List(t.Context(), store.ChunkID{}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
}

// What the server refuses, it refuses before anything is deleted.
func TestDeleteChunks_RefusesBeforeItDeletes(t *testing.T) {
	t.Parallel()
	kept, id := mem.NewChunks(), chunktest.NewID()
	chunktest.Put(t, kept, id, chunktest.Bytes(1, 100))
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: kept}), l)
	client := storagev1.NewStorageServiceClient(rpctest.Conn(t, l.Addr().String()))
	many := slices.Repeat([]string{id.String()}, store.MaxListLimit+1)
	for name, ids := range map[string][]string{"none": nil, "too many": many, "no id": {id.String(), "x"}} {
		_, err := client.DeleteChunks(t.Context(), &storagev1.DeleteChunksRequest{ChunkIds: ids})
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
		_, err = kept.Stat(t.Context(), id)
		require.NoError(t, err, name)
	}
	_, err := client.DeleteChunks(t.Context(), &storagev1.DeleteChunksRequest{ChunkIds: many[1:]})
	require.NoError(t, err)
	_, err = kept.Stat(t.Context(), id)
	require.ErrorIs(t, err, store.NotFound)
}

// earlier is a node of a release that does not know DeleteChunks.
type earlier struct {
	storagev1.UnimplementedStorageServiceServer
	deleted atomic.Int64
}

func (e *earlier) DeleteChunk(context.Context, *storagev1.DeleteChunkRequest) (*storagev1.DeleteChunkResponse, error) {
	e.deleted.Add(1)
	return new(storagev1.DeleteChunkResponse), nil
}

func TestDeleteMany_OnANodeOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	l, s, node := rpctest.Listen(t), grpc.NewServer(), new(earlier)
	storagev1.RegisterStorageServiceServer(s, node)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	c := dial(t, l.Addr().String(), chunks.DialConfig{})
	for _, err := range c.DeleteMany(t.Context(), []store.ChunkID{chunktest.NewID(), chunktest.NewID()}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, node.deleted.Load())
}

func TestHealthCheck(t *testing.T) {
	t.Parallel()
	c, dir := onDisk(t, nil)
	h, err := c.Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, "test", h.Version)
	var disk syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &disk))
	require.Equal(t, int64(disk.Blocks)*disk.Bsize, h.Capacity.Total, "the space of the disk")
	require.Positive(t, h.Capacity.Free)
	require.LessOrEqual(t, h.Capacity.Free, h.Capacity.Total)
}

// TestStreamingPerformance streams a chunk there and back and checks equality;
// BenchmarkStreamingPerformance measures the speed.
func TestStreamingPerformance(t *testing.T) {
	t.Parallel()
	c, _ := onDisk(t, nil)
	id, size := chunktest.NewID(), bigChunk()/4
	_, err := stream(t.Context(), c, id, size)
	require.NoError(t, err)
	require.NoError(t, compare(t.Context(), c, id, size))
}

func TestConcurrentStreams(t *testing.T) {
	t.Parallel()
	const streams, size = 10, 6 << 20
	c, _ := onDisk(t, nil)
	var wg sync.WaitGroup
	errs := make(chan error, streams)
	for range streams {
		wg.Go(func() {
			id := chunktest.NewID()
			_, err := stream(t.Context(), c, id, size)
			if err == nil {
				err = compare(t.Context(), c, id, size)
			}
			errs <- err
		})
	}
	wg.Wait()
	for range streams {
		require.NoError(t, <-errs)
	}
	all, err := c.List(t.Context(), store.ChunkID{}, 2*streams)
	require.NoError(t, err)
	require.Len(t, all, streams)
}

// BenchmarkStreamingPerformance moves one chunk of 1 GiB onto the disk, durably,
// and back: MB/s of either way.
func BenchmarkStreamingPerformance(b *testing.B) {
	const size = 1 << 30
	c, _ := onDisk(b, nil)
	id := chunktest.NewID()
	b.Run("put", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			require.NoError(b, c.Delete(b.Context(), id))
			_, err := stream(b.Context(), c, id, size)
			require.NoError(b, err)
		}
	})
	b.Run("get", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			require.NoError(b, compare(b.Context(), c, id, size))
		}
	})
}
