package repair_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/reclaim"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/repair"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node that returns while a chunk is rebuilt elsewhere gets it in a second move: a review of all parts may have run between.
func TestANodeThatReturnsDuringTheRepairIsUsed(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 3)
	f, data := c.Put(t, 1, 2, 1000)
	p := f.Parts[0]
	away := p.Chunks[1].Node
	c.Lose(t, p, 1)
	c.Kill(away)
	meta := before{Meta: c.Meta, move: func() { c.Revive(away) }}
	mend(t, c, repair.New(repair.Config{Meta: meta, Fleet: c.Fleet, Log: upkeeptest.Quiet}))
	require.Equal(t, away, c.RequireWhole(t, f, data).Chunks[1].Node)
	require.Equal(t, 3, c.Stored(t))
}

func newLoop(c *upkeeptest.Cluster) *repair.Loop {
	return repair.New(repair.Config{Meta: c.Meta, Fleet: c.Fleet, Stall: 5 * time.Second, Log: upkeeptest.Quiet})
}

func newReclaim(c *upkeeptest.Cluster) *reclaim.Loop {
	return reclaim.New(reclaim.Config{Meta: c.Meta, Fleet: c.Fleet, Log: upkeeptest.Quiet})
}

// drain steps the loop until it is idle, and sums up.
func drain(t upkeeptest.T, j upkeep.Loop) (items, bytes int64) {
	t.Helper()
	for range 1000 {
		out, err := j.Step(context.Background(), 1)
		require.NoError(t, err)
		items, bytes = items+out.Items, bytes+out.Bytes
		if out.State == upkeep.Idle {
			return items, bytes
		}
	}
	t.Errorf("the loop does not come to an end")
	return items, bytes
}

// reason is why the only queued repair task was put off.
func reason(t *testing.T, c *upkeeptest.Cluster) string {
	t.Helper()
	time.Sleep(10 * time.Minute) // in a bubble: until whatever was put off is due again
	tasks, err := c.Meta.Claim(t.Context(), store.ClaimQuery{Term: 1, Kind: store.Repair, Limit: 10, Hold: time.Nanosecond})
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	return tasks[0].Reason
}

func TestANodeIsLostAndItsChunksAreMadeAgain(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 7)
	f, data := c.Put(t, 6, 4, 20*6*upkeeptest.UnitSize+77)
	p := f.Parts[0]
	dead := p.Chunks[0].Node
	lost := int64(0)
	for i, at := range p.Chunks {
		if at.Node == dead {
			c.Lose(t, p, i)
			lost++
		}
	}
	c.Remove(t, dead)
	items, bytes := drain(t, newLoop(c))
	require.EqualValues(t, 1, items, "one task for the part")
	require.Equal(t, lost*p.ChunkSize(), bytes)
	now := c.RequireWhole(t, f, data)
	count := map[store.NodeID]int{}
	for _, at := range now.Chunks {
		count[at.Node]++
		require.NotEqual(t, dead, at.Node)
		require.LessOrEqual(t, count[at.Node], 2, "10 chunks on 6 nodes")
	}
	require.Zero(t, c.Depth(t, store.Repair))
	c.RequireNothingLent(t)
}

