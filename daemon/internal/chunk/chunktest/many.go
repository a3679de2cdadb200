package chunktest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// smallPut returns a put of these bytes.
func smallPut(ctx context.Context, id store.ChunkID, data []byte) chunk.SmallPut {
	return chunk.SmallPut{Context: ctx, Spec: Spec(id), Unit: chunk.NewUnit(data, nil), Label: SampleLabel()}
}

func putMany(t *testing.T, c chunk.Store) {
	left, cancel := context.WithCancel(t.Context())
	cancel()
	there, twice, data := NewID(), NewID(), Bytes(60, 100)
	Put(t, c, there, data)
	damaged := smallPut(t.Context(), NewID(), data)
	damaged.Unit.CRC++
	long := smallPut(t.Context(), NewID(), Bytes(61, unitSize+1))
	cases := []struct {
		put  chunk.SmallPut
		want store.Kind // Internal, the zero value: success
	}{
		{put: smallPut(t.Context(), NewID(), data)},
		{put: damaged, want: store.Corrupt},
		{put: smallPut(t.Context(), there, data)},
		{put: smallPut(t.Context(), there, Bytes(62, 100)), want: store.Exists},
		{put: smallPut(left, NewID(), data), want: store.Canceled},
		{put: smallPut(t.Context(), twice, data)},
		{put: long, want: store.Invalid},
		{put: smallPut(t.Context(), twice, data)},
		{put: smallPut(t.Context(), twice, Bytes(63, 50)), want: store.Exists},
		{put: smallPut(t.Context(), NewID(), Bytes(64, unitSize))},
	}
	puts := make([]chunk.SmallPut, len(cases))
	for i, one := range cases {
		puts[i] = one.put
	}
	results := chunk.PutMany(c, puts)
	require.Len(t, results, len(cases))
	for i, one := range cases {
		if one.want == store.Internal {
			require.NoError(t, results[i].Err, "put %d", i)
			require.Equal(t, SumOf(puts[i].Unit.Data, unitSize), results[i].Info.Sum)
			requireContent(t, c, one.put.Spec.ID, one.put.Unit.Data)
			continue
		}
		requireKind(t, one.want, results[i].Err)
		if one.want != store.Exists {
			requireAbsent(t, c, one.put.Spec.ID)
		}
	}
	require.Empty(t, chunk.PutMany(c, nil))
}

// putManyTogether has several calls store the same chunks in different orders, among them with PutSmall.
func putManyTogether(t *testing.T, c chunk.Store) {
	const chunks = 12
	ids := make([]store.ChunkID, chunks)
	for i := range ids {
		ids[i] = NewID()
	}
	for _, err := range together(8, func(n int) error {
		if n == 0 {
			for i, id := range ids {
				if _, err := chunk.PutSmall(t.Context(), c, Spec(id), chunk.NewUnit(Bytes(uint64(i), 50), nil), SampleLabel()); err != nil {
					return err
				}
			}
			return nil
		}
		puts := make([]chunk.SmallPut, chunks)
		for i := range puts {
			at := (i*n + n) % chunks
			puts[i] = smallPut(t.Context(), ids[at], Bytes(uint64(at), 50))
		}
		for _, r := range chunk.PutMany(c, puts) {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	for i, id := range ids {
		requireContent(t, c, id, Bytes(uint64(i), 50))
	}
}
