package repair_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/repair"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// wrapped is a fleet whose chunk stores are seen through something.
type wrapped struct {
	upkeep.Fleet
	wrap func(store.NodeID, chunk.Store) chunk.Store
}

func (w wrapped) Chunks(id store.NodeID) (chunk.Store, error) {
	c, err := w.Fleet.Chunks(id)
	if err != nil {
		return nil, err
	}
	return w.wrap(id, c), nil
}

// bare is a chunk store without optional powers, as one behind a wire may be.
type bare struct{ chunk.Store }

func newLoopOn(c *upkeeptest.Cluster, wrap func(store.NodeID, chunk.Store) chunk.Store) *repair.Loop {
	return repair.New(repair.Config{Meta: c.Meta, Fleet: wrapped{c.Fleet, wrap}, Log: upkeeptest.Quiet})
}

func TestChunksAreReadThroughWhereNodesCannotVerify(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 9)
	f, data := c.Put(t, 3, 2, 3000)
	p := f.Parts[0]
	c.Rot(t, p, 1, 5)
	c.Suspect(t, p, 2)
	drain(t, newLoopOn(c, func(_ store.NodeID, k chunk.Store) chunk.Store { return bare{k} }))
	now := c.RequireWhole(t, f, data)
	require.NotEqual(t, p.Chunks[1], now.Chunks[1])
	require.Equal(t, p.Chunks[2], now.Chunks[2])
	c.RequireNothingLent(t)
}

// bent changes a byte of every unit in flight.
type bent struct{ chunk.Store }

func (b bent) Open(ctx context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	r, err := b.Store.Open(ctx, id, first, count)
	return bentReader{r}, err
}

type bentReader struct{ chunk.Reader }

func (b bentReader) Next() (chunk.Unit, error) {
	u, err := b.Reader.Next()
	if err == nil {
		u.Data = append([]byte{u.Data[0] ^ 1}, u.Data[1:]...)
	}
	return u, err
}

func TestWhatABadWireBringsIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, k := range []int{1, 3} {
		c := upkeeptest.New(t, 9)
		f, data := c.Put(t, k, 3, 3000)
		p := f.Parts[0]
		c.Lose(t, p, 2)
		bad := p.Chunks[0].Node
		out, err := newLoopOn(c, func(id store.NodeID, k chunk.Store) chunk.Store {
			if id == bad {
				return bent{k}
			}
			return k
		}).Step(t.Context(), 1)
		require.NoError(t, err)
		require.EqualValues(t, 1, out.Items)
		require.EqualValues(t, 1, c.Depth(t, store.Repair), "the chunk that came in bad is looked at")
		c.RequireWhole(t, f, data)
		c.RequireNothingLent(t)
	}
}

func TestAChunkThatIsNotWhatTheMetadataSaysIsReplaced(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 9)
	f, data := c.Put(t, 3, 2, 3000)
	p := f.Parts[0]
	node := c.Nodes[p.Chunks[3].Node]
	require.True(t, node.Drop(p.ChunkID(3)))
	w, err := node.Create(t.Context(), chunk.Spec{ID: p.ChunkID(3), UnitSize: upkeeptest.UnitSize})
	require.NoError(t, err)
	require.NoError(t, w.Append(chunk.NewUnit([]byte("sound, but another"), nil)))
	_, err = w.Commit(chunk.Label{})
	require.NoError(t, err)
	c.Suspect(t, p, 3)
	drain(t, newLoop(c))
	require.NotEqual(t, p.Chunks[3].Node, c.RequireWhole(t, f, data).Chunks[3].Node)
}

// A chunk whose sum in the metadata is wrong cannot be rebuilt; the other lost chunks of its part are.
func TestAWrongSumFailsItsChunkOnly(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 9)
	f, _ := c.Put(t, 3, 3, 3000)
	p := f.Parts[0]
	wrong := store.Placement{Node: p.Chunks[1].Node, Sum: p.Chunks[1].Sum + 1}
	require.NoError(t, c.Meta.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], wrong))
	for _, i := range []int{1, 4} {
		require.True(t, c.Nodes[p.Chunks[i].Node].Drop(p.ChunkID(i)))
		c.Suspect(t, p, i)
	}
	drain(t, newLoop(c))
	now := c.Part(t, p.ID)
	require.Equal(t, wrong, now.Chunks[1])
	_, err := c.Nodes[now.Chunks[4].Node].Stat(t.Context(), p.ChunkID(4))
	require.NoError(t, err, "chunk 4 was rebuilt")
	require.EqualValues(t, 1, c.Depth(t, store.Repair), "chunk 1 is tried again")
	c.RequireNothingLent(t)
}

func TestWhatTheNodeOfABadChunkIsAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, k := range map[string]struct {
			happens func(c *upkeeptest.Cluster, node store.NodeID)
			moved   bool
		}{
			"removed":  {func(c *upkeeptest.Cluster, n store.NodeID) { c.Remove(t, n) }, true},
			"inactive": {func(c *upkeeptest.Cluster, n store.NodeID) { c.Kill(n); time.Sleep(time.Minute) }, true},
			"suspect":  {func(c *upkeeptest.Cluster, n store.NodeID) { c.Kill(n) }, false},
			"does not answer": {func(c *upkeeptest.Cluster, n store.NodeID) {
				c.Nodes[n].SetHook(mem.Fail(upkeeptest.ErrAway))
			}, false},
		} {
			c := upkeeptest.New(t, 7)
			c.Heartbeat(t)
			f, _ := c.Put(t, 3, 2, 3000)
			p := f.Parts[0]
			c.Suspect(t, p, 4)
			k.happens(c, p.Chunks[4].Node)
			drain(t, newLoop(c))
			require.Equal(t, k.moved, c.Part(t, p.ID).Chunks[4].Node != p.Chunks[4].Node, name)
		}
	})
}

func TestNameAndPace(t *testing.T) {
	t.Parallel()
	j := newLoop(upkeeptest.New(t, 0))
	require.Equal(t, repair.Name, j.Name())
	require.Positive(t, j.Pace().Every)
}
