package reclaim_test

import (
	"context"
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

func newLoop(c *upkeeptest.Cluster) *reclaim.Loop {
	return reclaim.New(reclaim.Config{Meta: c.Meta, Fleet: c.Fleet, Log: upkeeptest.Quiet})
}

func step(t *testing.T, j *reclaim.Loop) upkeep.Outcome {
	t.Helper()
	out, err := j.Step(t.Context(), 1)
	require.NoError(t, err)
	return out
}

func TestADeletedFileLeavesTheNodes(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, _ := c.Put(t, 6, 4, 5000)
	kept, data := c.Put(t, 6, 4, 5000)
	j := newLoop(c)
	require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, step(t, j))
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	require.Equal(t, upkeep.Outcome{State: upkeep.Busy, Items: 10}, step(t, j))
	require.Equal(t, 10, c.Stored(t))
	require.Zero(t, c.Depth(t, store.Reclaim))
	require.Equal(t, upkeep.Idle, step(t, j).State)
	c.RequireWhole(t, kept, data)
}

func TestANodeThatIsAwayGetsItsDeletesWhenItReturns(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, _ := c.Put(t, 4, 2, 5000)
	away := f.Parts[0].Chunks[3].Node
	c.Kill(away)
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	j := newLoop(c)
	require.EqualValues(t, 5, step(t, j).Items)
	require.Equal(t, upkeep.Idle, step(t, j).State, "the task of the node that is away is not even claimed")
	require.EqualValues(t, 1, c.Depth(t, store.Reclaim))
	c.Revive(away)
	require.EqualValues(t, 1, step(t, j).Items)
	require.Zero(t, c.Stored(t))
}

func TestTasksOfARemovedNodeAreDropped(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, _ := c.Put(t, 4, 2, 5000)
	c.Remove(t, f.Parts[0].Chunks[0].Node)
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	require.EqualValues(t, 6, step(t, newLoop(c)).Items)
	require.Zero(t, c.Depth(t, store.Reclaim))
}

func TestAChunkInUseIsNeverDeleted(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, data := c.Put(t, 4, 2, 5000)
	var tasks []store.Task
	for i, at := range f.Parts[0].Chunks {
		tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: f.Parts[0].ChunkID(i), Node: at.Node, Reason: "by mistake"})
	}
	require.NoError(t, c.Meta.Enqueue(t.Context(), tasks))
	require.EqualValues(t, 6, step(t, newLoop(c)).Items)
	require.Zero(t, c.Depth(t, store.Reclaim))
	c.RequireWhole(t, f, data)
}

// A chunk that was moved is deleted where it was, and stays where it is.
func TestOnlyTheOldPlaceIsCleared(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 7)
	f, _ := c.Put(t, 4, 2, 5000)
	p := f.Parts[0]
	require.NoError(t, c.Meta.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], store.Placement{Node: spare(c, p), Sum: p.Chunks[0].Sum}))
	step(t, newLoop(c))
	_, err := c.Nodes[p.Chunks[0].Node].Stat(t.Context(), p.ChunkID(0))
	require.ErrorIs(t, err, store.NotFound)
	_, err = c.Nodes[p.Chunks[1].Node].Stat(t.Context(), p.ChunkID(1))
	require.NoError(t, err)
}

func spare(c *upkeeptest.Cluster, p store.Part) store.NodeID {
	used := map[store.NodeID]bool{}
	for _, at := range p.Chunks {
		used[at.Node] = true
	}
	for _, id := range c.IDs {
		if !used[id] {
			return id
		}
	}
	return store.NodeID{}
}

func TestFailuresComeBackLaterAndLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 3)
		c.Heartbeat(t)
		f, _ := c.Put(t, 1, 2, 100)
		bad := f.Parts[0].Chunks[0].Node
		c.Nodes[bad].SetHook(mem.Fail(store.Errorf(store.Internal, "the disk says no"), mem.OpDelete))
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		j := newLoop(c)
		require.EqualValues(t, 2, step(t, j).Items, "the others are done all the same")
		for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			require.Equal(t, upkeep.Idle, step(t, j).State)
			time.Sleep(wait + time.Millisecond)
			require.Equal(t, upkeep.Outcome{State: upkeep.Busy}, step(t, j))
		}
		c.Nodes[bad].SetHook(nil)
		time.Sleep(9 * time.Second)
		require.EqualValues(t, 1, step(t, j).Items)
		require.Zero(t, c.Depth(t, store.Reclaim))
	})
}

// A node that does not answer is called once, not once for each of its tasks.
func TestANodeThatDiesMidwayIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 1)
		var tasks []store.Task
		for range 500 {
			tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: store.ChunkID{Part: store.NewPartID()}, Node: c.IDs[0]})
		}
		require.NoError(t, c.Meta.Enqueue(t.Context(), tasks))
		c.Nodes[c.IDs[0]].SetHook(mem.Stall(nil, mem.OpDelete))
		begin := time.Now()
		require.Equal(t, upkeep.Outcome{State: upkeep.Busy}, step(t, newLoop(c)))
		require.Less(t, time.Since(begin), 25*time.Second)
		require.EqualValues(t, 500, c.Depth(t, store.Reclaim))
		require.Equal(t, "suspect", c.Fleet.View().Members[0].Status.String())
	})
}

// counting counts the calls to a store.
type counting struct {
	reclaim.Meta
	lookups, finished atomic.Int64
}

func (c *counting) PartsByID(ctx context.Context, ids []store.PartID) ([]store.Part, error) {
	c.lookups.Add(1)
	return c.Meta.PartsByID(ctx, ids)
}

func (c *counting) Finish(ctx context.Context, tasks []store.Task) error {
	c.finished.Add(1)
	return c.Meta.Finish(ctx, tasks)
}

// A step looks all parts up at once, and each node's tasks are finished at once, whatever their number.
func TestAStepMakesFewCalls(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 3)
	for range 100 {
		f, _ := c.Put(t, 1, 2, 100)
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	}
	meta := &counting{Meta: c.Meta}
	j := reclaim.New(reclaim.Config{Meta: meta, Fleet: c.Fleet, Log: upkeeptest.Quiet})
	require.EqualValues(t, 300, step(t, j).Items)
	require.EqualValues(t, 1, meta.lookups.Load())
	require.EqualValues(t, 3, meta.finished.Load())
	require.Zero(t, c.Stored(t))
}

// A node that hangs delays only its own tasks: those of the others are finished before.
func TestANodeThatHangsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 3)
		f, _ := c.Put(t, 1, 2, 100)
		c.Nodes[c.IDs[0]].SetHook(mem.Stall(nil, mem.OpDelete))
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		done := make(chan upkeep.Outcome, 1)
		go func() {
			out, _ := newLoop(c).Step(context.Background(), 1)
			done <- out
		}()
		synctest.Wait() // the step waits for the node
		require.Empty(t, done)
		require.EqualValues(t, 1, c.Depth(t, store.Reclaim))
		require.Equal(t, 1, c.Stored(t))
		require.EqualValues(t, 2, (<-done).Items)
	})
}

// One chunk that cannot be deleted is tried again; the others of its call are done.
func TestAFailedDeletionFailsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 1)
		c.Heartbeat(t)
		f, _ := c.Put(t, 1, 0, 100)
		g, _ := c.Put(t, 1, 0, 100)
		c.Nodes[c.IDs[0]].SetHook(func(_ context.Context, call mem.Call) error {
			if call.Op == mem.OpDelete && call.ID.Part == f.Parts[0].ID {
				return store.Errorf(store.NoSpace, "no room")
			}
			return nil
		})
		for _, id := range []store.FileID{f.ID, g.ID} {
			require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: id, Attempt: store.NewAttemptID()}))
		}
		j := newLoop(c)
		require.EqualValues(t, 1, step(t, j).Items)
		require.EqualValues(t, 1, c.Depth(t, store.Reclaim))
		c.Nodes[c.IDs[0]].SetHook(nil)
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, step(t, j).Items)
		require.Zero(t, c.Stored(t))
	})
}

