package upkeep_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// jobRunner is a runner of jobs on the store, started.
func jobRunner(meta upkeep.Meta, owner string, jobs ...upkeep.Job) *upkeep.Runner {
	r := upkeep.NewRunner(upkeep.Config{Meta: meta, Owner: owner, Log: upkeeptest.Quiet, Jobs: jobs})
	r.Start()
	return r
}

// countTo creates a job that counts.
func countTo(t *testing.T, m *mem.Metadata, target string, n int) store.JobID {
	t.Helper()
	j, err := m.CreateJob(t.Context(), store.Job{ID: store.NewJobID(), Kind: "count", Target: target, Args: fmt.Appendf(nil, `{"to": %d}`, n)})
	require.NoError(t, err)
	return j.ID
}

func jobOf(t *testing.T, m *mem.Metadata, id store.JobID) store.Job {
	t.Helper()
	j, err := m.Job(t.Context(), id)
	require.NoError(t, err)
	return j
}

// counts are the numbers from one to another.
func counts(from, to int64) (all []int64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestAJobRunsToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		count := &upkeeptest.Count{Cost: 100 * time.Millisecond}
		r := jobRunner(m, "a", count)
		synctest.Wait()
		id := countTo(t, m, "", 45)
		time.Sleep(4 * time.Second)
		j := jobOf(t, m, id)
		require.Equal(t, store.JobRunning, j.State)
		require.Equal(t, "a", j.Owner)
		require.InDelta(t, 25, j.Done.Items, 10, "it began within a second, and its progress is stored every second")
		require.Equal(t, store.Amount{Items: 45}, j.Total)
		require.InDelta(t, 10, j.Rate.Items, 1)
		require.InDelta(t, 100, j.Rate.Bytes, 10)
		time.Sleep(3 * time.Second)
		j = jobOf(t, m, id)
		require.Equal(t, store.JobDone, j.State)
		require.Equal(t, store.Amount{Items: 45, Bytes: 450}, j.Done)
		require.Zero(t, j.Rate)
		require.Equal(t, counts(1, 45), count.Steps())
		r.Stop()
	})
}

// A leader that vanishes saves nothing any more. The next one continues at the last cursor that was saved.
func TestAJobContinuesAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		id := countTo(t, m, "", 100)
		dying, next := &upkeeptest.Count{Cost: 100 * time.Millisecond}, &upkeeptest.Count{Cost: 100 * time.Millisecond}
		away := &cutOff{Metadata: m}
		a := jobRunner(away, "a", dying)
		synctest.Wait()
		b := jobRunner(m, "b", next)
		time.Sleep(2550 * time.Millisecond)
		away.cut.Store(true)
		time.Sleep(40 * time.Second)
		j := jobOf(t, m, id)
		require.Equal(t, store.JobDone, j.State)
		require.Equal(t, "b", j.Owner)
		require.EqualValues(t, 100, j.Done.Items)
		steps := next.Steps()
		require.InDelta(t, 20, steps[0], 6, "what was saved is not done again")
		require.Equal(t, counts(steps[0], 100), steps)
		a.Stop()
		b.Stop()
	})
}

// cutOff is a store that does not answer once it is cut off.
type cutOff struct {
	*mem.Metadata
	cut atomic.Bool
}

func (c *cutOff) err() error {
	if c.cut.Load() {
		return upkeeptest.ErrAway
	}
	return nil
}

func (c *cutOff) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (store.Lease, error) {
	if err := c.err(); err != nil {
		return store.Lease{}, err
	}
	return c.Metadata.AcquireLease(ctx, name, owner, ttl)
}

func (c *cutOff) RenewLease(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := c.err(); err != nil {
		return store.Lease{}, err
	}
	return c.Metadata.RenewLease(ctx, l, ttl)
}

