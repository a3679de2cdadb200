package chunks

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// lender counts how its unit was returned.
type lender struct{ released, abandoned atomic.Int64 }

func (l *lender) Release() { l.released.Add(1) }
func (l *lender) Abandon() { l.abandoned.Add(1) }

// releaser is an owner without Abandon.
type releaser struct{ released atomic.Int64 }

func (r *releaser) Release() { r.released.Add(1) }

func bigUnit(owner chunk.Releaser) chunk.Unit {
	return chunk.NewUnit(make([]byte, copyBelow), owner)
}

// A unit that the transport never frees is abandoned at the end of the call, at once.
func TestLending_EndAbandonsWhatTheTransportKeeps(t *testing.T) {
	t.Parallel()
	freed, kept := new(lender), new(lender)
	var l lending
	l.lend(bigUnit(freed)).Free()
	late := l.lend(bigUnit(kept))
	l.end()
	require.EqualValues(t, 1, freed.released.Load())
	require.Zero(t, freed.abandoned.Load())
	require.Zero(t, kept.released.Load())
	require.EqualValues(t, 1, kept.abandoned.Load())
	late.Free() // the transport frees it after all
	l.end()
	require.Zero(t, kept.released.Load())
	require.EqualValues(t, 1, kept.abandoned.Load())
}

// Units that were returned are not kept in memory by the call.
func TestLending_ForgetsWhatWasReturned(t *testing.T) {
	t.Parallel()
	var l lending
	for range 1000 {
		l.lend(bigUnit(new(lender))).Free()
	}
	require.LessOrEqual(t, len(l.lent), 1)
}

// What cannot be abandoned is copied, and so is what is sent after the end of the call.
func TestLending_CopiesWhatCannotBeAbandoned(t *testing.T) {
	t.Parallel()
	var l lending
	owner := new(releaser)
	u := bigUnit(owner)
	b := l.lend(u)
	require.EqualValues(t, 1, owner.released.Load())
	require.NotSame(t, &u.Data[0], &b.ReadOnlyData()[0])
	b.Free()
	l.end()

	late := new(lender)
	u = bigUnit(late)
	b = l.lend(u)
	require.EqualValues(t, 1, late.released.Load())
	require.NotSame(t, &u.Data[0], &b.ReadOnlyData()[0])
	require.Empty(t, l.lent)
}

func TestLending_WithoutOwnerOrCall(t *testing.T) {
	t.Parallel()
	var none *lending
	none.lend(bigUnit(nil)).Free()
	owner := new(lender)
	none.lend(bigUnit(owner)).Free()
	require.EqualValues(t, 1, owner.released.Load())
}

// The transport frees buffers while the call ends: each unit is returned once.
func TestLending_EndDuringFree(t *testing.T) {
	t.Parallel()
	for range 200 {
		var l lending
		owners := make([]lender, 8)
		var all sync.WaitGroup
		for i := range owners {
			b := l.lend(bigUnit(&owners[i]))
			all.Go(b.Free)
		}
		all.Go(l.end)
		all.Wait()
		for i := range owners {
			require.EqualValues(t, 1, owners[i].released.Load()+owners[i].abandoned.Load())
		}
	}
}
