package chunktest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func readsBack(t *testing.T, c chunk.Store) {
	id, data, label := NewID(), Bytes(1, 3*unitSize+17), SampleLabel()
	before := time.Now().Unix()
	info, err := write(t.Context(), c, Spec(id), cut(data, unitSize), label)
	require.NoError(t, err)
	require.WithinRange(t, time.Unix(info.StoredAt, 0), time.Unix(before-2, 0), time.Unix(time.Now().Unix()+2, 0))

	want := chunk.Info{ID: id, Size: int64(len(data)), UnitSize: unitSize, Sum: SumOf(data, unitSize), StoredAt: info.StoredAt, Label: label}
	require.Empty(t, cmp.Diff(want, info), "Commit")
	require.Equal(t, 4, info.Units())
	got, err := c.Stat(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got), "Stat")
	listed, err := c.List(t.Context(), store.ChunkID{}, 10)
	require.NoError(t, err)
	require.Equal(t, []chunk.Listed{{ID: id, Sum: want.Sum}}, listed, "List")
	requireContent(t, c, id, data)
}

func manySizes(t *testing.T, c chunk.Store) {
	for i, n := range []int{1, 2, unitSize - 1, unitSize, unitSize + 1, 2 * unitSize, 33*unitSize + 5} {
		id, data := NewID(), Bytes(uint64(i), n)
		Put(t, c, id, data)
		requireContent(t, c, id, data)
	}
	// The largest unit, and the smallest.
	for _, size := range []int{chunk.MaxUnitSize, 1} {
		id, data := NewID(), Bytes(99, 2*size+size/2)
		spec := chunk.Spec{ID: id, UnitSize: size, SizeHint: int64(len(data))}
		_, err := write(t.Context(), c, spec, cut(data, size), SampleLabel())
		require.NoError(t, err)
		requireContent(t, c, id, data)
	}
}

func hintIsNoLimit(t *testing.T, c chunk.Store) {
	for _, hint := range []int64{0, 1, 10 * unitSize, 40 << 20} {
		for _, n := range []int{5, 10 * unitSize, 10*unitSize + 3, 6<<20 + 1} {
			id, data := NewID(), Bytes(uint64(n), n)
			spec := Spec(id)
			spec.SizeHint = hint
			_, err := write(t.Context(), c, spec, cut(data, unitSize), SampleLabel())
			require.NoError(t, err, "hint %d, size %d", hint, n)
			requireContent(t, c, id, data)
		}
	}
}

func invisibleBeforeCommit(t *testing.T, c chunk.Store) {
	id, data := NewID(), Bytes(2, 5*unitSize)
	w, err := c.Create(t.Context(), Spec(id))
	require.NoError(t, err)
	defer w.Abort()
	requireAbsent(t, c, id)
	for _, u := range cut(data, unitSize) {
		require.NoError(t, w.Append(u))
	}
	requireAbsent(t, c, id)
	_, err = w.Commit(SampleLabel())
	require.NoError(t, err)
	requireContent(t, c, id, data)
}

func abortLeavesNothing(t *testing.T, c chunk.Store) {
	for _, n := range []int{0, 1, 3} {
		id := NewID()
		w, err := c.Create(t.Context(), Spec(id))
		require.NoError(t, err)
		for _, u := range cut(Bytes(3, n*unitSize), unitSize) {
			require.NoError(t, w.Append(u))
		}
		w.Abort()
		w.Abort()
		requireAbsent(t, c, id)

		l := &ledger{t: t}
		require.Error(t, w.Append(l.lend(Bytes(3, 10), unitSize)[0]), "Append after Abort")
		l.requireReleased()
		_, err = w.Commit(SampleLabel())
		require.Error(t, err, "Commit after Abort")
		requireAbsent(t, c, id)
	}
}

func abortAfterCommit(t *testing.T, c chunk.Store) {
	id, data := NewID(), Bytes(4, unitSize+1)
	w, err := c.Create(t.Context(), Spec(id))
	require.NoError(t, err)
	for _, u := range cut(data, unitSize) {
		require.NoError(t, w.Append(u))
	}
	_, err = w.Commit(SampleLabel())
	require.NoError(t, err)
	w.Abort()
	w.Abort()
	requireContent(t, c, id, data)

	l := &ledger{t: t}
	require.Error(t, w.Append(l.lend(data[:10], unitSize)[0]), "Append after Commit")
	l.requireReleased()
	requireContent(t, c, id, data)
}

