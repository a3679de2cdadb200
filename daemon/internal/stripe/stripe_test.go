package stripe_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newIO(c *upkeeptest.Cluster) *stripe.IO {
	return stripe.New(stripe.Config{Fleet: c.Fleet, Meta: c.Meta, Log: upkeeptest.Quiet, HedgeFloor: time.Minute})
}

// damage makes up to m chunks of the part unreadable, each in another way, and returns their indexes.
func damage(t *rapid.T, c *upkeeptest.Cluster, p store.Part) []int {
	units := int((p.ChunkSize() + upkeeptest.UnitSize - 1) / upkeeptest.UnitSize)
	victims := rapid.SliceOfNDistinct(rapid.IntRange(0, len(p.Chunks)-1), 0, p.M, rapid.ID[int]).Draw(t, "victims")
	for _, i := range victims {
		node := c.Nodes[p.Chunks[i].Node]
		switch rapid.SampledFrom([]string{"dropped", "corrupt"}).Draw(t, "how") {
		case "dropped":
			require.True(t, node.Drop(p.ChunkID(i)))
		case "corrupt":
			require.True(t, node.CorruptUnit(p.ChunkID(i), rapid.IntRange(0, units-1).Draw(t, "unit")))
		}
	}
	return victims
}

// TestAnyRangeIsReadWithUpToMChunksDamaged compares with the bytes that were stored. The damage that a read meets is
// queued for repair, and no intact chunk is.
func TestAnyRangeIsReadWithUpToMChunksDamaged(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := upkeeptest.New(t, rapid.IntRange(3, 9).Draw(t, "nodes"))
		k := rapid.SampledFrom([]int{1, 2, 6}).Draw(t, "k")
		f, data := c.Put(t, k, rapid.IntRange(1, 4).Draw(t, "m"), rapid.Int64Range(1, 10*int64(k)*upkeeptest.UnitSize).Draw(t, "size"))
		p := f.Parts[0]
		victims := damage(t, c, p)
		from := rapid.Int64Range(0, p.Size-1).Draw(t, "from")
		to := rapid.Int64Range(from+1, p.Size).Draw(t, "to")
		o := newIO(c)
		r, err := o.Read(context.Background(), p, from, to)
		require.NoError(t, err)
		var out bytes.Buffer
		first, last := r.Stripes()
		for s := first; s <= last; s++ {
			require.NoError(t, r.Stripe(&out, s))
		}
		r.Close()
		o.Wait()
		require.True(t, bytes.Equal(data[from:to], out.Bytes()))
		require.LessOrEqual(t, c.Depth(t, store.Repair), int64(len(victims)))
		c.RequireNothingLent(t)
	})
}

// TestEachChunkIsReadOrReconstructed compares every chunk, data and parity, with the one that was stored.
func TestEachChunkIsReadOrReconstructed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := upkeeptest.New(t, 7)
		k := rapid.SampledFrom([]int{1, 2, 6}).Draw(t, "k")
		f, _ := c.Put(t, k, rapid.IntRange(1, 4).Draw(t, "m"), rapid.Int64Range(1, 10*int64(k)*upkeeptest.UnitSize).Draw(t, "size"))
		p := f.Parts[0]
		o := newIO(c)
		for i := range p.Chunks {
			require.NoError(t, o.Verify(context.Background(), p, i))
		}
		victims := damage(t, c, p)
		for _, i := range victims {
			require.Error(t, o.Verify(context.Background(), p, i))
		}
		var lost store.ChunkSet
		if len(victims) < p.M && rapid.Bool().Draw(t, "lost") {
			lost = store.NewChunkSet(rapid.IntRange(0, len(p.Chunks)-1).Draw(t, "which"))
		}
		chunks := rapid.SliceOfNDistinct(rapid.IntRange(0, len(p.Chunks)-1), 1, len(p.Chunks), rapid.ID[int]).Draw(t, "chunks")
		r, err := o.ReadChunks(context.Background(), p, store.NewChunkSet(chunks...), lost)
		require.NoError(t, err)
		var sums [store.MaxChunksPerPart]store.ChunkSum
		first, last := r.Stripes()
		for s := first; s <= last; s++ {
			units, err := r.Units(s)
			require.NoError(t, err)
			for i, u := range units {
				require.NoError(t, u.Check())
				sums[i] = sums[i].Add(u.CRC)
				u.Release()
			}
		}
		r.Close()
		for _, i := range chunks {
			require.Equal(t, p.Chunks[i].Sum, sums[i], "chunk %d", i)
		}
		o.Wait()
		c.RequireNothingLent(t)
	})
}

