package stripe_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// TestARebuildAccountsForEveryChunk lets targets fail at any step. A chunk without an error is on its target, equal to the one before;
// one with an error is not, or it is named as uncertain.
func TestARebuildAccountsForEveryChunk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := upkeeptest.New(t, 9)
		f, _ := c.Put(t, rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "k"), rapid.IntRange(1, 3).Draw(t, "m"), rapid.Int64Range(1, 20*upkeeptest.UnitSize).Draw(t, "size"))
		p := f.Parts[0]
		spec := stripe.RebuildSpec{Part: p, Lost: store.NewChunkSet(damage(t, c, p)...), Targets: map[int]store.NodeID{}}
		for n, i := range spec.Lost.Indexes() {
			target := c.Fleet.View().Ring.Place(p.ID, len(c.IDs), nil)[len(p.Chunks)+n%(len(c.IDs)-len(p.Chunks))]
			spec.Targets[i] = target
			if op := rapid.SampledFrom([]mem.Op{"", "", mem.OpCreate, mem.OpAppend, mem.OpCommit}).Draw(t, "fails at"); op != "" {
				c.Nodes[target].SetHook(mem.Fail(store.Errorf(store.NoSpace, "test"), op))
			}
		}
		if len(spec.Targets) == 0 {
			return
		}
		announced := 0
		spec.Announce = func(ctx context.Context) error {
			for i, node := range spec.Targets {
				_, err := c.Nodes[node].Stat(ctx, p.ChunkID(i))
				require.ErrorIs(t, err, store.NotFound, "announced before it can be durable")
			}
			announced++
			return nil
		}
		o := newIO(c)
		rebuilt, err := o.Rebuild(context.Background(), spec)
		require.NoError(t, err)
		require.Equal(t, 1, announced)
		require.Len(t, rebuilt, len(spec.Targets))
		for _, x := range rebuilt {
			c.Nodes[x.To.Node].SetHook(nil)
			require.Equal(t, p.Chunks[x.Index], x.From)
			now := p
			now.Chunks = append([]store.Placement(nil), p.Chunks...)
			now.Chunks[x.Index] = x.To
			if x.Err == nil {
				require.Equal(t, x.From.Sum, x.To.Sum)
				require.NoError(t, o.Verify(context.Background(), now, x.Index))
				continue
			}
			_, err := o.Stat(context.Background(), x.To.Node, p.ChunkID(x.Index))
			require.True(t, x.Uncertain || store.KindOf(err) == store.NotFound)
		}
		o.Wait()
		c.RequireNothingLent(t)
	})
}

// Where the bytes are not those that the part had, nothing is announced or stored.
func TestARebuildRefusesOtherBytes(t *testing.T) {
	t.Parallel()
	c := upkeeptest.New(t, 5)
	f, _ := c.Put(t, 2, 2, 3*upkeeptest.UnitSize)
	p := f.Parts[0]
	p.Chunks[1].Sum++
	target := c.Fleet.View().Ring.Place(p.ID, 5, nil)[4]
	o := newIO(c)
	_, err := o.Rebuild(t.Context(), stripe.RebuildSpec{
		Part: p, Lost: store.NewChunkSet(1), Targets: map[int]store.NodeID{1: target},
		Announce: func(context.Context) error { t.Error("announced"); return nil },
	})
	var wrong *stripe.DifferingError
	require.ErrorAs(t, err, &wrong)
	require.ErrorIs(t, err, store.Corrupt)
	require.Equal(t, store.NewChunkSet(1), wrong.Chunks)
	_, err = o.Stat(t.Context(), target, p.ChunkID(1))
	require.ErrorIs(t, err, store.NotFound)
	o.Wait()
	c.RequireNothingLent(t)
}