// The chunks that a node held are rebuilt by one read of each part, however many of them it held.
func TestEachPartIsReadOnce(t *testing.T) {
	t.Parallel()
	const k, stripes = 6, 5
	c := upkeeptest.New(t, 5)
	var files []store.File
	var contents [][]byte
	for range 3 {
		f, data := c.Put(t, k, 4, stripes*k*upkeeptest.UnitSize)
		files, contents = append(files, f), append(contents, data)
	}
	dead, lost := files[0].Parts[0].Chunks[0].Node, 0
	for _, f := range files {
		for i, at := range f.Parts[0].Chunks {
			if at.Node == dead {
				c.Lose(t, f.Parts[0], i)
				lost++
			}
		}
	}
	require.Greater(t, lost, len(files), "10 chunks on 5 nodes")
	c.Remove(t, dead)
	var mu sync.Mutex
	opened, read := map[store.PartID]int{}, map[store.PartID]int{}
	for _, n := range c.Nodes {
		n.SetHook(func(_ context.Context, call mem.Call) error {
			mu.Lock()
			defer mu.Unlock()
			switch call.Op {
			case mem.OpOpen:
				opened[call.ID.Part]++
			case mem.OpNext:
				read[call.ID.Part]++
			}
			return nil
		})
	}
	items, bytes := drain(t, newLoop(c))
	mu.Lock()
	for _, f := range files {
		p := f.Parts[0]
		require.Equal(t, k, opened[p.ID])
		require.LessOrEqual(t, read[p.ID], k*(stripes+1), "each unit once, and the end of each chunk")
	}
	mu.Unlock()
	require.EqualValues(t, len(files), items)
	require.EqualValues(t, int64(lost)*files[0].Parts[0].ChunkSize(), bytes)
	for i, f := range files {
		c.RequireWhole(t, f, contents[i])
	}
}

// Whatever is lost or rotten, up to M chunks of each part: all is whole again
// afterwards, nothing is left over, and no node holds more than it must.
func TestRepairRestoresEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := upkeeptest.New(t, rapid.IntRange(3, 9).Draw(t, "nodes"))
		k := rapid.SampledFrom([]int{1, 1, 2, 6}).Draw(t, "k")
		m := rapid.IntRange(1, 4).Draw(t, "m")
		f, data := c.Put(t, k, m, rapid.Int64Range(1, 10*int64(k)*upkeeptest.UnitSize).Draw(t, "size"))
		p := f.Parts[0]
		units := int((p.ChunkSize() + upkeeptest.UnitSize - 1) / upkeeptest.UnitSize)
		victims := rapid.SliceOfNDistinct(rapid.IntRange(0, k+m-1), 1, m, rapid.ID[int]).Draw(t, "victims")
		for _, i := range victims {
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				c.Lose(t, p, i)
			case 1:
				c.Rot(t, p, i, rapid.IntRange(0, units-1).Draw(t, "unit"))
			case 2:
				c.Nodes[p.Chunks[i].Node].Drop(p.ChunkID(i))
				c.Suspect(t, p, i)
			}
		}
		mend(t, c, newLoop(c))
		now := c.RequireWhole(t, f, data)
		count := map[store.NodeID]int{}
		for _, at := range now.Chunks {
			count[at.Node]++
			require.LessOrEqual(t, count[at.Node], (k+m+len(c.IDs)-1)/len(c.IDs), "chunks on one node")
		}
		require.Equal(t, k+m, c.Stored(t), "nothing is left over")
		c.RequireNothingLent(t)
	})
}

// mend lets repair and reclaim take turns until neither has anything queued,
// with tasks that were put off made due at once.
func mend(t upkeeptest.T, c *upkeeptest.Cluster, j *repair.Loop) {
	t.Helper()
	ctx := context.Background()
	for range 50 {
		drain(t, j)
		drain(t, newReclaim(c))
		if c.Depth(t, store.Repair)+c.Depth(t, store.Reclaim) == 0 {
			return
		}
		require.NoError(t, c.Meta.Hasten(ctx, store.Repair))
		require.NoError(t, c.Meta.Hasten(ctx, store.Reclaim))
	}
	t.Errorf("repair does not come to an end")
}

func TestABadChunkOnASmallClusterEndsUpWhereItWas(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 3)
	f, data := c.Put(t, 1, 2, 1000)
	p := f.Parts[0]
	bad := p.Chunks[1].Node
	c.Rot(t, p, 1, 3)
	j := newLoop(c)
	_, err := j.Step(t.Context(), 1)
	require.NoError(t, err)
	require.NotEqual(t, bad, c.RequireWhole(t, f, data).Chunks[1].Node, "first a sound copy elsewhere")
	mend(t, c, j)
	require.Equal(t, bad, c.RequireWhole(t, f, data).Chunks[1].Node, "then back, after the bad one is gone")
	require.Equal(t, 3, c.Stored(t))
}