func abortDuringAppend(t *testing.T, c chunk.Store) {
	id := NewID()
	w, err := c.Create(t.Context(), Spec(id))
	require.NoError(t, err)
	data := Bytes(5, unitSize)
	started, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := w.Append(chunk.NewUnit(data, nil)); err != nil {
				failed <- err
				return
			}
			if i == 4 {
				close(started)
			}
		}
	}()
	await(t, "the first units", started)
	w.Abort()
	requireKindOneOf(t, await(t, "Append to fail after Abort", failed), store.Canceled, store.Conflict, store.Invalid)
	requireAbsent(t, c, id)
}

func requireKindOneOf(t testing.TB, err error, kinds ...store.Kind) {
	t.Helper()
	require.Error(t, err)
	require.Contains(t, kinds, store.KindOf(err), "%v", err)
}

func contextEndsWriter(t *testing.T, c chunk.Store) {
	id := NewID()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := c.Create(ctx, Spec(id))
	require.NoError(t, err)
	defer w.Abort()
	units := cut(Bytes(6, 2*unitSize), unitSize)
	require.NoError(t, w.Append(units[0]))
	cancel()
	l := &ledger{t: t}
	if err := w.Append(l.lend(Bytes(6, unitSize), unitSize)[0]); err != nil {
		requireKind(t, store.Canceled, err)
	}
	_, err = w.Commit(SampleLabel())
	requireKind(t, store.Canceled, err)
	w.Abort()
	l.requireReleased()
	requireAbsent(t, c, id)
}

func sameChunkAgain(t *testing.T, c chunk.Store) {
	id, data := NewID(), Bytes(7, 2*unitSize+9)
	first := Put(t, c, id, data)
	other := SampleLabel()
	other.Key = "another"
	again, err := write(t.Context(), c, Spec(id), cut(data, unitSize), other)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(first, again), "the second Commit returns what is stored")
	stat, err := c.Stat(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(first, stat))
	requireContent(t, c, id, data)
}

func otherChunkExists(t *testing.T, c chunk.Store) {
	id, data := NewID(), Bytes(8, 2*unitSize+9)
	Put(t, c, id, data)
	for _, other := range [][]byte{Bytes(9, len(data)), data[:unitSize], append(data[:len(data):len(data)], 1)} {
		_, err := write(t.Context(), c, Spec(id), cut(other, unitSize), SampleLabel())
		requireKind(t, store.Exists, err)
		requireContent(t, c, id, data)
	}
}

func wrongUnitChecksum(t *testing.T, c chunk.Store) {
	for wrong := range 3 {
		id := NewID()
		units := cut(Bytes(10, 3*unitSize), unitSize)
		units[wrong].CRC ^= 1
		_, err := write(t.Context(), c, Spec(id), units, SampleLabel())
		requireKind(t, store.Corrupt, err)
		requireAbsent(t, c, id)
	}
}

func noUnits(t *testing.T, c chunk.Store) {
	id := NewID()
	_, err := write(t.Context(), c, Spec(id), nil, SampleLabel())
	requireKind(t, store.Invalid, err)
	requireAbsent(t, c, id)
}

func emptyUnit(t *testing.T, c chunk.Store) {
	requireRefused(t, c, chunk.NewUnit(nil, nil))
	requireRefused(t, c, chunk.NewUnit(Bytes(1, unitSize), nil), chunk.NewUnit([]byte{}, nil))
}

func longUnit(t *testing.T, c chunk.Store) {
	requireRefused(t, c, chunk.NewUnit(Bytes(11, unitSize+1), nil))
}

func unitAfterShort(t *testing.T, c chunk.Store) {
	full, short := Bytes(12, unitSize), Bytes(13, unitSize-1)
	requireRefused(t, c, chunk.NewUnit(full, nil), chunk.NewUnit(short, nil), chunk.NewUnit(full, nil))
	requireRefused(t, c, chunk.NewUnit(short, nil), chunk.NewUnit(short, nil))
}

