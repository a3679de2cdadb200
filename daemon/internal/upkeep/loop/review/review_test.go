package review_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/repair"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/review"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a cluster with the two loops that bring parts to their policy: review and repair.
type rig struct {
	*upkeeptest.Cluster
	review *review.Loop
	repair *repair.Loop
}

func newRig(t *testing.T, nodes int) *rig {
	c := upkeeptest.New(t, nodes)
	return &rig{
		Cluster: c,
		review:  review.New(review.Config{Meta: c.Meta, Fleet: c.Fleet, Survive: 2, Log: upkeeptest.Quiet}),
		repair:  repair.New(repair.Config{Meta: c.Meta, Fleet: c.Fleet, Log: upkeeptest.Quiet}),
	}
}

// settle runs the loops until both are idle.
func (r *rig) settle(t *testing.T) {
	t.Helper()
	for range 100 {
		looked, err := r.review.Step(t.Context(), 1)
		require.NoError(t, err)
		mended, err := r.repair.Step(t.Context(), 1)
		require.NoError(t, err)
		if looked.State == upkeep.Idle && mended.State == upkeep.Idle {
			return
		}
	}
	t.Fatal("it does not come to an end")
}

func (r *rig) part(t *testing.T, f store.File) store.Part {
	t.Helper()
	p, _, err := r.Meta.Part(t.Context(), f.Parts[0].ID)
	require.NoError(t, err)
	return p
}

func (r *rig) join(t *testing.T, n int) {
	t.Helper()
	for range n {
		r.Join(t)
	}
	r.Refresh(t)
}

// Parts that were stored while the cluster was too small for their policy are widened once there are enough nodes.
func TestPartsAreWidenedWhenTheClusterGrows(t *testing.T) {
	t.Parallel()
	for _, k := range []int{1, placement.DataChunks} {
		r := newRig(t, 1)
		f, data := r.Put(t, k, 0, 3000)
		r.settle(t)
		require.Equal(t, 0, r.part(t, f).M, "one node gives no more")
		r.join(t, 5)
		r.settle(t)
		p := r.part(t, f)
		require.Equal(t, 2, placement.Survives(p.K, p.Chunks), "%d data chunks", k)
		require.Zero(t, r.Depth(t, store.Repair))
		r.RequireWhole(t, f, data)
	}
}

// A hole is filled as soon as there is a node for it, even when the task that was queued for it was lost.
func TestHolesAreQueuedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	f, data := r.Put(t, 6, 4, 3000)
	r.settle(t)
	p := r.part(t, f)
	lost := p.Chunks[3]
	require.NoError(t, r.Meta.MoveChunk(t.Context(), p.ChunkID(3), lost, store.Placement{Sum: lost.Sum}))
	tasks, err := r.Meta.Claim(t.Context(), store.ClaimQuery{Kind: store.Repair, Term: 1, Limit: 10, Hold: 1})
	require.NoError(t, err)
	require.NoError(t, r.Meta.Finish(t.Context(), tasks)) // the tasks are lost
	r.settle(t)
	require.True(t, r.part(t, f).Chunks[3].Node.IsZero(), "nothing has changed")
	r.join(t, 1)
	r.settle(t)
	got := r.part(t, f).Chunks[3]
	require.False(t, got.Node.IsZero())
	require.Equal(t, lost.Sum, got.Sum, "it was compared with what the lost one was")
	r.RequireWhole(t, f, data)
}

// The policy of the part's bucket applies, and parts that meet it are left alone.
func TestWhatIsEnoughIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	require.NoError(t, r.Meta.UpdateBucket(t.Context(), store.Bucket{Name: store.DefaultBucket, Survive: 0}, ""))
	f, _ := r.Put(t, 1, 0, 50)
	r.settle(t)
	require.Equal(t, 0, r.part(t, f).M)
	require.Len(t, r.part(t, f).Chunks, 1)
	require.Equal(t, review.Name, r.review.Name())
	require.Positive(t, r.review.Pace().Every)
}

// Nodes that were away between two steps of the loop count as returned: a repair that ran meanwhile placed several chunks on one node.
func TestNodesThatWereAwayBrieflyAreNotMissed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	f, data := r.Put(t, 6, 4, 3000)
	r.settle(t)
	p := r.part(t, f)
	for _, away := range r.IDs[:3] {
		r.Kill(away)
	}
	for i, c := range p.Chunks {
		if c.Node == r.IDs[3] {
			r.Lose(t, p, i)
		}
	}
	_, err := r.repair.Step(t.Context(), 1)
	require.NoError(t, err)
	require.Less(t, placement.Survives(p.K, r.part(t, f).Chunks), 2, "three nodes must hold more than their share")
	for _, back := range r.IDs[:3] {
		r.Revive(back)
	}
	r.settle(t)
	got := r.RequireWhole(t, f, data)
	require.Equal(t, 2, placement.Survives(got.K, got.Chunks))
	require.Zero(t, r.Depth(t, store.Repair))
}

// What another leader left is found, although nothing has changed in the view of this gateway: the other may have taken nodes
// for unreachable, and may have ended before its own review.
func TestANewTermReviewsAllParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	f, data := r.Put(t, 6, 4, 3000)
	r.settle(t)
	p := r.part(t, f)
	crowded := p.Chunks[0]
	to := store.Placement{Node: p.Chunks[1].Node, Sum: crowded.Sum}
	r.Copy(t, p.ChunkID(0), crowded.Node, to.Node)
	require.NoError(t, r.Meta.MoveChunk(t.Context(), p.ChunkID(0), crowded, to))
	r.Nodes[crowded.Node].Drop(p.ChunkID(0))
	deleted := store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(0), Node: crowded.Node}
	require.NoError(t, r.Meta.Finish(t.Context(), []store.Task{deleted}))
	r.settle(t)
	require.Equal(t, to.Node, r.part(t, f).Chunks[0].Node, "nothing has changed")
	for range 4 {
		_, err := r.review.Step(t.Context(), 2)
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), r.Depth(t, store.Repair))
	r.RequireWhole(t, f, data)
}