func (c *cutOff) SaveJob(ctx context.Context, p store.JobProgress) (store.Job, error) {
	if err := c.err(); err != nil {
		return store.Job{}, err
	}
	return c.Metadata.SaveJob(ctx, p)
}

// A leader that is stopped hands its job over where it is.
func TestAJobContinuesAfterAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		id := countTo(t, m, "", 30)
		first, second := &upkeeptest.Count{Cost: 100 * time.Millisecond}, &upkeeptest.Count{Cost: 100 * time.Millisecond}
		a := jobRunner(m, "a", first)
		time.Sleep(1750 * time.Millisecond)
		a.Stop()
		require.EqualValues(t, 17, jobOf(t, m, id).Done.Items)
		b := jobRunner(m, "b", second)
		time.Sleep(5 * time.Second)
		require.Equal(t, store.JobDone, jobOf(t, m, id).State)
		require.Equal(t, counts(18, 30), second.Steps())
		b.Stop()
	})
}

// A leader that does not notice that another one has taken over stops working on the job as soon as it saves.
func TestAnOldLeaderIsFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		id := countTo(t, m, "", 1000)
		old := &upkeeptest.Count{Cost: 100 * time.Millisecond}
		a := jobRunner(m, "a", old)
		time.Sleep(2 * time.Second)
		j := jobOf(t, m, id)
		_, err := m.ClaimJob(t.Context(), store.JobClaim{ID: id, Owner: "b", Term: j.Term + 1})
		require.NoError(t, err)
		want := jobOf(t, m, id)
		time.Sleep(5 * time.Second)
		require.Equal(t, want, jobOf(t, m, id))
		require.Less(t, len(old.Steps()), 40)
		steps := len(old.Steps())
		time.Sleep(5 * time.Second)
		require.Len(t, old.Steps(), steps)
		a.Stop()
	})
}

func TestAJobIsPausedResumedAndCanceled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		id, other := countTo(t, m, "", 1000), countTo(t, m, "other", 5)
		count := &upkeeptest.Count{Cost: 100 * time.Millisecond}
		r := jobRunner(m, "a", count)
		time.Sleep(3 * time.Second)
		wish := func(w store.JobWish) {
			_, err := m.WishJob(t.Context(), id, w, "AKIA")
			require.NoError(t, err)
			time.Sleep(1500 * time.Millisecond)
		}
		wish(store.WishPause)
		j := jobOf(t, m, id)
		require.Equal(t, store.JobPaused, j.State)
		time.Sleep(time.Minute)
		require.Equal(t, j, jobOf(t, m, id))
		require.Equal(t, store.JobDone, jobOf(t, m, other).State, "another job of the kind runs meanwhile")
		wish(store.WishRun)
		require.Equal(t, store.JobRunning, jobOf(t, m, id).State)
		wish(store.WishCancel)
		j = jobOf(t, m, id)
		require.Equal(t, store.JobCanceled, j.State)
		steps := len(count.Steps())
		require.EqualValues(t, steps-5, j.Done.Items, "all that was done counts")
		time.Sleep(time.Minute)
		require.Len(t, count.Steps(), steps)
		r.Stop()
	})
}

