package stripe_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// pausing makes the node wait for d at the first call of the operation, as a disk does that writes what it has cached.
func pausing(op mem.Op, d time.Duration) mem.Hook {
	var paused bool
	return func(_ context.Context, call mem.Call) error {
		if call.Op == op && !paused {
			paused = true
			time.Sleep(d)
		}
		return nil
	}
}

// holesAfter writes a part of which the node of the first chunk pauses once, and returns the number of chunks that are not durable.
func holesAfter(t *testing.T, op mem.Op, pause time.Duration, size int64, stripes int) (holes int) {
	c := upkeeptest.New(t, 6)
	p := store.Part{ID: store.NewPartID(), Number: 1, K: 2, M: 2, UnitSize: upkeeptest.UnitSize, Chunks: make([]store.Placement, 4)}
	for i, id := range c.Fleet.View().Ring.Place(p.ID, len(p.Chunks), nil) {
		p.Chunks[i].Node = id
	}
	c.Nodes[p.Chunks[0].Node].SetHook(pausing(op, pause))
	o := newIO(c)
	w := o.Write(t.Context(), stripe.WriteSpec{Part: p, Size: size, Required: 1, Whole: stripes == 1})
	for range stripes {
		units := make([]chunk.Unit, len(p.Chunks))
		for i := range units {
			units[i] = chunk.NewUnit(bytes.Repeat([]byte{byte(i)}, upkeeptest.UnitSize), nil)
		}
		w.Send(units)
	}
	placed, err := w.Commit(chunk.Label{PartSize: int64(stripes * p.K * p.UnitSize)})
	require.NoError(t, err)
	w.Abort()
	o.Wait()
	for _, at := range placed {
		if at.Node.IsZero() {
			holes++
		}
	}
	return holes
}

// How long a write waits for a slow node depends on what it costs to abandon it: the repair of a long part reads and writes for seconds.
func TestAPauseOfANodeCostsALongPartNoRepair(t *testing.T) {
	t.Parallel()
	const gigabyte = 1e9
	for _, one := range []struct {
		name    string
		op      mem.Op
		pause   time.Duration
		size    int64
		stripes int
		holes   int
	}{
		{"a long part, during the upload", mem.OpAppend, 5 * time.Second, gigabyte, 9, 0},
		{"a short part, during the upload", mem.OpAppend, 5 * time.Second, 9 * 2 * upkeeptest.UnitSize, 9, 1},
		{"a long part, at the commit", mem.OpCommit, 5 * time.Second, gigabyte, 9, 0},
		{"a short part, at the commit", mem.OpCommit, 5 * time.Second, 9 * 2 * upkeeptest.UnitSize, 9, 1},
		{"a long part does not wait for ever", mem.OpAppend, 20 * time.Second, gigabyte, 9, 1},
		{"a part of one stripe, before it is known what is usual", mem.OpCommit, 200 * time.Millisecond, 2 * upkeeptest.UnitSize, 1, 0},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				require.Equal(t, one.holes, holesAfter(t, one.op, one.pause, one.size, one.stripes))
			})
		})
	}
}
