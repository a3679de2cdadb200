package chunktest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// unitSize is small, so that chunks of many units stay cheap.
const unitSize = 4096

// patience bounds waits for events that must happen; only a failing test uses it up.
const patience = 30 * time.Second

// NewID returns an unused chunk id.
func NewID() store.ChunkID { return store.ChunkID{Part: store.NewPartID(), Index: 3} }

// Spec returns a spec with the suite's unit size and no hint.
func Spec(id store.ChunkID) chunk.Spec { return chunk.Spec{ID: id, UnitSize: unitSize} }

// Bytes returns n pseudo-random bytes that depend only on seed.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1}).Read(b)
	return b
}

// SampleLabel returns a label with a different value in every field.
func SampleLabel() chunk.Label {
	return chunk.Label{
		File:        store.NewFileID(),
		Bucket:      "photos.example",
		Key:         "summer/ä b+c/../%2F\n.jpg",
		ContentType: "image/jpeg; charset=binary",
		CreatedAt:   1_700_000_000_123_456,
		FileSize:    10<<30 + 7,
		PartNumber:  12,
		PartOffset:  5 << 30,
		PartSize:    3<<30 + 1,
		PartCRC64:   0xfedc_ba98_7654_3210,
		K:           6,
		M:           4,
		UnitSize:    unitSize,
	}
}

// cut splits data into units; the last may be short.
func cut(data []byte, size int) []chunk.Unit {
	var units []chunk.Unit
	for len(data) > 0 {
		n := min(size, len(data))
		units = append(units, chunk.NewUnit(data[:n:n], nil))
		data = data[n:]
	}
	return units
}

// write stores units in the usual way and returns the first error of any step.
func write(ctx context.Context, c chunk.Store, spec chunk.Spec, units []chunk.Unit, label chunk.Label) (chunk.Info, error) {
	w, err := c.Create(ctx, spec)
	if err != nil {
		for _, u := range units {
			u.Release()
		}
		return chunk.Info{}, err
	}
	defer w.Abort()
	for i, u := range units {
		if err := w.Append(u); err != nil {
			for _, rest := range units[i+1:] {
				rest.Release()
			}
			return chunk.Info{}, err
		}
	}
	return w.Commit(label)
}

// Put stores data under id, and checks the returned information.
func Put(t testing.TB, c chunk.Store, id store.ChunkID, data []byte) chunk.Info {
	t.Helper()
	info, err := write(context.Background(), c, Spec(id), cut(data, unitSize), SampleLabel())
	require.NoError(t, err)
	require.Equal(t, int64(len(data)), info.Size)
	require.Equal(t, SumOf(data, unitSize), info.Sum)
	return info
}

// SumOf computes a chunk's sum naively.
func SumOf(data []byte, size int) (sum store.ChunkSum) {
	for _, u := range cut(data, size) {
		sum = sum.Add(u.CRC)
	}
	return sum
}

// readRange reads units and joins them; every unit is checked and released.
func readRange(ctx context.Context, c chunk.Store, id store.ChunkID, first, count int) ([]byte, error) {
	r, err := c.Open(ctx, id, first, count)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var data []byte
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return data, r.Close()
		}
		if err != nil {
			return data, err
		}
		bad := u.Check()
		data = append(data, u.Data...)
		u.Release()
		if bad != nil {
			return data, bad
		}
	}
}

// Read reads a whole chunk.
func Read(ctx context.Context, c chunk.Store, id store.ChunkID) ([]byte, error) {
	return readRange(ctx, c, id, 0, -1)
}

// requireContent checks that the chunk exists and holds data.
func requireContent(t testing.TB, c chunk.Store, id store.ChunkID, data []byte) {
	t.Helper()
	got, err := Read(context.Background(), c, id)
	require.NoError(t, err)
	require.True(t, string(data) == string(got), "chunk %s: %d bytes differ from the %d written", id, len(got), len(data))
	info, err := c.Stat(context.Background(), id)
	require.NoError(t, err)
	require.Equal(t, int64(len(data)), info.Size)
}

// requireAbsent checks that no call shows the chunk.
func requireAbsent(t testing.TB, c chunk.Store, id store.ChunkID) {
	t.Helper()
	ctx := context.Background()
	_, err := c.Stat(ctx, id)
	require.ErrorIs(t, err, store.NotFound)
	_, err = Read(ctx, c, id)
	require.ErrorIs(t, err, store.NotFound)
	all, err := c.List(ctx, store.ChunkID{}, 1000)
	require.NoError(t, err)
	for _, info := range all {
		require.NotEqual(t, id, info.ID, "List shows a chunk that is absent")
	}
}

// requireKind requires an error of a kind.
func requireKind(t testing.TB, want store.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want.String(), store.KindOf(err).String(), "%v", err)
}

// ledger lends units and checks that each is released exactly once.
type ledger struct {
	t     testing.TB
	units []*lent
}

type lent struct {
	data  []byte
	count atomic.Int32
	back  chan struct{} // closed by the first Release
}

// Release overwrites the bytes, so that a later use is detected by a wrong checksum.
func (l *lent) Release() {
	if l.count.Add(1) == 1 {
		for i := range l.data {
			l.data[i] ^= 0xff
		}
		close(l.back)
	}
}

// Abandon counts as the release. It leaves the bytes, which may still be read.
func (l *lent) Abandon() {
	if l.count.Add(1) == 1 {
		close(l.back)
	}
}

// lend wraps every unit of a copy of data.
func (l *ledger) lend(data []byte, size int) []chunk.Unit {
	units := cut(append([]byte(nil), data...), size)
	for i := range units {
		one := &lent{data: units[i].Data, back: make(chan struct{})}
		l.units = append(l.units, one)
		units[i].Owner = one
	}
	return units
}

// requireReleased waits until all units are released; the contract allows that after the call returned.
func (l *ledger) requireReleased() {
	l.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for i, one := range l.units {
		select {
		case <-one.back:
		case <-timeout.C:
			require.FailNow(l.t, "a unit was never released", "unit %d of %d", i, len(l.units))
		}
	}
	for i, one := range l.units {
		require.EqualValues(l.t, 1, one.count.Load(), "unit %d was released more than once", i)
	}
}

// await waits for a signal that must come.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "the signal did not arrive in time", what)
		panic("unreachable")
	}
}
