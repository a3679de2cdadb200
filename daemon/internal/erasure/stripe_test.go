package erasure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/writemem"
)

// lender returns write memory for a test.
func lender(t testing.TB, budget int64, unit int) (*writemem.Pool, *writemem.Upload) {
	pool := writemem.New(writemem.Config{Budget: budget, Unit: unit, Largest: MaxMemory(unit)})
	up := pool.Open(writemem.Client{Most: -1})
	t.Cleanup(up.Close)
	return pool, up
}

// pour fills the stripe from r until it is full or r ends.
func pour(ctx context.Context, s *Stripe, r io.Reader) error {
	for !s.Full() {
		if len(s.Space()) == 0 {
			if err := s.Extend(ctx); err != nil {
				return err
			}
		}
		n, err := r.Read(s.Space())
		s.Add(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// TestStripesCarryABody cuts bodies of any length into stripes and reassembles
// them from the data units alone, whether their size was announced or not.
func TestStripesCarryABody(t *testing.T) {
	t.Parallel()
	pool, up := lender(t, 8<<20, 64)
	rapid.Check(t, func(t *rapid.T) {
		l := Layout{K: rapid.IntRange(1, 7).Draw(t, "k"), M: rapid.IntRange(0, 4).Draw(t, "m"), UnitSize: rapid.IntRange(1, 64).Draw(t, "unit")}
		body := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "body")
		known := rapid.Bool().Draw(t, "size known")
		code, err := New(l.K, l.M)
		require.NoError(t, err)
		src := iotest.HalfReader(bytes.NewReader(body))
		var back []byte
		for stripe, ended := 0, false; !ended; stripe++ {
			expect := 0
			if known {
				expect = l.DataLen(int64(len(body)), stripe)
			}
			s, err := rapid.SampledFrom([]func(*writemem.Upload, Layout, int) (*Stripe, error){NewStripe, NewFirstStripe}).Draw(t, "new")(up, l, expect)
			require.NoError(t, err)
			err = pour(context.Background(), s, src)
			ended = errors.Is(err, io.EOF)
			if !ended {
				require.NoError(t, err)
				require.True(t, s.Full())
			}
			n := s.Len()
			require.Equal(t, l.DataLen(int64(len(body)), stripe), n)
			if n > 0 {
				back = append(back, unitsOf(t, s, code, l, n)...)
			}
			s.Release()
		}
		require.Equal(t, len(body), len(back))
		require.True(t, bytes.Equal(body, back))
		require.Zero(t, pool.Used(), "all memory came back")
	})
}

func unitsOf(t *rapid.T, s *Stripe, code *Code, l Layout, n int) []byte {
	units, err := s.Units(context.Background(), code, nil)
	require.NoError(t, err)
	require.Len(t, units, l.Width())
	var data []byte
	for i, u := range units {
		require.NoError(t, u.Check())
		require.Len(t, u.Data, (n+l.K-1)/l.K)
		if i < l.K {
			data = append(data, u.Data...)
		}
		if l.K == 1 {
			require.Equal(t, units[0].Data, u.Data)
		}
	}
	for _, u := range units {
		u.Release()
	}
	return data[:n]
}

// Memory is taken as bytes arrive: in the first unit at most four times what
// has arrived, then at most one unit more.
func TestStripeHoldsWhatArrived(t *testing.T) {
	t.Parallel()
	const unit = 256 << 10
	l := Layout{K: 6, M: 4, UnitSize: unit}
	code, err := New(l.K, l.M)
	require.NoError(t, err)
	pool, up := lender(t, 64<<20, unit)
	s, err := NewFirstStripe(up, l, 0)
	require.NoError(t, err)
	require.Zero(t, pool.Used(), "nothing has arrived")
	body := bytes.Repeat([]byte("0123456789abcdef"), 50<<10/16*16)
	for off := 0; off < len(body); {
		n := min(1000, len(body)-off)
		require.ErrorIs(t, pour(t.Context(), s, bytes.NewReader(body[off:off+n])), io.EOF)
		off += n
		require.LessOrEqual(t, pool.Used(), int64(max(4<<10, min(4*off, off+unit))), "after %d bytes", off)
	}
	units, err := s.Units(t.Context(), code, nil)
	require.NoError(t, err)
	s.Release()
	var back []byte
	for i, u := range units {
		require.NoError(t, u.Check())
		if i < l.K {
			back = append(back, u.Data...)
		}
		before := pool.Used()
		u.Release()
		require.Less(t, pool.Used(), before, "each unit's memory returns by itself")
	}
	require.True(t, bytes.Equal(body, back[:len(body)]))
	require.Zero(t, pool.Used())
}

func TestShareHandsOutWholeCopies(t *testing.T) {
	t.Parallel()
	pool, up := lender(t, 1<<20, 64)
	s, err := NewStripe(up, Layout{K: 1, M: 2, UnitSize: 64}, 5)
	require.NoError(t, err)
	require.NoError(t, pour(t.Context(), s, bytes.NewReader([]byte("hello"))), "full before the end was seen")
	units := s.Share(3)
	s.Release()
	for _, u := range units {
		require.Equal(t, "hello", string(u.Data))
		require.NoError(t, u.Check())
		require.NotZero(t, pool.Used())
		u.Release()
	}
	require.Zero(t, pool.Used())
}

func TestStripeThatNeverFitsIsRefused(t *testing.T) {
	t.Parallel()
	_, up := lender(t, 1<<10, 1<<10)
	_, err := NewStripe(up, Layout{K: 2, M: 0, UnitSize: 1 << 10}, 0)
	require.ErrorIs(t, err, store.TooLarge, "not waited for")
}