// requireRefused checks that these units are Invalid, and leave nothing.
func requireRefused(t *testing.T, c chunk.Store, units ...chunk.Unit) {
	t.Helper()
	id := NewID()
	_, err := write(t.Context(), c, Spec(id), units, SampleLabel())
	requireKind(t, store.Invalid, err)
	requireAbsent(t, c, id)
}

func wrongSpec(t *testing.T, c chunk.Store) {
	good := NewID()
	for _, spec := range []chunk.Spec{
		{},
		{ID: good},
		{ID: good, UnitSize: -1},
		{ID: good, UnitSize: chunk.MaxUnitSize + 1},
		{ID: good, UnitSize: unitSize, SizeHint: -1},
		{ID: store.ChunkID{Index: 1}, UnitSize: unitSize},
		{ID: store.ChunkID{Part: good.Part, Index: store.MaxChunksPerPart}, UnitSize: unitSize},
	} {
		_, err := write(t.Context(), c, spec, cut(Bytes(14, 100), unitSize), SampleLabel())
		requireKind(t, store.Invalid, err)
	}
}

// releasedOnce tests every path that takes over units.
func releasedOnce(t *testing.T, c chunk.Store) {
	data := Bytes(15, 4*unitSize+5)
	id := NewID()
	for name, run := range map[string]func(l *ledger){
		"stored": func(l *ledger) {
			_, err := write(t.Context(), c, Spec(id), l.lend(data, unitSize), SampleLabel())
			require.NoError(t, err)
		},
		"aborted": func(l *ledger) {
			w, err := c.Create(t.Context(), Spec(NewID()))
			require.NoError(t, err)
			for _, u := range l.lend(data, unitSize) {
				require.NoError(t, w.Append(u))
			}
			w.Abort()
		},
		"wrong checksum": func(l *ledger) {
			units := l.lend(data, unitSize)
			units[1].CRC++
			_, err := write(t.Context(), c, Spec(NewID()), units, SampleLabel())
			requireKind(t, store.Corrupt, err)
		},
		"invalid, and more after it": func(l *ledger) {
			w, err := c.Create(t.Context(), Spec(NewID()))
			require.NoError(t, err)
			defer w.Abort()
			var first error
			for _, u := range append(l.lend(data[:7], unitSize), l.lend(data, unitSize)...) {
				if err := w.Append(u); first == nil {
					first = err
				}
			}
			if first == nil {
				_, first = w.Commit(SampleLabel())
			}
			requireKind(t, store.Invalid, first)
		},
		"small": func(l *ledger) {
			_, err := chunk.PutSmall(t.Context(), c, Spec(NewID()), l.lend(data[:100], unitSize)[0], SampleLabel())
			require.NoError(t, err)
		},
		"small, wrong checksum": func(l *ledger) {
			u := l.lend(data[:100], unitSize)[0]
			u.CRC++
			_, err := chunk.PutSmall(t.Context(), c, Spec(NewID()), u, SampleLabel())
			requireKind(t, store.Corrupt, err)
		},
		"small, wrong spec": func(l *ledger) {
			_, err := chunk.PutSmall(t.Context(), c, chunk.Spec{}, l.lend(data[:100], unitSize)[0], SampleLabel())
			requireKind(t, store.Invalid, err)
		},
		"small, context over": func(l *ledger) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := chunk.PutSmall(ctx, c, Spec(NewID()), l.lend(data[:100], unitSize)[0], SampleLabel())
			requireKind(t, store.Canceled, err)
		},
	} {
		l := &ledger{t: t}
		run(l)
		require.NotEmpty(t, l.units, name)
		l.requireReleased()
	}
	requireContent(t, c, id, data) // the buffers were overwritten at release
}

