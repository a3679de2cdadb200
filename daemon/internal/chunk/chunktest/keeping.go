package chunktest

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func listPages(t *testing.T, c chunk.Store) {
	var want []chunk.Listed
	part := store.NewPartID()
	for i := range 40 {
		id := NewID()
		if i%3 == 0 { // several chunks of one part
			id = store.ChunkID{Part: part, Index: uint8(i)}
		}
		want = append(want, chunk.Listed{ID: id, Sum: Put(t, c, id, Bytes(uint64(i), 1+i*600)).Sum})
	}
	slices.SortFunc(want, func(a, b chunk.Listed) int { return a.ID.Compare(b.ID) })
	for _, limit := range []int{1, 7, 39, 40, 41, 1000} {
		var got []chunk.Listed
		for after := (store.ChunkID{}); ; after = got[len(got)-1].ID {
			page, err := c.List(t.Context(), after, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
		}
		require.Empty(t, cmp.Diff(want, got), "pages of %d", limit)
	}
	// A marker that names no chunk, and one that was just deleted.
	marker := want[20].ID
	require.NoError(t, c.Delete(t.Context(), marker))
	page, err := c.List(t.Context(), marker, 5)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want[21:26], page))
}

func listEmpty(t *testing.T, c chunk.Store) {
	page, err := c.List(t.Context(), store.ChunkID{}, 10)
	require.NoError(t, err)
	require.Empty(t, page)
	id := NewID()
	Put(t, c, id, Bytes(1, 1))
	page, err = c.List(t.Context(), id, 10)
	require.NoError(t, err)
	require.Empty(t, page, "nothing comes after the last")
}

func deleteTwice(t *testing.T, c chunk.Store) {
	kept, keptData := NewID(), Bytes(31, 3*unitSize)
	Put(t, c, kept, keptData)
	for _, n := range []int{10, 30 * unitSize} {
		id := NewID()
		require.NoError(t, c.Delete(t.Context(), id), "absent")
		Put(t, c, id, Bytes(30, n))
		require.NoError(t, c.Delete(t.Context(), id))
		requireAbsent(t, c, id)
		require.NoError(t, c.Delete(t.Context(), id), "deleted before")
	}
	requireContent(t, c, kept, keptData)
}