func TestALostLeaseGivesTheTasksBack(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, _ := c.Put(t, 4, 2, 5000)
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	ctx, lose := context.WithCancel(t.Context())
	defer lose()
	for _, n := range c.Nodes {
		n.SetHook(func(ctx context.Context, call mem.Call) error {
			if call.Op == mem.OpDelete {
				lose()
				return ctx.Err()
			}
			return nil
		})
	}
	out, err := newLoop(c).Step(ctx, 1)
	require.NoError(t, err)
	require.Zero(t, out.Items)
	for _, n := range c.Nodes {
		n.SetHook(nil)
	}
	require.EqualValues(t, 6, step(t, newLoop(c)).Items, "at once")
}

// lost is a metadata store whose lookups of parts fail.
type lost struct{ reclaim.Meta }

func (lost) PartsByID(context.Context, []store.PartID) ([]store.Part, error) {
	return nil, upkeeptest.ErrAway
}

func TestNothingIsDeletedWithoutTheMetadata(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, _ := c.Put(t, 4, 2, 5000)
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	j := reclaim.New(reclaim.Config{Meta: lost{c.Meta}, Fleet: c.Fleet})
	require.Zero(t, step(t, j).Items)
	require.Equal(t, 6, c.Stored(t))
	require.EqualValues(t, 6, c.Depth(t, store.Reclaim))
}

func TestNoNodes(t *testing.T) {
	t.Parallel()
	require.Equal(t, upkeep.Idle, step(t, newLoop(upkeeptest.New(t, 0))).State)
}

// Chunks of deleted files stay on their nodes for the grace, so that reads in progress complete; where space is short, they are deleted at once.
func TestDeletedFilesHaveAGraceUnlessSpaceIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 6)
		f, data := c.Put(t, 6, 4, 5000)
		j := reclaim.New(reclaim.Config{Meta: c.Meta, Fleet: c.Fleet, Grace: 20 * time.Second, Log: upkeeptest.Quiet})
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		time.Sleep(19 * time.Second)
		require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, step(t, j))
		require.Equal(t, 10, c.Stored(t))
		c.RequireWhole(t, f, data)
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 10, step(t, j).Items)
		require.Zero(t, c.Stored(t))

		f, _ = c.Put(t, 6, 4, 5000)
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		require.Equal(t, upkeep.Idle, step(t, j).State)
		_, err := c.Meta.BeatNodes(t.Context(), []store.Beat{{Node: c.IDs[2], Capacity: store.Capacity{Total: 100 << 30, Free: 9 << 30}}})
		require.NoError(t, err)
		c.Refresh(t)
		require.EqualValues(t, 10, step(t, j).Items)
		require.Zero(t, c.Stored(t))
	})
}

// losing is a store that claims tasks and loses one answer.
type losing struct {
	reclaim.Meta
	lost bool
}

func (l *losing) Claim(ctx context.Context, q store.ClaimQuery) ([]store.Task, error) {
	tasks, err := l.Meta.Claim(ctx, q)
	if !l.lost {
		l.lost = true
		return nil, upkeeptest.ErrAway
	}
	return tasks, err
}

// Tasks that were claimed by a call whose answer was lost do not stay hidden until their hold expires.
func TestAClaimWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, _ := c.Put(t, 6, 4, 5000)
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	j := reclaim.New(reclaim.Config{Meta: &losing{Meta: c.Meta}, Fleet: c.Fleet, Log: upkeeptest.Quiet})
	_, err := j.Step(t.Context(), 1)
	require.ErrorIs(t, err, store.Unavailable)
	require.EqualValues(t, 10, step(t, j).Items)
	require.Zero(t, c.Stored(t))
}
