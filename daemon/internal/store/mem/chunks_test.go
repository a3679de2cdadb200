package mem_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func TestChunks(t *testing.T) {
	t.Parallel()
	chunktest.Run(t, func(testing.TB) chunk.Store { return mem.NewChunks() })
}

func TestChunksDamaged(t *testing.T) {
	t.Parallel()
	chunktest.RunDamage(t, func(testing.TB) (chunk.Store, chunktest.Damage) {
		c := mem.NewChunks()
		return c, func(id store.ChunkID) { c.CorruptUnit(id, 0) }
	})
}

func TestDiskThatTakesNothingIsRead(t *testing.T) {
	t.Parallel()
	for state, kind := range map[store.DiskState]store.Kind{store.DiskFull: store.NoSpace, store.DiskReadOnly: store.Unavailable, store.DiskFailing: store.Unavailable} {
		c, id := mem.NewChunks(), chunktest.NewID()
		chunktest.Put(t, c, id, chunktest.Bytes(1, 5000))
		c.SetDisk(store.Disk{State: state, Reason: "because"})
		_, err := c.Create(t.Context(), chunktest.Spec(chunktest.NewID()))
		require.ErrorIs(t, err, kind)
		require.ErrorContains(t, err, "because")
		_, err = chunktest.Read(t.Context(), c, id)
		require.NoError(t, err)
		space, err := c.Capacity(t.Context())
		require.NoError(t, err)
		require.Equal(t, store.Disk{State: state, Reason: "because"}, space.Disk)
		require.Zero(t, space.Free)
		require.Equal(t, state == store.DiskFull, c.Delete(t.Context(), id) == nil)
	}
}

func BenchmarkChunks(b *testing.B) {
	chunktest.Benchmark(b, func(testing.TB) chunk.Store { return mem.NewChunks() })
}

func TestHookFailsEachStep(t *testing.T) {
	t.Parallel()
	boom := store.Errorf(store.Unavailable, "boom")
	for _, op := range []mem.Op{mem.OpCreate, mem.OpAppend, mem.OpCommit, mem.OpOpen, mem.OpNext, mem.OpStat, mem.OpDelete, mem.OpList, mem.OpCapacity, mem.OpVerify} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			c, id := mem.NewChunks(), chunktest.NewID()
			chunktest.Put(t, c, id, chunktest.Bytes(1, 5000))
			c.SetHook(mem.Fail(boom, op))
			require.ErrorIs(t, everyStep(t.Context(), c, id), boom)
			c.SetHook(nil)
			require.NoError(t, everyStep(t.Context(), c, id))
		})
	}
}

// everyStep takes each step once and returns the first error.
func everyStep(ctx context.Context, c *mem.Chunks, id store.ChunkID) error {
	_, err := chunk.PutSmall(ctx, c, chunktest.Spec(chunktest.NewID()), chunk.NewUnit([]byte("x"), nil), chunk.Label{})
	if err != nil {
		return err
	}
	if _, err := chunktest.Read(ctx, c, id); err != nil {
		return err
	}
	if _, err := c.Stat(ctx, id); err != nil {
		return err
	}
	if _, err := c.List(ctx, store.ChunkID{}, 10); err != nil {
		return err
	}
	if _, err := c.Capacity(ctx); err != nil {
		return err
	}
	return errors.Join(c.Verify(ctx, id), c.Delete(ctx, chunktest.NewID()))
}

func TestStallEndsWithAbortCloseAndContext(t *testing.T) {
	t.Parallel()
	c, id := mem.NewChunks(), chunktest.NewID()
	chunktest.Put(t, c, id, chunktest.Bytes(1, 5000))
	reached := make(chan mem.Call, 1)
	never := mem.Stall(make(chan struct{}), mem.OpAppend, mem.OpNext, mem.OpStat)
	c.SetHook(func(ctx context.Context, call mem.Call) error {
		if call.Op == mem.OpAppend || call.Op == mem.OpNext || call.Op == mem.OpStat {
			reached <- call
		}
		return never(ctx, call)
	})

	w, err := c.Create(t.Context(), chunktest.Spec(chunktest.NewID()))
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() { failed <- w.Append(chunk.NewUnit([]byte("x"), nil)) }()
	require.Equal(t, mem.OpAppend, (<-reached).Op)
	w.Abort()
	require.Equal(t, store.Canceled, store.KindOf(<-failed))

	r, err := c.Open(t.Context(), id, 1, -1)
	require.NoError(t, err)
	go func() { _, err := r.Next(); failed <- err }()
	require.Equal(t, mem.Call{Op: mem.OpNext, ID: id, Unit: 1}, <-reached)
	require.NoError(t, r.Close())
	require.Equal(t, store.Canceled, store.KindOf(<-failed))

	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { _, err := c.Stat(ctx, id); failed <- err }()
	<-reached
	cancel(errors.New("the caller's own reason"))
	require.ErrorIs(t, <-failed, context.Canceled)
}

func TestStallGoesOnWhenReleased(t *testing.T) {
	t.Parallel()
	c, until := mem.NewChunks(), make(chan struct{})
	c.SetHook(mem.Stall(until))
	done := make(chan error, 1)
	go func() { _, err := c.Capacity(context.Background()); done <- err }()
	close(until)
	require.NoError(t, <-done)
}

func TestCorruptUnitAndDrop(t *testing.T) {
	t.Parallel()
	c, id := mem.NewChunks(), chunktest.NewID()
	chunktest.Put(t, c, id, chunktest.Bytes(1, 3*4096))
	require.False(t, c.CorruptUnit(id, 3))
	require.False(t, c.CorruptUnit(chunktest.NewID(), 0))
	require.True(t, c.CorruptUnit(id, 1))
	r, err := c.Open(t.Context(), id, 0, -1)
	require.NoError(t, err)
	u, err := r.Next()
	require.NoError(t, err)
	require.EqualValues(t, 1, c.Lent())
	u.Release()
	require.EqualValues(t, 0, c.Lent())
	_, err = r.Next()
	require.ErrorIs(t, err, store.Corrupt)
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)
	require.ErrorIs(t, c.Verify(t.Context(), id), store.Corrupt)

	require.True(t, c.Drop(id))
	require.False(t, c.Drop(id))
	_, err = c.Stat(t.Context(), id)
	require.ErrorIs(t, err, store.NotFound)
}

func TestLimitIsNoSpaceAndCountsOpenWriters(t *testing.T) {
	t.Parallel()
	c := mem.NewChunks()
	c.SetLimit(10_000)
	chunktest.Put(t, c, chunktest.NewID(), chunktest.Bytes(1, 4000))
	w, err := c.Create(t.Context(), chunktest.Spec(chunktest.NewID()))
	require.NoError(t, err)
	require.NoError(t, w.Append(chunk.NewUnit(chunktest.Bytes(1, 4096), nil)))
	space, err := c.Capacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Capacity{Total: 10_000, Used: 4000, Free: 10_000 - 4000 - 4096, Chunks: 1}, space)
	require.ErrorIs(t, w.Append(chunk.NewUnit(chunktest.Bytes(1, 4096), nil)), store.NoSpace)
	w.Abort()
	space, err = c.Capacity(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6000, space.Free)

	c.SetLimit(0)
	_, err = c.Create(t.Context(), chunktest.Spec(chunktest.NewID()))
	require.ErrorIs(t, err, store.NoSpace)
}