func TestAChunkThatIsWellStays(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 12)
	f, data := c.Put(t, 6, 4, 5000)
	for i := range f.Parts[0].Chunks {
		c.Suspect(t, f.Parts[0], i)
	}
	items, bytes := drain(t, newLoop(c))
	require.EqualValues(t, 1, items)
	require.Zero(t, bytes)
	require.Equal(t, f.Parts[0].Chunks, c.RequireWhole(t, f, data).Chunks)
	require.Zero(t, c.Depth(t, store.Reclaim))
}

func TestTasksThatMeanNothingAreDropped(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 6)
	f, data := c.Put(t, 2, 1, 500)
	p := f.Parts[0]
	gone, _ := c.Put(t, 2, 1, 500)
	require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: gone.ID, Attempt: store.NewAttemptID()}))
	require.NoError(t, c.Meta.Enqueue(t.Context(), []store.Task{
		{Kind: store.Repair, Chunk: gone.Parts[0].ChunkID(1), Chunks: 2},                // its file was deleted
		{Kind: store.Repair, Chunk: p.ChunkID(0), Chunks: store.NewChunkSet(0, 17, 63)}, // one is intact, the others do not exist
		{Kind: store.Repair, Chunk: store.ChunkID{Part: store.NewPartID()}, Chunks: 1},  // no such part
	}))
	j := newLoop(c)
	require.NotPanics(t, func() { drain(t, j) })
	require.Equal(t, p.Chunks, c.RequireWhole(t, f, data).Chunks)
}

func TestTooFewChunksLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 6)
		c.Heartbeat(t)
		f, data := c.Put(t, 3, 2, 3000)
		p := f.Parts[0]
		c.Lose(t, p, 0)
		for _, i := range []int{1, 2} {
			c.Kill(p.Chunks[i].Node)
		}
		j := newLoop(c)
		items, _ := drain(t, j)
		require.Zero(t, items)
		require.Contains(t, reason(t, c), "2 of the 5 chunks")
		require.Zero(t, c.Depth(t, store.Reclaim), "nothing was written")
		c.Revive(p.Chunks[1].Node)
		time.Sleep(10 * time.Minute)
		items, _ = drain(t, j)
		require.EqualValues(t, 1, items)
		c.Revive(p.Chunks[2].Node)
		c.RequireWhole(t, f, data)
	})
}

func TestASourceThatFailsMidwayIsReplaced(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(call mem.Call) error{
		"corrupt":     func(call mem.Call) error { return store.Errorf(store.Corrupt, "rot") },
		"unavailable": func(call mem.Call) error { return upkeeptest.ErrAway },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := upkeeptest.New(t, 6)
			f, data := c.Put(t, 3, 3, 9*3*upkeeptest.UnitSize)
			p := f.Parts[0]
			c.Lose(t, p, 5)
			c.Nodes[p.Chunks[1].Node].SetHook(func(_ context.Context, call mem.Call) error {
				if call.Op == mem.OpNext && call.ID == p.ChunkID(1) && call.Unit >= 4 {
					return hook(call)
				}
				return nil
			})
			out, err := newLoop(c).Step(t.Context(), 1)
			require.NoError(t, err)
			require.EqualValues(t, 1, out.Items)
			c.Nodes[p.Chunks[1].Node].SetHook(nil)
			c.RequireWhole(t, f, data)
			c.RequireNothingLent(t)
			want := map[string]int64{"corrupt": 1, "unavailable": 0}[name]
			require.Equal(t, want, c.Depth(t, store.Repair), "what is bad is queued, what is away is not")
		})
	}
}

