package transfer

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

func TestLanes_FollowWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	l := NewLanes(8)
	busy := fault.New(problem.Unavailable, "busy")
	take := func(n int) (taken []*lane) {
		for range n {
			ln, err := l.take(t.Context())
			require.NoError(t, err)
			taken = append(taken, ln)
		}
		return taken
	}
	four := take(4)
	require.Equal(t, 4, int(l.open), "half of the most to begin with")
	for _, ln := range four {
		ln.give(nil)
	}
	require.Equal(t, 4, int(l.open))
	for range 200 {
		take(1)[0].give(nil)
	}
	require.Equal(t, 8, int(l.open), "never more than the most")
	together := take(8)
	for _, ln := range together {
		ln.give(busy)
	}
	require.Equal(t, 4, int(l.open), "one sign of trouble, not eight")
	take(1)[0].give(fault.New(problem.Corrupt, "not the server's load"))
	require.Equal(t, 4, int(l.open))
	for range 10 {
		take(1)[0].give(busy)
	}
	require.Equal(t, 1, int(l.open), "never fewer than one")
}

func TestLanes_Wait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLanes(1)
		first, err := l.take(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var got atomic.Int64
		go func() {
			_, err := l.take(ctx)
			if err != nil {
				got.Add(100)
			}
		}()
		go func() {
			time.Sleep(time.Second)
			ln, err := l.take(t.Context())
			if err == nil {
				got.Add(1)
				ln.give(nil)
			}
		}()
		time.Sleep(2 * time.Second)
		cancel()
		synctest.Wait()
		require.EqualValues(t, 100, got.Load())
		first.give(nil)
		synctest.Wait()
		require.EqualValues(t, 101, got.Load(), "who gave up does not keep the next waiting")
	})
}

func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &Manager{Limit: NewLimit(1 << 20)}
		began := time.Now()
		n, err := io.Copy(io.Discard, struct{ io.Reader }{m.limited(t.Context(), bytes.NewReader(make([]byte, 10<<20)))})
		require.NoError(t, err)
		require.EqualValues(t, 10<<20, n)
		require.InDelta(t, 10, time.Since(began).Seconds(), 0.2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = m.limited(ctx, bytes.NewReader(make([]byte, 10<<20))).Read(make([]byte, 1<<20))
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestLanes_AreFreeOnceTheBytesAreThrough(t *testing.T) {
	t.Parallel()
	l := NewLanes(2)
	first, err := l.take(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, int(l.open))
	for range 2 {
		first.sent()
		require.Zero(t, l.busy)
	}
	second, err := l.take(t.Context())
	require.NoError(t, err)
	first.give(nil)
	require.Equal(t, 1, l.busy, "the second still has its own")
	require.Equal(t, 2, int(l.open), "and how the first went counts")
	second.give(nil)
	require.Zero(t, l.busy)
}
