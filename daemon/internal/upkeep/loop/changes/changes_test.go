package changes_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/changes"
)

func TestOldChangesAreRemovedAndTheOthersKept(t *testing.T) {
	t.Parallel()
	m := mem.NewMetadata()
	const recorded = 2*store.MaxListLimit + 5
	for range recorded {
		require.NoError(t, m.UpdateBucket(t.Context(), store.Bucket{Name: store.DefaultBucket}, ""))
	}
	kept := changes.New(changes.Config{Meta: m})
	out, err := kept.Step(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, out)

	l := changes.New(changes.Config{Meta: m, Keep: store.Retention{Age: time.Hour, Count: 5}})
	require.Equal(t, changes.Name, l.Name())
	require.Equal(t, time.Second, l.Pace().Every)
	var states []upkeep.State
	for range 3 {
		out, err := l.Step(t.Context(), 1)
		require.NoError(t, err)
		states = append(states, out.State)
	}
	require.Equal(t, []upkeep.State{upkeep.Busy, upkeep.Busy, upkeep.Idle}, states)
	page, err := m.ChangesAfter(t.Context(), recorded-5, 10)
	require.NoError(t, err)
	require.Len(t, page.Changes, 5)
	_, err = m.ChangesAfter(t.Context(), recorded-6, 10)
	require.ErrorIs(t, err, store.NotFound)

	require.NoError(t, m.Close())
	_, err = l.Step(context.Background(), 1)
	require.ErrorIs(t, err, store.Unavailable)
}
