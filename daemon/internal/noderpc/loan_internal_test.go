package noderpc

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// forget lends a unit and drops the buffer, as gRPC does with streams that broke.
func forget(u store.Unit, pending *atomic.Int64) {
	b := lend(u, pending)
	b.Ref()
	b.Free()
	_ = mem.BufferSlice{b}
}

type signal chan struct{}

func (s signal) Release() { close(s) }

// What the transport forgot comes back, and the watch ends when nothing is owed.
func TestCollector_BringsBackWhatWasForgotten(t *testing.T) {
	t.Parallel()
	var c collector
	back, pending := make(signal), new(atomic.Int64)
	forget(store.NewUnit(make([]byte, copyBelow), back), pending)
	c.watch(pending)
	select {
	case <-back:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the unit never came back")
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.timer == nil && len(c.owing) == 0 && pending.Load() == 0
	}, 30*time.Second, time.Millisecond)
	c.close()
}

func TestCollector_WatchesNothingThatIsSettled(t *testing.T) {
	t.Parallel()
	var c collector
	c.watch(new(atomic.Int64))
	require.Nil(t, c.timer)
	c.close()
	owed := new(atomic.Int64)
	owed.Add(1)
	c.watch(owed)
	require.Nil(t, c.timer, "a closed client starts no timer")
}

// A unit that belongs to the garbage collector is lent without accounts.
func TestLend_WithoutOwner(t *testing.T) {
	t.Parallel()
	pending := new(atomic.Int64)
	b := lend(store.NewUnit([]byte("x"), nil), pending)
	require.Zero(t, pending.Load())
	b.Free()
}

func TestJoiner_IntervalIsTheShorterOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ own, cluster, want time.Duration }{
		{0, 0, DefaultHeartbeat},
		{time.Second, 0, time.Second},
		{0, time.Second, time.Second},
		{time.Second, time.Minute, time.Second},
		{time.Minute, time.Second, time.Second},
	} {
		j := &Joiner{config: JoinerConfig{Heartbeat: c.own}}
		require.Equal(t, c.want, j.interval(c.cluster), "%v", c)
	}
}
