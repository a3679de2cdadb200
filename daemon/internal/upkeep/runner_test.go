package upkeep_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/reclaim"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop is a Loop whose Step is a function.
type loop struct {
	name string
	pace upkeep.Pace
	step func(ctx context.Context) (upkeep.Outcome, error)
}

func (l loop) Name() string                                               { return l.name }
func (l loop) Pace() upkeep.Pace                                          { return l.pace }
func (l loop) Step(ctx context.Context, _ uint64) (upkeep.Outcome, error) { return l.step(ctx) }

// gateway is a runner with one loop that counts its steps and takes one second for each.
type gateway struct {
	*upkeep.Runner
	leases *flaky
	steps  atomic.Int64
	active *atomic.Int64 // of all gateways
	most   *atomic.Int64
}

// flaky is a lease store that can be made unavailable.
type flaky struct {
	upkeep.Meta
	mu  sync.Mutex
	err error
}

func (f *flaky) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *flaky) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *flaky) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (store.Lease, error) {
	if err := f.get(); err != nil {
		return store.Lease{}, err
	}
	return f.Meta.AcquireLease(ctx, name, owner, ttl)
}

func (f *flaky) RenewLease(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := f.get(); err != nil {
		return store.Lease{}, err
	}
	return f.Meta.RenewLease(ctx, l, ttl)
}

func (f *flaky) ReleaseLease(ctx context.Context, l store.Lease) error {
	if err := f.get(); err != nil {
		return err
	}
	return f.Meta.ReleaseLease(ctx, l)
}

func newGateway(m *mem.Metadata, name string, active, most *atomic.Int64) *gateway {
	g := &gateway{leases: &flaky{Meta: m}, active: active, most: most}
	g.Runner = upkeep.NewRunner(upkeep.Config{Meta: g.leases, Owner: name, Log: upkeeptest.Quiet, Loops: []upkeep.Loop{loop{name: "work", step: g.step}}})
	return g
}

func (g *gateway) step(ctx context.Context) (upkeep.Outcome, error) {
	g.steps.Add(1)
	g.most.Store(max(g.most.Load(), g.active.Add(1)))
	defer g.active.Add(-1)
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	return upkeep.Outcome{State: upkeep.Busy, Items: 2, Bytes: 10}, nil
}

func TestOneGatewayWorksAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var active, most atomic.Int64
		a, b := newGateway(m, "a", &active, &most), newGateway(m, "b", &active, &most)
		a.Start()
		synctest.Wait()
		b.Start()
		a.Start() // again: nothing
		time.Sleep(time.Minute + time.Millisecond)
		require.EqualValues(t, 1, most.Load())
		require.Zero(t, b.steps.Load())
		status := a.Status()
		require.True(t, status.Leading)
		require.EqualValues(t, 1, status.Term)
		require.Len(t, status.Loops, 1)
		p := status.Loops[0]
		require.Equal(t, "work", p.Loop)
		require.Equal(t, upkeep.Busy, p.State)
		require.EqualValues(t, 60, p.Steps)
		require.EqualValues(t, 120, p.Items)
		require.EqualValues(t, 600, p.Bytes)
		require.Equal(t, time.Second, p.Cost)
		require.Equal(t, upkeep.Standby, b.Status().Loops[0].State)
		require.False(t, b.Status().Leading)

		a.Stop() // releases the lease: b need not wait until it expires
		require.Equal(t, upkeep.Standby, a.Status().Loops[0].State)
		require.False(t, a.Status().Leading)
		time.Sleep(7 * time.Second)
		require.Positive(t, b.steps.Load())
		require.EqualValues(t, 2, b.Status().Term)
		a.Stop() // again: nothing
		a.Start()
		b.Stop()
		time.Sleep(7 * time.Second)
		require.EqualValues(t, 3, a.Status().Term)
		require.EqualValues(t, 1, most.Load())
		a.Stop()
	})
}

