package metatest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func loopReport(tb testing.TB, m store.Metadata) store.LoopReport {
	tb.Helper()
	r, err := m.LoopReport(tb.Context())
	require.NoError(tb, err)
	return r
}

// requireReport demands that the last report is this, saved not long ago.
func requireReport(tb testing.TB, m store.Metadata, want store.LoopReport) {
	tb.Helper()
	got := loopReport(tb, m)
	require.GreaterOrEqual(tb, got.Age, time.Duration(0))
	require.Less(tb, got.Age, time.Hour)
	got.Age = 0
	same(tb, want, got)
}

func wakeups(tb testing.TB, m store.Metadata) map[string]uint64 {
	tb.Helper()
	counts, err := m.Wakeups(tb.Context())
	require.NoError(tb, err)
	return counts
}

var loopTests = []test{
	{"a report is read as it was saved, by name", func(t *testing.T, m store.Metadata) {
		same(t, store.LoopReport{}, loopReport(t, m))
		repair := store.LoopProgress{
			Name: "repair", State: "busy", Steps: 1, Items: 1 << 40, Bytes: 1 << 50, Failures: 2, Cost: 1500 * time.Microsecond,
			Idle: 3 * time.Second, Error: "node é does not answer",
		}
		expire := store.LoopProgress{Name: "expire", State: "idle", Idle: -1 * time.Microsecond}
		require.NoError(t, m.SaveLoops(t.Context(), store.LoopReport{Owner: "gateway-1", Term: 3, Loops: []store.LoopProgress{repair, expire}, Age: time.Hour}))
		requireReport(t, m, store.LoopReport{Owner: "gateway-1", Term: 3, Loops: []store.LoopProgress{expire, repair}})
		repair.State, repair.Items, repair.Error = "failing", 7, ""
		require.NoError(t, m.SaveLoops(t.Context(), store.LoopReport{Owner: "gateway-1", Term: 3, Loops: []store.LoopProgress{expire, repair}}))
		requireReport(t, m, store.LoopReport{Owner: "gateway-1", Term: 3, Loops: []store.LoopProgress{expire, repair}})
	}},
	{"a later term replaces the report, an earlier one is in Conflict", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.SaveLoops(t.Context(), store.LoopReport{Owner: "old", Term: 1, Loops: []store.LoopProgress{{Name: "a", State: "busy"}, {Name: "b", State: "busy"}}}))
		want := store.LoopReport{Owner: "new", Term: 2, Loops: []store.LoopProgress{{Name: "b", State: "idle"}, {Name: "c", State: "idle"}}}
		require.NoError(t, m.SaveLoops(t.Context(), want))
		requireReport(t, m, want)
		for _, name := range []string{"a", "b", "z"} {
			requireKind(t, store.Conflict, m.SaveLoops(t.Context(), store.LoopReport{Owner: "old", Term: 1, Loops: []store.LoopProgress{{Name: name, State: "busy"}}}))
		}
		requireReport(t, m, want)
	}},
	{"the age of a report grows, and starts again with the next", func(t *testing.T, m store.Metadata) {
		r := store.LoopReport{Owner: "a", Term: 1, Loops: []store.LoopProgress{{Name: "a", State: "busy"}}}
		require.NoError(t, m.SaveLoops(t.Context(), r))
		require.Eventually(t, func() bool { return loopReport(t, m).Age >= 20*time.Millisecond }, patience, time.Millisecond)
		require.Eventually(t, func() bool {
			require.NoError(t, m.SaveLoops(t.Context(), r))
			return loopReport(t, m).Age < 20*time.Millisecond
		}, patience, time.Millisecond)
	}},
	{"a report without a term, or a loop without a name, is Invalid", func(t *testing.T, m store.Metadata) {
		for _, r := range []store.LoopReport{
			{Owner: "a"},
			{Term: 1, Loops: []store.LoopProgress{{}}},
			{Term: 1, Loops: []store.LoopProgress{{Name: strings.Repeat("a", 65)}}},
			{Term: 1, Loops: []store.LoopProgress{{Name: "a"}, {Name: "b"}, {Name: "a"}}},
		} {
			requireKind(t, store.Invalid, m.SaveLoops(t.Context(), r))
		}
		requireKind(t, store.Invalid, m.WakeLoops(t.Context(), []string{"a", ""}))
		require.Empty(t, wakeups(t, m))
	}},
	{"wake-ups are counted by loop", func(t *testing.T, m store.Metadata) {
		require.Empty(t, wakeups(t, m))
		require.NoError(t, m.WakeLoops(t.Context(), []string{"reclaim"}))
		require.NoError(t, m.WakeLoops(t.Context(), []string{"repair", "reclaim"}))
		require.NoError(t, m.WakeLoops(t.Context(), []string{"review", "review"}))
		require.NoError(t, m.WakeLoops(t.Context(), nil))
		require.Equal(t, map[string]uint64{"reclaim": 2, "repair": 1, "review": 1}, wakeups(t, m))
	}},
	{"changes of jobs wake the runner of jobs", func(t *testing.T, m store.Metadata) {
		count := func() uint64 { return wakeups(t, m)[store.JobsLoop] }
		id := createJob(t, m, newJob("drain", "n1")).ID
		require.EqualValues(t, 1, count())
		_, err := m.CreateJob(t.Context(), newJob("drain", "n1"))
		requireKind(t, store.Exists, err)
		claimJob(t, m, id, "a", 1)
		saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobRunning})
		require.EqualValues(t, 1, count())
		wishJob(t, m, id, store.WishPause)
		require.EqualValues(t, 2, count())
		wishJob(t, m, id, store.WishPause)
		saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobPaused})
		require.EqualValues(t, 2, count())
		saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobQueued})
		require.EqualValues(t, 3, count())
	}},
	{"wake-ups at once are all counted", func(t *testing.T, m store.Metadata) {
		wakeAtOnce(t, m)
	}},
}

// wakeAtOnce wakes the same loops side by side, named in either order.
func wakeAtOnce(t *testing.T, stores ...store.Metadata) {
	const count, each = 6, 10
	var all sync.WaitGroup
	errs := make([]error, count)
	for i := range count {
		names := []string{"a", "b"}
		if i%2 == 0 {
			names = []string{"b", "a"}
		}
		all.Go(func() {
			for n := 0; n < each && errs[i] == nil; n++ {
				errs[i] = stores[i%len(stores)].WakeLoops(t.Context(), names)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, map[string]uint64{"a": count * each, "b": count * each}, wakeups(t, stores[0]))
}
