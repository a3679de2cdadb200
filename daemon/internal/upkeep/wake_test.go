package upkeep_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/reclaim"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// counting counts the wake-ups that are stored, and can refuse them.
type counting struct {
	*mem.Metadata
	calls atomic.Int64
	away  atomic.Bool
}

func (c *counting) WakeLoops(ctx context.Context, names []string) error {
	c.calls.Add(1)
	if c.away.Load() {
		return upkeeptest.ErrAway
	}
	return c.Metadata.WakeLoops(ctx, names)
}

// idleLoop is a loop that counts its steps and finds nothing to do for an hour.
func idleLoop(steps *atomic.Int64) upkeep.Loop {
	return loop{"idle", upkeep.Pace{Every: time.Hour}, func(context.Context) (upkeep.Outcome, error) {
		steps.Add(1)
		return upkeep.Outcome{State: upkeep.Idle}, nil
	}}
}

// End to end: a file is deleted through the gateway on standby, which wakes the leader; its chunks are deleted promptly.
func TestADeleteOnStandbyIsReclaimedPromptly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 6)
		f, _ := c.Put(t, 6, 4, 5000)
		gateway := func(name string, m *mem.Metadata) *upkeep.Runner {
			slow := lazy{reclaim.New(reclaim.Config{Meta: m, Fleet: c.Fleet, Log: upkeeptest.Quiet})}
			r := upkeep.NewRunner(upkeep.Config{Meta: m, Owner: name, Log: upkeeptest.Quiet, Loops: []upkeep.Loop{slow}})
			r.Start()
			synctest.Wait()
			return r
		}
		other := c.Meta.Reopen()
		leader, standby := gateway("a", c.Meta), gateway("b", other)
		time.Sleep(3 * time.Second)
		require.True(t, leader.Status().Leading)
		require.NoError(t, other.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		standby.Kick(reclaim.Name)
		time.Sleep(1100 * time.Millisecond)
		require.Zero(t, c.Stored(t))
		require.Zero(t, standby.Status().Loops[0].Steps)
		leader.Stop()
		standby.Stop()
	})
}

// lazy is a loop that looks for work only when it is woken.
type lazy struct{ upkeep.Loop }

func (lazy) Pace() upkeep.Pace { return upkeep.Pace{Every: time.Hour} }

func TestWakeUpsAreStoredAFewTimesASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var led, idled atomic.Int64
		leader := upkeep.NewRunner(upkeep.Config{Meta: m, Owner: "a", Log: upkeeptest.Quiet, Loops: []upkeep.Loop{idleLoop(&led)}})
		leader.Start()
		synctest.Wait()
		meta := &counting{Metadata: m}
		standby := upkeep.NewRunner(upkeep.Config{Meta: meta, Owner: "b", Log: upkeeptest.Quiet, Loops: []upkeep.Loop{idleLoop(&idled)}})
		standby.Start()
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, led.Load())
		for range 1000 {
			standby.Kick("idle")
			standby.Kick("no loop of that name")
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, meta.calls.Load(), int64(5))
		time.Sleep(2 * time.Second)
		steps := led.Load()
		require.Greater(t, steps, int64(1))
		counts, err := m.Wakeups(t.Context())
		require.NoError(t, err)
		require.Len(t, counts, 1, "a name that is not a loop's is not stored")

		calls := meta.calls.Load()
		leader.Kick("idle")
		synctest.Wait()
		require.Equal(t, steps+1, led.Load(), "on the leader at once")
		require.Equal(t, calls, meta.calls.Load())

		meta.away.Store(true) // what cannot be stored is kept
		standby.Kick("idle")
		time.Sleep(10 * time.Second)
		require.Equal(t, steps+1, led.Load())
		meta.away.Store(false)
		time.Sleep(20 * time.Second)
		require.Equal(t, steps+2, led.Load())
		require.Zero(t, idled.Load())
		leader.Stop()
		standby.Kick("idle")
		standby.Stop()
	})
}

// What the leader's loops do is read through any gateway, and is as old as it says.
func TestTheLeaderReportsItsLoops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var active, most atomic.Int64
		a := newGateway(m, "a", &active, &most)
		a.Start()
		time.Sleep(30*time.Second + 500*time.Millisecond)
		r, err := m.Reopen().LoopReport(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a", r.Owner)
		require.EqualValues(t, 1, r.Term)
		require.Len(t, r.Loops, 1)
		require.Equal(t, "work", r.Loops[0].Name)
		require.Equal(t, "busy", r.Loops[0].State)
		require.InDelta(t, 2*30, r.Loops[0].Items, 14, "the report is at most 6 s old")
		require.Less(t, r.Loops[0].Idle, time.Second)
		require.Less(t, r.Age, 7*time.Second)
		a.Stop()
		time.Sleep(time.Minute)
		r, err = m.LoopReport(t.Context())
		require.NoError(t, err)
		require.Greater(t, r.Age, time.Minute)
	})
}