func TestATargetThatFailsIsReplaced(t *testing.T) {
	t.Parallel()
	for _, op := range []mem.Op{mem.OpStat, mem.OpCreate, mem.OpAppend, mem.OpCommit} {
		for _, kind := range []store.Kind{store.NoSpace, store.Unavailable} {
			t.Run(string(op)+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				c := upkeeptest.New(t, 8)
				f, data := c.Put(t, 3, 2, 3000)
				p := f.Parts[0]
				c.Lose(t, p, 1)
				first, ok := c.Fleet.View().Ring.Next(p.ID, nodesBut(p, 1), nil)
				require.True(t, ok)
				c.Nodes[first].SetHook(mem.Fail(store.Errorf(kind, "test"), op))
				out, err := newLoop(c).Step(t.Context(), 1)
				require.NoError(t, err)
				require.EqualValues(t, 1, out.Items)
				c.Nodes[first].SetHook(nil)
				require.NotEqual(t, first, c.RequireWhole(t, f, data).Chunks[1].Node)
				c.RequireNothingLent(t)
				drain(t, newReclaim(c))
				require.Equal(t, 5, c.Stored(t))
			})
		}
	}
}

func nodesBut(p store.Part, index int) (list []store.NodeID) {
	for i, at := range p.Chunks {
		if i != index {
			list = append(list, at.Node)
		}
	}
	return list
}

func TestNodesThatStallAreGivenUp(t *testing.T) {
	t.Parallel()
	for _, op := range []mem.Op{mem.OpCreate, mem.OpAppend, mem.OpCommit, mem.OpNext, mem.OpOpen} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := upkeeptest.New(t, 8)
				f, data := c.Put(t, 3, 2, 3000)
				p := f.Parts[0]
				c.Lose(t, p, 4)
				slow, _ := c.Fleet.View().Ring.Next(p.ID, nodesBut(p, 4), nil)
				if op == mem.OpNext || op == mem.OpOpen {
					slow = p.Chunks[1].Node
				}
				c.Nodes[slow].SetHook(mem.Stall(nil, op))
				begin := time.Now()
				out, err := newLoop(c).Step(t.Context(), 1)
				require.NoError(t, err)
				require.EqualValues(t, 1, out.Items)
				require.Equal(t, 5*time.Second, time.Since(begin))
				c.Nodes[slow].SetHook(nil)
				c.RequireWhole(t, f, data)
				synctest.Wait()
				c.RequireNothingLent(t)
			})
		})
	}
}

func TestNobodyCanTakeTheChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 3)
		c.Heartbeat(t)
		f, _ := c.Put(t, 1, 2, 100)
		for _, id := range c.IDs {
			c.Nodes[id].SetLimit(10)
		}
		time.Sleep(30 * time.Second) // beats bring the news
		c.Lose(t, f.Parts[0], 0)
		items, _ := drain(t, newLoop(c))
		require.Zero(t, items)
		require.Contains(t, reason(t, c), "no node can take chunk")
	})
}

// before calls back before a placement changes.
type before struct {
	repair.Meta
	move func()
}

func (b before) MoveChunk(ctx context.Context, id store.ChunkID, from, to store.Placement) error {
	b.move()
	return b.Meta.MoveChunk(ctx, id, from, to)
}

// While one gateway is about to commit or to move, another repairs the same chunk.
func TestTheLoserOfARaceTakesItsCopyBack(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"commit", "move"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			c := upkeeptest.New(t, 8)
			f, data := c.Put(t, 3, 2, 3000)
			p := f.Parts[0]
			c.Lose(t, p, 0)
			var raced atomic.Bool
			race := func(step string) {
				if step != at || !raced.CompareAndSwap(false, true) {
					return
				}
				// The slow one has claimed the task; the other takes it over with a newer lease.
				assertNoError(t, c.Meta.TakeOver(context.Background(), 2))
				out, err := newLoop(c).Step(context.Background(), 2)
				assertNoError(t, err)
				if out.Items != 1 {
					t.Errorf("the fast one did %d tasks", out.Items)
				}
			}
			for _, n := range c.Nodes {
				n.SetHook(func(_ context.Context, call mem.Call) error { race(string(call.Op)); return nil })
			}
			meta := before{Meta: c.Meta, move: func() { race("move") }}
			slow := repair.New(repair.Config{Meta: meta, Fleet: c.Fleet, Log: upkeeptest.Quiet})
			out, err := slow.Step(t.Context(), 1)
			require.NoError(t, err)
			require.Zero(t, out.Items, "it lost")
			mend(t, c, slow)
			c.RequireWhole(t, f, data)
			require.Equal(t, 5, c.Stored(t), "the copy that lost is gone")
		})
	}
}

