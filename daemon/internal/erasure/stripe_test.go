package erasure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// TestStripesCarryABody sends bodies of any length through stripes and puts
// them together again from the data units alone.
func TestStripesCarryABody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := Layout{K: rapid.IntRange(1, 7).Draw(t, "k"), M: rapid.IntRange(0, 4).Draw(t, "m"), UnitSize: rapid.IntRange(1, 64).Draw(t, "unit")}
		body := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "body")
		known := rapid.Bool().Draw(t, "size known")
		code, err := New(l.K, l.M)
		require.NoError(t, err)
		pool := NewPool(1 << 20)
		src := iotest.HalfReader(bytes.NewReader(body))
		var back []byte
		for stripe, ended := 0, false; !ended; stripe++ {
			expect := 0
			if known {
				expect = l.DataLen(int64(len(body)), stripe)
			}
			s, err := pool.Stripe(t.Context(), l, expect)
			require.NoError(t, err)
			err = s.Fill(src)
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
	units, err := s.Units(code, nil)
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

// A client that goes away must not look like the end of its body.
func TestFillTellsABrokenBodyFromItsEnd(t *testing.T) {
	t.Parallel()
	l := Layout{K: 2, M: 1, UnitSize: 8}
	s, err := NewPool(1<<20).Stripe(t.Context(), l, 0)
	require.NoError(t, err)
	defer s.Release()
	broken := io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(io.ErrUnexpectedEOF))
	require.ErrorIs(t, s.Fill(broken), io.ErrUnexpectedEOF)
	require.Equal(t, "abc", string(s.Data()))
}

func TestShareHandsOutWholeCopies(t *testing.T) {
	t.Parallel()
	pool := NewPool(1 << 20)
	s, err := pool.Stripe(t.Context(), Layout{K: 1, M: 2, UnitSize: 64}, 5)
	require.NoError(t, err)
	require.NoError(t, s.Fill(bytes.NewReader([]byte("hello"))), "full before the end was seen")
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

// TestPoolWaitsInsteadOfFailing has far more writers than memory.
func TestPoolWaitsInsteadOfFailing(t *testing.T) {
	t.Parallel()
	l := Layout{K: 4, M: 2, UnitSize: 1 << 10}
	pool := NewPool(3 * 8 << 10)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				s, err := pool.Stripe(context.Background(), l, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if used := pool.Used(); used > pool.Budget() {
					t.Errorf("%d bytes lent out of %d", used, pool.Budget())
				}
				s.Release()
			}
		})
	}
	wg.Wait()
	require.Zero(t, pool.Used())
}

func TestPoolEndsTheWaitWithTheContext(t *testing.T) {
	t.Parallel()
	l := Layout{K: 1, M: 0, UnitSize: 1 << 10}
	pool := NewPool(1 << 10)
	held, err := pool.Stripe(t.Context(), l, 0)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pool.Stripe(ctx, l, 0)
	require.ErrorIs(t, err, context.Canceled)
	held.Release()
	require.Panics(t, held.Release, "a second release is a defect")

	_, err = pool.Stripe(t.Context(), Layout{K: 2, M: 0, UnitSize: 1 << 10}, 0)
	require.ErrorIs(t, err, store.TooLarge, "what can never fit is refused, not waited for")
}