// TestAWriteAccountsForEveryChunk lets any nodes fail at any step. A write that succeeds survives what is required, and its chunks are
// where its result has them; every other chunk that a node has stored is named as uncertain, after a failure too.
func TestAWriteAccountsForEveryChunk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := upkeeptest.New(t, rapid.IntRange(3, 8).Draw(t, "nodes"))
		for _, id := range c.IDs {
			op := rapid.SampledFrom([]mem.Op{"", "", "", mem.OpCreate, mem.OpAppend, mem.OpCommit}).Draw(t, "fails at")
			kind := rapid.SampledFrom([]store.Kind{store.Unavailable, store.NoSpace, store.Internal}).Draw(t, "kind")
			if op != "" {
				c.Nodes[id].SetHook(mem.Fail(store.Errorf(kind, "test"), op))
			}
		}
		stripes := rapid.IntRange(1, 4).Draw(t, "stripes")
		k := rapid.SampledFrom([]int{1, 2}).Draw(t, "k")
		p := store.Part{ID: store.NewPartID(), Number: 1, K: k, M: rapid.IntRange(0, 2).Draw(t, "m"), UnitSize: upkeeptest.UnitSize}
		p.Chunks = make([]store.Placement, p.K+p.M)
		for i, id := range c.Fleet.View().Ring.Place(p.ID, len(p.Chunks), nil) {
			p.Chunks[i].Node = id
		}
		p.Size = int64(stripes * k * upkeeptest.UnitSize)
		required := rapid.IntRange(0, 1).Draw(t, "required")
		o := newIO(c)
		w := o.Write(context.Background(), stripe.WriteSpec{
			Part: p, Size: p.Size, Required: required, Whole: stripes == 1, Spares: c.Fleet.View().Ring.Place(p.ID, len(c.IDs), nil), Share: 2,
		})
		for range stripes {
			units := make([]chunk.Unit, len(p.Chunks))
			for i := range units {
				units[i] = chunk.NewUnit(bytes.Repeat([]byte{byte(i)}, upkeeptest.UnitSize), nil)
			}
			w.Send(units)
		}
		placed, err := w.Commit(chunk.Label{PartSize: p.Size})
		uncertain := map[store.NodeID]map[store.ChunkID]bool{}
		for _, task := range w.Uncertain() {
			if uncertain[task.Node] == nil {
				uncertain[task.Node] = map[store.ChunkID]bool{}
			}
			uncertain[task.Node][task.Chunk] = true
		}
		w.Abort()
		o.Wait()
		if err == nil {
			require.GreaterOrEqual(t, placement.Survives(p.K, placed), required)
		}
		for id, node := range c.Nodes {
			node.SetHook(nil)
			stored, listErr := node.List(context.Background(), store.ChunkID{}, store.MaxListLimit)
			require.NoError(t, listErr)
			for _, info := range stored {
				counted := err == nil && placed[info.ID.Index].Node == id
				require.True(t, counted || uncertain[id][info.ID], "chunk %s on node %s is accounted for", info.ID, id)
			}
		}
		if err != nil {
			return
		}
		for i, at := range placed {
			if !at.Node.IsZero() {
				done := p
				done.Chunks = placed
				require.NoError(t, o.Verify(context.Background(), done, i))
			}
		}
	})
}