func assertNoError(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

func TestTheFileIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 8)
	f, _ := c.Put(t, 3, 2, 3000)
	c.Lose(t, f.Parts[0], 0)
	for _, n := range c.Nodes {
		n.SetHook(func(ctx context.Context, call mem.Call) error {
			if call.Op == mem.OpCommit {
				assertNoError(t, c.Meta.DeleteFile(ctx, store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
			}
			return nil
		})
	}
	out, err := newLoop(c).Step(t.Context(), 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, out.Items)
	drain(t, newReclaim(c))
	require.Zero(t, c.Stored(t))
}

// A gateway that is killed after the copy was stored and before the metadata places it leaves a copy that the metadata knows: as a reclaim
// that a claim gets later. So the node deletes it, although the file was deleted meanwhile.
func TestTheCopyOfAKilledRepairIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := upkeeptest.New(t, 8)
		f, _ := c.Put(t, 3, 2, 3000)
		c.Lose(t, f.Parts[0], 0)
		killed := repair.New(repair.Config{Meta: &killedGateway{Meta: c.Meta}, Fleet: c.Fleet, Log: upkeeptest.Quiet})
		_, err := killed.Step(t.Context(), 1)
		require.Error(t, err)
		require.Equal(t, 5, c.Stored(t))
		require.EqualValues(t, 1, c.Depth(t, store.Reclaim))

		require.NoError(t, c.Meta.TakeOver(t.Context(), 2))
		drain(t, newReclaim(c))
		require.Equal(t, 5, c.Stored(t), "the repair may still run")
		require.NoError(t, c.Meta.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		time.Sleep(time.Minute) // in a bubble
		drain(t, newReclaim(c))
		require.Zero(t, c.Stored(t))
		require.Zero(t, c.Depth(t, store.Reclaim))
	})
}

// killedGateway makes no change of the metadata any more from the first move on.
type killedGateway struct {
	repair.Meta
	gone atomic.Bool
}

var errGone = store.Errorf(store.Unavailable, "the gateway was killed")

func (g *killedGateway) change(call func() error) error {
	if g.gone.Load() {
		return errGone
	}
	return call()
}

func (g *killedGateway) MoveChunk(context.Context, store.ChunkID, store.Placement, store.Placement) error {
	g.gone.Store(true)
	return errGone
}

func (g *killedGateway) Enqueue(ctx context.Context, tasks []store.Task) error {
	return g.change(func() error { return g.Meta.Enqueue(ctx, tasks) })
}

func (g *killedGateway) Finish(ctx context.Context, tasks []store.Task) error {
	return g.change(func() error { return g.Meta.Finish(ctx, tasks) })
}

func (g *killedGateway) Postpone(ctx context.Context, tasks []store.Task, delay time.Duration) error {
	return g.change(func() error { return g.Meta.Postpone(ctx, tasks, delay) })
}

func TestAnOldCopyOnTheTargetIsNotTrusted(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 8)
	f, data := c.Put(t, 3, 2, 3000)
	p := f.Parts[0]
	c.Lose(t, p, 2)
	target, _ := c.Fleet.View().Ring.Next(p.ID, nodesBut(p, 2), nil)
	w, err := c.Nodes[target].Create(t.Context(), chunk.Spec{ID: p.ChunkID(2), UnitSize: upkeeptest.UnitSize})
	require.NoError(t, err)
	require.NoError(t, w.Append(chunk.NewUnit([]byte("leftover"), nil)))
	_, err = w.Commit(chunk.Label{})
	require.NoError(t, err)
	drain(t, newLoop(c))
	require.NotEqual(t, target, c.RequireWhole(t, f, data).Chunks[2].Node)
	drain(t, newReclaim(c))
	require.Equal(t, 5, c.Stored(t), "and goes")
}