func deleteMany(t *testing.T, c chunk.Store) {
	kept, keptData := NewID(), Bytes(35, 3*unitSize)
	Put(t, c, kept, keptData)
	var ids []store.ChunkID
	for i := range 40 {
		id := NewID()
		ids = append(ids, id)
		switch i % 4 {
		case 0, 1: // small
			Put(t, c, id, Bytes(uint64(i), 1+i*10))
		case 2:
			Put(t, c, id, Bytes(uint64(i), 30*unitSize))
		} // the last is absent
	}
	ids = append(ids, ids[0]) // once more
	results := chunk.DeleteMany(t.Context(), c, ids)
	require.Len(t, results, len(ids))
	for i, id := range ids {
		require.NoError(t, results[i])
		requireAbsent(t, c, id)
	}
	requireContent(t, c, kept, keptData)
	require.Empty(t, chunk.DeleteMany(t.Context(), c, nil))
	page, err := c.List(t.Context(), store.ChunkID{}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	for _, id := range ids[:2] { // again, after they were deleted
		Put(t, c, id, keptData)
		requireContent(t, c, id, keptData)
	}
}

func deleteTooMany(t *testing.T, c chunk.Store) {
	data := Bytes(36, 100)
	ids := make([]store.ChunkID, store.MaxListLimit+1)
	for i := range ids {
		ids[i] = NewID()
	}
	Put(t, c, ids[0], data)
	results := chunk.DeleteMany(t.Context(), c, ids)
	require.Len(t, results, len(ids))
	for _, err := range results {
		requireKind(t, store.Invalid, err)
	}
	requireContent(t, c, ids[0], data)
	for _, err := range chunk.DeleteMany(t.Context(), c, ids[:store.MaxListLimit]) {
		require.NoError(t, err)
	}
	requireAbsent(t, c, ids[0])
}

func deleteManyAtOnce(t *testing.T, c chunk.Store) {
	var ids []store.ChunkID
	for i := range 60 {
		ids = append(ids, NewID())
		Put(t, c, ids[i], Bytes(uint64(i), 1+i%3*20*unitSize))
	}
	reversed := slices.Clone(ids)
	slices.Reverse(reversed)
	var all sync.WaitGroup
	for _, some := range [][]store.ChunkID{ids, reversed, ids[20:], reversed[20:]} {
		all.Go(func() {
			for _, err := range chunk.DeleteMany(t.Context(), c, some) {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		requireAbsent(t, c, id)
	}
}

func writeAfterDelete(t *testing.T, c chunk.Store) {
	id := NewID()
	for round := range 3 {
		data := Bytes(uint64(40+round), 100+round*unitSize)
		Put(t, c, id, data)
		requireContent(t, c, id, data)
		require.NoError(t, c.Delete(t.Context(), id))
		requireAbsent(t, c, id)
	}
}

func deleteDuringRead(t *testing.T, c chunk.Store) {
	for _, n := range []int{3*unitSize + 1, 100 * unitSize} {
		id, data := NewID(), Bytes(32, n)
		Put(t, c, id, data)
		r, err := c.Open(t.Context(), id, 0, -1)
		require.NoError(t, err)
		u, err := r.Next()
		require.NoError(t, err)
		got := append([]byte(nil), u.Data...)
		u.Release()
		require.NoError(t, c.Delete(t.Context(), id))
		for {
			u, err = r.Next()
			if err != nil {
				break
			}
			got = append(got, u.Data...)
			u.Release()
		}
		if errors.Is(err, io.EOF) {
			require.True(t, string(data) == string(got), "a reader that continues reads the deleted content")
		} else {
			requireKind(t, store.NotFound, err)
			require.True(t, string(data[:len(got)]) == string(got))
		}
		require.NoError(t, r.Close())
		requireAbsent(t, c, id)
	}
}

func capacity(t *testing.T, c chunk.Store) {
	Put(t, c, NewID(), Bytes(33, 10*unitSize))
	got, err := c.Capacity(t.Context())
	require.NoError(t, err)
	require.Positive(t, got.Total)
	require.GreaterOrEqual(t, got.Used, int64(0))
	require.GreaterOrEqual(t, got.Free, int64(0))
	require.LessOrEqual(t, got.Free, got.Total)
	require.GreaterOrEqual(t, got.Chunks, int64(0))
	require.LessOrEqual(t, got.Chunks, int64(1))
}

func verify(t *testing.T, c chunk.Store) {
	v, ok := c.(chunk.Verifier)
	if !ok {
		return // an optional power
	}
	for _, n := range []int{1, 30*unitSize + 1} {
		id := NewID()
		requireKind(t, store.NotFound, v.Verify(t.Context(), id))
		Put(t, c, id, Bytes(34, n))
		require.NoError(t, v.Verify(t.Context(), id))
	}
}

func endedContext(t *testing.T, c chunk.Store) {
	id := NewID()
	Put(t, c, id, Bytes(35, 2*unitSize))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Read(ctx, c, id)
	requireKind(t, store.Canceled, err)
	_, err = c.Stat(ctx, id)
	requireKind(t, store.Canceled, err)
	_, err = c.List(ctx, store.ChunkID{}, 10)
	requireKind(t, store.Canceled, err)
	_, err = c.Capacity(ctx)
	requireKind(t, store.Canceled, err)
	requireKind(t, store.Canceled, c.Delete(ctx, id))
	for _, err := range chunk.DeleteMany(ctx, c, []store.ChunkID{id, NewID()}) {
		requireKind(t, store.Canceled, err)
	}
	_, err = write(ctx, c, Spec(NewID()), cut(Bytes(1, 10), unitSize), SampleLabel())
	requireKind(t, store.Canceled, err)
}
