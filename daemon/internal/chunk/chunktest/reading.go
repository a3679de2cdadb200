package chunktest

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func ranges(t *testing.T, c chunk.Store) {
	const units = 7
	id, data := NewID(), Bytes(20, (units-1)*unitSize+11)
	Put(t, c, id, data)
	for first := range units {
		for _, count := range []int{-1, 0, 1, 2, units - first, units, 1 << 30} {
			end := len(data)
			if count >= 0 && count < units-first {
				end = (first + count) * unitSize
			}
			got, err := readRange(t.Context(), c, id, first, count)
			require.NoError(t, err, "units from %d, %d of them", first, count)
			require.True(t, string(data[first*unitSize:end]) == string(got), "units from %d, %d of them", first, count)
		}
	}
}

func outOfRange(t *testing.T, c chunk.Store) {
	id := NewID()
	Put(t, c, id, Bytes(21, 2*unitSize))
	for _, first := range []int{2, 3, 1 << 30, -1} {
		for _, count := range []int{-1, 0, 1} {
			_, err := readRange(t.Context(), c, id, first, count)
			requireKind(t, store.OutOfRange, err)
		}
	}
}

func absent(t *testing.T, c chunk.Store) {
	requireAbsent(t, c, NewID())
	id := NewID()
	Put(t, c, id, Bytes(22, 10))
	neighbour := id
	neighbour.Index++
	requireAbsent(t, c, neighbour)
}

// unitsStay holds all units of a chunk at once: buffers may be reused after Release only.
func unitsStay(t *testing.T, c chunk.Store) {
	const units = 40
	id, data := NewID(), Bytes(23, units*unitSize)
	Put(t, c, id, data)
	r, err := c.Open(t.Context(), id, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	var held []chunk.Unit
	for range units {
		u, err := r.Next()
		require.NoError(t, err)
		held = append(held, u)
	}
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF, "the end is permanent")
	require.NoError(t, r.Close())
	requireContent(t, c, id, data) // with a second reader
	for i, u := range held {
		require.NoError(t, u.Check())
		require.True(t, string(data[i*unitSize:(i+1)*unitSize]) == string(u.Data), "unit %d", i)
		u.Release()
	}
}

// drain reads to the end or an error, which it returns.
func drain(r chunk.Reader) error {
	for {
		u, err := r.Next()
		if err != nil {
			return err
		}
		u.Release()
	}
}

func closeDuringNext(t *testing.T, c chunk.Store) {
	const units = 200
	id, data := NewID(), Bytes(24, units*unitSize)
	Put(t, c, id, data)
	for range 20 {
		r, err := c.Open(t.Context(), id, 0, -1)
		require.NoError(t, err)
		u, err := r.Next()
		require.NoError(t, err)
		u.Release()
		ended := make(chan error, 1)
		go func() { ended <- drain(r) }()
		require.NoError(t, r.Close())
		require.NoError(t, r.Close(), "Close twice")
		err = await(t, "Next to end after Close", ended)
		require.True(t, errors.Is(err, io.EOF) || store.KindOf(err) == store.Canceled, "%v", err)
	}
	unused, err := c.Open(t.Context(), id, 0, -1)
	require.NoError(t, err)
	require.NoError(t, unused.Close())
	_, err = unused.Next()
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF, "a closed reader is not at the end")
	requireContent(t, c, id, data)
}

func contextEndsReader(t *testing.T, c chunk.Store) {
	const units = 500
	id := NewID()
	Put(t, c, id, Bytes(25, units*unitSize))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := c.Open(ctx, id, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	u, err := r.Next()
	require.NoError(t, err)
	u.Release()
	cancel()
	requireKind(t, store.Canceled, drain(r))
}

func manyReaders(t *testing.T, c chunk.Store) {
	id, data := NewID(), Bytes(26, 30*unitSize+1)
	Put(t, c, id, data)
	for _, err := range together(16, func(i int) error {
		got, err := readRange(t.Context(), c, id, i, -1)
		if err == nil && string(got) != string(data[i*unitSize:]) {
			err = errors.New("other bytes than were written")
		}
		return err
	}) {
		require.NoError(t, err)
	}
}