func TestALostLeaseInTheMiddleGivesTheTaskBack(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 8)
	f, data := c.Put(t, 3, 2, 3000)
	c.Lose(t, f.Parts[0], 0)
	ctx, lose := context.WithCancel(t.Context())
	defer lose()
	for _, n := range c.Nodes {
		n.SetHook(func(_ context.Context, call mem.Call) error {
			if call.Op == mem.OpAppend && call.Unit == 3 {
				lose()
			}
			return nil
		})
	}
	out, err := newLoop(c).Step(ctx, 1)
	require.NoError(t, err)
	require.Zero(t, out.Items)
	c.RequireNothingLent(t)
	for _, n := range c.Nodes {
		n.SetHook(nil)
	}
	items, _ := drain(t, newLoop(c))
	require.EqualValues(t, 1, items, "the next leader has it at once")
	c.RequireWhole(t, f, data)
	require.Equal(t, 5, c.Stored(t))
}

// Four gateways that all believe they lead, while chunks rot: no data is lost.
func TestManyRunnersAtOnce(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 7)
	type stored struct {
		file store.File
		data []byte
	}
	var all []stored
	for range 8 {
		f, data := c.Put(t, 2, 2, 1000)
		all = append(all, stored{f, data})
	}
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		for _, j := range []upkeep.Loop{newLoop(c), newReclaim(c)} {
			wg.Go(func() {
				for !stop.Load() {
					_, err := j.Step(context.Background(), 1)
					assertNoError(t, err)
				}
			})
		}
	}
	for round := range 8 {
		for _, s := range all {
			p := c.Part(t, s.file.Parts[0].ID)
			i := round % len(p.Chunks)
			if at := p.Chunks[i]; !at.Node.IsZero() {
				id := p.ChunkID(i)
				c.Nodes[at.Node].CorruptUnit(id, 2)
				c.Suspect(t, p, i)
				// the same chunk under a second name, so that two work on it
				require.NoError(t, c.Meta.Enqueue(t.Context(), []store.Task{{Kind: store.Repair, Chunk: id, Chunks: store.NewChunkSet(int(id.Index))}}))
			}
		}
		require.Eventually(t, func() bool {
			for _, s := range all {
				for i := range s.file.Parts[0].Chunks {
					task := store.Task{Kind: store.Repair, Chunk: s.file.Parts[0].ChunkID(i)}
					for _, node := range append(c.IDs, store.NodeID{}) {
						task.Node = node
						_ = c.Meta.Postpone(t.Context(), []store.Task{task}, 0)
					}
				}
			}
			return c.Depth(t, store.Repair) == 0
		}, 30*time.Second, time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	mend(t, c, newLoop(c))
	for _, s := range all {
		c.RequireWhole(t, s.file, s.data)
	}
	require.GreaterOrEqual(t, c.Stored(t), 32, "a copy that lost a race may be left over, never one too few")
}

// Another gateway takes our copy for a leftover, and has it deleted before we move.
func TestACopyThatWasReclaimedBeforeTheMoveIsMadeAgain(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 8)
	f, data := c.Put(t, 3, 2, 3000)
	p := f.Parts[0]
	c.Lose(t, p, 0)
	target, _ := c.Fleet.View().Ring.Next(p.ID, nodesBut(p, 0), nil)
	var once sync.Once
	meta := before{Meta: c.Meta, move: func() {
		once.Do(func() {
			task := store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(0), Node: target}
			assertNoError(t, c.Meta.Enqueue(context.Background(), []store.Task{task}))
			assertNoError(t, c.Meta.Hasten(context.Background(), store.Reclaim)) // as if the repair had taken long
			_, err := newReclaim(c).Step(context.Background(), 1)
			assertNoError(t, err)
			if c.Stored(t) != 4 {
				t.Error("it was not deleted")
			}
		})
	}}
	mend(t, c, repair.New(repair.Config{Meta: meta, Fleet: c.Fleet, Log: upkeeptest.Quiet}))
	c.RequireWhole(t, f, data)
	require.Equal(t, 5, c.Stored(t))
}