// Wishes are obeyed also for a job that waits, that is paused, or that no gateway has begun.
func TestWishesOfJobsThatDoNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		wish := func(id store.JobID, w store.JobWish) {
			_, err := m.WishJob(t.Context(), id, w, "")
			require.NoError(t, err)
		}
		paused, canceled := countTo(t, m, "paused", 1), countTo(t, m, "canceled", 1)
		wish(paused, store.WishPause)
		wish(canceled, store.WishCancel)
		idle := &upkeeptest.Count{
			Fail: func(int64) (upkeep.Advance, error) {
				return upkeep.Advance{State: upkeep.Idle, Reason: "node n1 is away"}, nil
			}, Pacing: upkeep.Pace{Every: time.Hour},
		}
		r := jobRunner(m, "a", idle)
		time.Sleep(2 * time.Second)
		require.Equal(t, store.JobPaused, jobOf(t, m, paused).State)
		require.Equal(t, store.JobCanceled, jobOf(t, m, canceled).State)
		require.True(t, jobOf(t, m, canceled).StartedAt.IsZero())
		wish(paused, store.WishCancel)
		waiting := countTo(t, m, "waiting", 1)
		time.Sleep(2 * time.Second)
		require.Equal(t, store.JobCanceled, jobOf(t, m, paused).State)
		j := jobOf(t, m, waiting)
		require.Equal(t, store.JobRunning, j.State)
		require.Equal(t, "node n1 is away", j.Reason)
		wish(waiting, store.WishCancel)
		time.Sleep(2 * time.Second)
		require.Equal(t, store.JobCanceled, jobOf(t, m, waiting).State)
		r.Stop()
	})
}

func TestErrorsOfJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		var refused atomic.Int64
		count := &upkeeptest.Count{Cost: 100 * time.Millisecond, Fail: func(at int64) (upkeep.Advance, error) {
			switch {
			case at == 2 && refused.Add(1) <= 3:
				return upkeep.Advance{}, store.Errorf(store.Unavailable, "node n1 does not answer")
			case at == 4:
				return upkeep.Advance{}, store.Errorf(store.Invalid, "node n1 is not a member")
			case at == 7:
				panic("no such part")
			}
			return upkeep.Advance{State: upkeep.Busy}, nil
		}}
		id := countTo(t, m, "", 9)
		r := jobRunner(m, "a", count)
		time.Sleep(3 * time.Second)
		j := jobOf(t, m, id)
		require.Equal(t, store.JobRunning, j.State)
		require.Contains(t, j.Reason, "does not answer")
		time.Sleep(15 * time.Second)
		j = jobOf(t, m, id)
		require.Equal(t, store.JobFailed, j.State)
		require.Contains(t, j.Reason, "not a member")
		require.EqualValues(t, 4, j.Done.Items)
		require.EqualValues(t, 4, refused.Load(), "an error that may pass is retried")

		bad, err := m.CreateJob(t.Context(), store.Job{ID: store.NewJobID(), Kind: "count", Args: []byte(`[]`)})
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.Equal(t, store.JobFailed, jobOf(t, m, bad.ID).State)
		r.Stop()
	})
}

func TestAPanicFailsTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		id := countTo(t, m, "", 1)
		r := jobRunner(m, "a", &upkeeptest.Count{Fail: func(int64) (upkeep.Advance, error) { panic("no such part") }})
		time.Sleep(time.Second)
		require.Equal(t, store.JobFailed, jobOf(t, m, id).State)
		require.Contains(t, jobOf(t, m, id).Reason, "no such part")
		r.Stop()
	})
}

// A job of a kind that the leader does not know stays queued and says why, until a gateway leads that knows it.
func TestUnknownKindsWaitForAGatewayThatKnowsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		old := jobRunner(m, "old")
		id, gone := countTo(t, m, "", 3), countTo(t, m, "gone", 3)
		_, err := m.WishJob(t.Context(), gone, store.WishCancel, "")
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		j := jobOf(t, m, id)
		require.Equal(t, store.JobQueued, j.State)
		require.Contains(t, j.Reason, "does not know this kind")
		require.Equal(t, store.JobCanceled, jobOf(t, m, gone).State)
		page, err := m.EventsAfter(t.Context(), 0, 100)
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		again, err := m.EventsAfter(t.Context(), page.Head, 100)
		require.NoError(t, err)
		require.Empty(t, again.Events, "it is explained once")
		old.Stop()

		r := jobRunner(m, "new", &upkeeptest.Count{})
		time.Sleep(2 * time.Second)
		j = jobOf(t, m, id)
		require.Equal(t, store.JobDone, j.State)
		require.Empty(t, j.Reason)
		r.Stop()
	})
}