func TestAGatewayThatIsCutOffStopsBeforeAnotherBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var active, most atomic.Int64
		a, b := newGateway(m, "a", &active, &most), newGateway(m, "b", &active, &most)
		a.Start()
		synctest.Wait()
		b.Start()
		a.leases.set(upkeeptest.ErrAway)
		begin := time.Now()
		for b.steps.Load() == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		require.Less(t, time.Since(begin), 21*time.Second, "a TTL and the pause between two tries")
		require.EqualValues(t, 1, most.Load())
		require.False(t, a.Status().Leading)
		a.Stop()
		b.Stop()
	})
}

func TestAShortOutageDoesNotEndTheTerm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var active, most atomic.Int64
		a := newGateway(m, "a", &active, &most)
		a.Start()
		time.Sleep(4 * time.Second)
		a.leases.set(upkeeptest.ErrAway)
		time.Sleep(9 * time.Second)
		a.leases.set(nil)
		time.Sleep(30 * time.Second)
		require.EqualValues(t, 1, a.Status().Term)
		a.leases.set(upkeeptest.ErrAway)
		a.Stop() // the lease cannot be released; Stop must return anyway
	})
}

func TestALeaseThatSomebodyTookEndsWorkAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var active, most atomic.Int64
		a := newGateway(m, "a", &active, &most)
		a.Start()
		time.Sleep(4 * time.Second)
		_, err := m.AcquireLease(t.Context(), upkeep.LeaseName, "a", time.Hour) // a restart under the same name
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.False(t, a.Status().Leading)
		a.Stop()
	})
}

// What a leader had claimed when it died is due for the next one at once; when the old leader finishes it later, nothing changes.
func TestANewLeaderTakesOverWhatTheOldOneClaimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		task := store.Task{Kind: store.Repair, Chunk: store.ChunkID{Part: store.NewPartID()}, Node: store.NewNodeID()}
		require.NoError(t, m.Enqueue(t.Context(), []store.Task{task}))
		lease, err := m.AcquireLease(t.Context(), upkeep.LeaseName, "dead", 15*time.Second)
		require.NoError(t, err)
		old, err := m.Claim(t.Context(), store.ClaimQuery{Kind: store.Repair, Term: lease.Term, Limit: 1, Hold: 10 * time.Minute})
		require.NoError(t, err)
		require.Len(t, old, 1)

		claimed := make(chan store.Task, 1)
		claim := func(ctx context.Context, term uint64) (upkeep.Outcome, error) {
			tasks, err := m.Claim(ctx, store.ClaimQuery{Kind: store.Repair, Term: term, Limit: 1, Hold: 10 * time.Minute})
			for _, t := range tasks {
				claimed <- t
			}
			return upkeep.Outcome{State: upkeep.Idle}, err
		}
		r := upkeep.NewRunner(upkeep.Config{Meta: m, Owner: "next", Log: upkeeptest.Quiet, Loops: []upkeep.Loop{termLoop{claim}}})
		begin := time.Now()
		r.Start()
		got := <-claimed
		require.Less(t, time.Since(begin), 22*time.Second, "the lease runs out, and the pause between two tries")
		require.Greater(t, got.Term, lease.Term)
		require.NoError(t, m.Finish(t.Context(), old))
		depth, err := m.Depth(t.Context(), store.Repair)
		require.NoError(t, err)
		require.EqualValues(t, 1, depth.Tasks)
		r.Stop()
	})
}

// termLoop is a Loop that records its term.
type termLoop struct {
	step func(ctx context.Context, term uint64) (upkeep.Outcome, error)
}

func (termLoop) Name() string      { return "claim" }
func (termLoop) Pace() upkeep.Pace { return upkeep.Pace{Every: time.Hour} }
func (j termLoop) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	return j.step(ctx, term)
}

func TestPaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var busy, idle, done, failing atomic.Int64
		count := func(n *atomic.Int64, cost time.Duration, s upkeep.State, err error) func(context.Context) (upkeep.Outcome, error) {
			return func(context.Context) (upkeep.Outcome, error) {
				n.Add(1)
				time.Sleep(cost)
				return upkeep.Outcome{State: s}, err
			}
		}
		broken := errors.New("broken")
		r := upkeep.NewRunner(upkeep.Config{Meta: mem.NewMetadata(), Owner: "a", Log: upkeeptest.Quiet, Loops: []upkeep.Loop{
			loop{"busy", upkeep.Pace{Throttle: 3}, count(&busy, time.Second, upkeep.Busy, nil)},
			loop{"idle", upkeep.Pace{Every: time.Minute}, count(&idle, 0, upkeep.Idle, nil)},
			loop{"done", upkeep.Pace{}, count(&done, 0, upkeep.Done, nil)},
			loop{"failing", upkeep.Pace{}, count(&failing, 0, upkeep.Busy, broken)},
			loop{"panicking", upkeep.Pace{}, func(context.Context) (upkeep.Outcome, error) { panic("no such chunk") }},
		}})
		r.Start()
		time.Sleep(100*time.Second + 500*time.Millisecond)
		require.EqualValues(t, 26, busy.Load(), "a second of work, three of rest")
		require.EqualValues(t, 2, idle.Load())
		require.EqualValues(t, 1, done.Load())
		require.InDelta(t, 7, failing.Load(), 1, "1, 2, 4, 8, 16, 32 s, more or less")
		jobs := r.Status().Loops
		require.Equal(t, []string{"busy", "idle", "done", "failing", "failing"}, []string{
			jobs[0].State.String(), jobs[1].State.String(), jobs[2].State.String(), jobs[3].State.String(), jobs[4].State.String(),
		})
		require.Equal(t, "broken", jobs[3].Error)
		require.Contains(t, jobs[4].Error, "panic: no such chunk")

		r.Kick("idle")
		r.Kick("nobody")
		synctest.Wait()
		require.EqualValues(t, 3, idle.Load(), "a kick ends the wait at once")
		time.Sleep(2 * time.Second)
		require.Equal(t, upkeep.Throttled, r.Status().Loops[0].State)
		r.Stop()
	})
}

func TestAKickDuringAStepIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var steps atomic.Int64
		r := upkeep.NewRunner(upkeep.Config{Meta: mem.NewMetadata(), Owner: "a", Log: upkeeptest.Quiet, Loops: []upkeep.Loop{
			loop{"slow", upkeep.Pace{Every: time.Hour}, func(context.Context) (upkeep.Outcome, error) {
				steps.Add(1)
				time.Sleep(time.Second)
				return upkeep.Outcome{State: upkeep.Idle}, nil
			}},
		}})
		r.Start()
		time.Sleep(500 * time.Millisecond)
		r.Kick("slow")
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 2, steps.Load())
		r.Stop()
	})
}

func TestStartAndStopInAnyOrder(t *testing.T) {
	t.Parallel()
	r := upkeep.NewRunner(upkeep.Config{Meta: mem.NewMetadata(), Owner: "a", TTL: time.Second, Log: upkeeptest.Quiet})
	r.Stop()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				if i%2 == 0 {
					r.Start()
				} else {
					r.Stop()
				}
				_ = r.Status()
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.Run(ctx))
	r.Stop()
}

// End to end: a file is deleted, the runner is kicked, and the chunks are deleted without waiting for Pace.Every.
func TestADeleteIsReclaimedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 6)
		f, _ := c.Put(t, 6, 4, 5000)
		r := upkeep.NewRunner(upkeep.Config{Meta: c.Meta, Owner: "a", Log: upkeeptest.Quiet, Loops: []upkeep.Loop{
			reclaim.New(reclaim.Config{Meta: c.Meta, Fleet: c.Fleet, Log: upkeeptest.Quiet}),
		}})
		r.Start()
		synctest.Wait()
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		begin := time.Now()
		r.Kick(reclaim.Name)
		synctest.Wait()
		require.Zero(t, c.Stored(t))
		require.Zero(t, time.Since(begin))
		require.EqualValues(t, 10, r.Status().Loops[0].Items)
		r.Stop()
	})
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "standby", upkeep.Standby.String())
	require.Equal(t, "done", upkeep.Done.String())
	require.Equal(t, "unknown", upkeep.State(99).String())
}