func labelKept(t *testing.T, c chunk.Store) {
	long := SampleLabel()
	long.Key = store.Key(strings.Repeat("ключ", store.MaxKeyBytes/8))
	long.ContentType = strings.Repeat("x", 1000)
	unknown := SampleLabel()
	unknown.FileSize, unknown.PartOffset, unknown.CreatedAt = -1, -1, -62_135_596_800_000_000
	large := SampleLabel()
	large.FileSize, large.PartSize, large.PartOffset = 1<<62, 1<<61, 1<<60
	large.K, large.M, large.PartNumber = 63, 1, 1_000_000
	for _, label := range []chunk.Label{{}, SampleLabel(), long, unknown, large} {
		id := NewID()
		info, err := write(t.Context(), c, Spec(id), cut(Bytes(16, 100), unitSize), label)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(label, info.Label))
		stat, err := c.Stat(t.Context(), id)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(label, stat.Label))
	}
}

// together runs f(0..n-1) at once and returns the errors.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

func manyWriters(t *testing.T, c chunk.Store) {
	const writers, each = 16, 6
	ids := make([][each]store.ChunkID, writers)
	size := func(w, i int) int { return 1 + (w*each+i)*517 }
	for _, err := range together(writers, func(w int) error {
		for i := range each {
			ids[w][i] = NewID()
			data := Bytes(uint64(w*each+i), size(w, i))
			if _, err := write(t.Context(), c, Spec(ids[w][i]), cut(data, unitSize), SampleLabel()); err != nil {
				return fmt.Errorf("chunk %d of writer %d: %w", i, w, err)
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	for w := range writers {
		for i := range each {
			requireContent(t, c, ids[w][i], Bytes(uint64(w*each+i), size(w, i)))
		}
	}
	all, err := c.List(t.Context(), store.ChunkID{}, 1000)
	require.NoError(t, err)
	require.Len(t, all, writers*each)
}

func manyWritersOneChunk(t *testing.T, c chunk.Store) {
	for _, n := range []int{100, 20 * unitSize} {
		id, data := NewID(), Bytes(17, n)
		for _, err := range together(12, func(int) error {
			_, err := write(t.Context(), c, Spec(id), cut(data, unitSize), SampleLabel())
			return err
		}) {
			require.NoError(t, err)
		}
		requireContent(t, c, id, data)
	}
}

func disagreeingWriters(t *testing.T, c chunk.Store) {
	for _, n := range []int{100, 20 * unitSize} {
		id := NewID()
		won := -1
		for i, err := range together(8, func(i int) error {
			_, err := write(t.Context(), c, Spec(id), cut(Bytes(uint64(i), n), unitSize), SampleLabel())
			return err
		}) {
			if err == nil {
				require.Equal(t, -1, won, "two contents were both acknowledged")
				won = i
				continue
			}
			requireKind(t, store.Exists, err)
		}
		require.NotEqual(t, -1, won, "no content was acknowledged")
		requireContent(t, c, id, Bytes(uint64(won), n))
	}
}

func putSmall(t *testing.T, c chunk.Store) {
	for _, n := range []int{1, 100, unitSize} {
		id, data, label := NewID(), Bytes(18, n), SampleLabel()
		for range 2 { // the second time changes nothing
			info, err := chunk.PutSmall(t.Context(), c, Spec(id), chunk.NewUnit(data, nil), label)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(label, info.Label))
			require.Equal(t, SumOf(data, unitSize), info.Sum)
			requireContent(t, c, id, data)
		}
	}
}

func putSmallRules(t *testing.T, c chunk.Store) {
	put := func(id store.ChunkID, u chunk.Unit) error {
		_, err := chunk.PutSmall(t.Context(), c, Spec(id), u, SampleLabel())
		return err
	}
	id := NewID()
	requireKind(t, store.Invalid, put(id, chunk.NewUnit(nil, nil)))
	requireKind(t, store.Invalid, put(id, chunk.NewUnit(Bytes(1, unitSize+1), nil)))
	wrong := chunk.NewUnit(Bytes(1, 10), nil)
	wrong.CRC++
	requireKind(t, store.Corrupt, put(id, wrong))
	requireAbsent(t, c, id)
	require.NoError(t, put(id, chunk.NewUnit(Bytes(1, 10), nil)))
	requireKind(t, store.Exists, put(id, chunk.NewUnit(Bytes(2, 10), nil)))
	requireContent(t, c, id, Bytes(1, 10))
}
