package trim_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/trim"
)

func TestOldRecordsAreRemovedAndTheOthersKept(t *testing.T) {
	t.Parallel()
	m := mem.NewMetadata()
	for range 2 * store.MaxListLimit {
		_, err := m.AppendEvent(t.Context(), store.Event{Kind: "test.event"})
		require.NoError(t, err)
	}
	for range 3 {
		j, err := m.CreateJob(t.Context(), store.Job{ID: store.NewJobID(), Kind: "count"})
		require.NoError(t, err)
		_, err = m.SaveJob(t.Context(), store.JobProgress{ID: j.ID, Term: 1, State: store.JobCanceled})
		require.NoError(t, err)
	}
	l := trim.New(trim.Config{Meta: m, Events: store.Retention{Count: 10}, Jobs: store.Retention{Count: 1}})
	require.Equal(t, trim.Name, l.Name())
	require.Positive(t, l.Pace().Every)
	var states []upkeep.State
	for range 3 {
		out, err := l.Step(t.Context(), 1)
		require.NoError(t, err)
		states = append(states, out.State)
	}
	require.Equal(t, []upkeep.State{upkeep.Busy, upkeep.Idle, upkeep.Idle}, states)
	head, err := m.AppendEvent(t.Context(), store.Event{Kind: "test.last"})
	require.NoError(t, err)
	page, err := m.EventsAfter(t.Context(), head-11, 100)
	require.NoError(t, err)
	require.Len(t, page.Events, 11)
	jobs, err := m.ListJobs(t.Context(), store.JobQuery{Limit: 10})
	require.NoError(t, err)
	require.Len(t, jobs.Jobs, 1)

	kept := trim.New(trim.Config{Meta: m})
	out, err := kept.Step(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, out)
	require.NoError(t, m.Close())
	_, err = kept.Step(context.Background(), 1)
	require.ErrorIs(t, err, store.Unavailable)
}
