package metatest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// newJob is a job as an operator creates it.
func newJob(kind, target string) store.Job {
	return store.Job{ID: store.NewJobID(), Kind: kind, Target: target, Args: []byte(`{"to": 3.50}`), CreatedBy: "AKIA"}
}

func createJob(tb testing.TB, m store.Metadata, j store.Job) store.Job {
	tb.Helper()
	stored, err := m.CreateJob(tb.Context(), j)
	require.NoError(tb, err)
	return stored
}

func claimJob(tb testing.TB, m store.Metadata, id store.JobID, owner string, term uint64) store.Job {
	tb.Helper()
	j, err := m.ClaimJob(tb.Context(), store.JobClaim{ID: id, Owner: owner, Term: term})
	require.NoError(tb, err)
	return j
}

func saveJob(tb testing.TB, m store.Metadata, p store.JobProgress) store.Job {
	tb.Helper()
	j, err := m.SaveJob(tb.Context(), p)
	require.NoError(tb, err)
	return j
}

func wishJob(tb testing.TB, m store.Metadata, id store.JobID, w store.JobWish) store.Job {
	tb.Helper()
	j, err := m.WishJob(tb.Context(), id, w, "AKIB")
	require.NoError(tb, err)
	return j
}

// requireJob demands that the job is stored so.
func requireJob(tb testing.TB, m store.Metadata, want store.Job) {
	tb.Helper()
	got, err := m.Job(tb.Context(), want.ID)
	require.NoError(tb, err)
	same(tb, want, got)
}

// jobIDs are the ids of all pages of the query.
func jobIDs(tb testing.TB, m store.Metadata, q store.JobQuery) (ids []store.JobID) {
	tb.Helper()
	for {
		page, err := m.ListJobs(tb.Context(), q)
		require.NoError(tb, err)
		for _, j := range page.Jobs {
			ids = append(ids, j.ID)
		}
		if !page.More {
			return ids
		}
		require.Len(tb, page.Jobs, q.Limit)
		q.After = page.Next
	}
}

var jobTests = []test{
	{"a created job is queued, as it was given, with the store's time", func(t *testing.T, m store.Metadata) {
		given := newJob("drain", "node-é")
		given.State, given.Owner, given.Term, given.Cursor, given.Wish = store.JobDone, "x", 9, []byte("c"), store.WishCancel
		j := createJob(t, m, given)
		requireStoreTime(t, j.CreatedAt)
		same(t, store.Job{
			ID: given.ID, Kind: "drain", Target: "node-é", Args: []byte(`{"to": 3.50}`), CreatedBy: "AKIA",
			State: store.JobQueued, CreatedAt: j.CreatedAt, UpdatedAt: j.CreatedAt,
		}, j)
		requireJob(t, m, j)
		none := store.Job{ID: store.NewJobID(), Kind: "fsck"}
		require.Nil(t, createJob(t, m, none).Args)
	}},
	{"one unfinished job of a kind and target", func(t *testing.T, m store.Metadata) {
		first := createJob(t, m, newJob("drain", "n1"))
		for _, state := range []store.JobState{store.JobQueued, store.JobRunning, store.JobPaused} {
			switch state {
			case store.JobRunning:
				claimJob(t, m, first.ID, "a", 1)
			case store.JobPaused:
				saveJob(t, m, store.JobProgress{ID: first.ID, Term: 1, State: state})
			}
			_, err := m.CreateJob(t.Context(), newJob("drain", "n1"))
			requireKind(t, store.Exists, err)
			require.Contains(t, err.Error(), first.ID.String())
		}
		createJob(t, m, newJob("drain", "n2"))
		createJob(t, m, newJob("drain", ""))
		createJob(t, m, newJob("rebalance", "n1"))
		saveJob(t, m, store.JobProgress{ID: first.ID, Term: 2, State: store.JobCanceled})
		createJob(t, m, newJob("drain", "n1"))
		_, err := m.CreateJob(t.Context(), store.Job{ID: first.ID, Kind: "other"})
		requireKind(t, store.Exists, err)
		require.Contains(t, err.Error(), first.ID.String(), "a repeated call finds its own id")
	}},
	{"an invalid job is not stored", func(t *testing.T, m store.Metadata) {
		for _, invalidate := range []func(*store.Job){
			func(j *store.Job) { j.ID = store.JobID{} }, func(j *store.Job) { j.Kind = "" }, func(j *store.Job) { j.Kind = "Drain" },
			func(j *store.Job) { j.Kind = strings.Repeat("a", 33) }, func(j *store.Job) { j.Target = "a\x00" },
			func(j *store.Job) { j.Target = strings.Repeat("a", 1025) }, func(j *store.Job) { j.Args = []byte("{") },
			func(j *store.Job) { j.Args = []byte(`"` + strings.Repeat("a", store.MaxJobBytes) + `"`) },
		} {
			j := newJob("drain", "n1")
			invalidate(&j)
			_, err := m.CreateJob(t.Context(), j)
			requireKind(t, store.Invalid, err)
		}
		require.Empty(t, jobIDs(t, m, store.JobQuery{Limit: 10}))
	}},
	{"a claimed job runs, with its owner and term", func(t *testing.T, m store.Metadata) {
		j := createJob(t, m, newJob("drain", "n1"))
		got := claimJob(t, m, j.ID, "gateway-1", 7)
		requireStoreTime(t, got.StartedAt)
		require.False(t, got.StartedAt.Before(j.CreatedAt))
		j.State, j.Owner, j.Term, j.StartedAt, j.UpdatedAt = store.JobRunning, "gateway-1", 7, got.StartedAt, got.UpdatedAt
		same(t, j, got)
		requireJob(t, m, j)
		same(t, j, claimJob(t, m, j.ID, "gateway-1", 7))
	}},
	{"progress is stored, and returned to the next leader", func(t *testing.T, m store.Metadata) {
		j := claimJob(t, m, createJob(t, m, newJob("drain", "n1")).ID, "a", 1)
		p := store.JobProgress{
			ID: j.ID, Term: 1, State: store.JobRunning, Done: store.Amount{Items: 3, Bytes: 1 << 40}, Total: store.Amount{Items: 9, Bytes: 1 << 50},
			Rate: store.Amount{Items: 1, Bytes: 77}, Cursor: []byte{0, 0xff, 'c'}, Reason: "node n2 does not answer: ключ",
		}
		got := saveJob(t, m, p)
		require.False(t, got.UpdatedAt.Before(j.UpdatedAt))
		j.Done, j.Total, j.Rate, j.Cursor, j.Reason, j.UpdatedAt = p.Done, p.Total, p.Rate, p.Cursor, p.Reason, got.UpdatedAt
		same(t, j, got)
		requireJob(t, m, j)
		next := claimJob(t, m, j.ID, "b", 2)
		j.Owner, j.Term, j.Rate, j.Reason, j.UpdatedAt = "b", 2, store.Amount{}, "", next.UpdatedAt
		same(t, j, next)
	}},
	{"of an earlier term nothing is accepted", func(t *testing.T, m store.Metadata) {
		id := createJob(t, m, newJob("drain", "n1")).ID
		claimJob(t, m, id, "old", 1)
		want := claimJob(t, m, id, "new", 2)
		for _, state := range []store.JobState{store.JobRunning, store.JobDone, store.JobQueued, store.JobCanceled} {
			_, err := m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 1, State: state, Cursor: []byte("late")})
			requireKind(t, store.Conflict, err)
		}
		for _, c := range []store.JobClaim{{ID: id, Owner: "old", Term: 1}, {ID: id, Owner: "other", Term: 2}} {
			_, err := m.ClaimJob(t.Context(), c)
			requireKind(t, store.Conflict, err)
		}
		_, err := m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 3, State: store.JobRunning})
		requireKind(t, store.Conflict, err)
		requireJob(t, m, want)
	}},
	{"a wish is kept beside the state until it is another", func(t *testing.T, m store.Metadata) {
		id := claimJob(t, m, createJob(t, m, newJob("drain", "n1")).ID, "a", 1).ID
		j := wishJob(t, m, id, store.WishPause)
		require.Equal(t, store.JobRunning, j.State)
		require.Equal(t, store.WishPause, j.Wish)
		same(t, j, wishJob(t, m, id, store.WishPause))
		require.Equal(t, store.WishPause, saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobRunning}).Wish, "the runner is told")
		require.Equal(t, store.JobPaused, saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobPaused}).State)
		require.Equal(t, store.WishRun, wishJob(t, m, id, store.WishRun).Wish)
		require.Equal(t, store.JobRunning, claimJob(t, m, id, "a", 1).State)
		wishJob(t, m, id, store.WishCancel)
		_, err := m.WishJob(t.Context(), id, store.WishRun, "")
		requireKind(t, store.Conflict, err)
		_, err = m.WishJob(t.Context(), id, 77, "")
		requireKind(t, store.Invalid, err)
	}},
	{"a job that no gateway runs may be ended or explained by any later term", func(t *testing.T, m store.Metadata) {
		id := createJob(t, m, newJob("unknown", "")).ID
		got := saveJob(t, m, store.JobProgress{ID: id, Term: 5, State: store.JobQueued, Reason: "no gateway knows it"})
		require.Equal(t, "no gateway knows it", got.Reason)
		require.True(t, got.StartedAt.IsZero())
		_, err := m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 4, State: store.JobCanceled})
		requireKind(t, store.Conflict, err)
		_, err = m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 6, State: store.JobRunning})
		requireKind(t, store.Conflict, err)
		require.Equal(t, store.JobCanceled, saveJob(t, m, store.JobProgress{ID: id, Term: 6, State: store.JobCanceled}).State)
	}},
	{"an ended job does not change", func(t *testing.T, m store.Metadata) {
		id := claimJob(t, m, createJob(t, m, newJob("drain", "n1")).ID, "a", 1).ID
		j := saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobFailed, Reason: strings.Repeat("é", store.MaxReason)})
		requireStoreTime(t, j.EndedAt)
		require.LessOrEqual(t, len(j.Reason), store.MaxReason)
		_, err := m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 1, State: store.JobDone})
		requireKind(t, store.Conflict, err)
		_, err = m.ClaimJob(t.Context(), store.JobClaim{ID: id, Owner: "a", Term: 2})
		requireKind(t, store.Conflict, err)
		_, err = m.WishJob(t.Context(), id, store.WishCancel, "")
		requireKind(t, store.Conflict, err)
		requireJob(t, m, j)
	}},
	{"unknown jobs are NotFound, and what is not valid is Invalid", func(t *testing.T, m store.Metadata) {
		id := store.NewJobID()
		_, err := m.Job(t.Context(), id)
		requireKind(t, store.NotFound, err)
		_, err = m.WishJob(t.Context(), id, store.WishPause, "")
		requireKind(t, store.NotFound, err)
		_, err = m.ClaimJob(t.Context(), store.JobClaim{ID: id, Owner: "a", Term: 1})
		requireKind(t, store.NotFound, err)
		_, err = m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 1, State: store.JobDone})
		requireKind(t, store.NotFound, err)
		id = createJob(t, m, newJob("drain", "")).ID
		_, err = m.ClaimJob(t.Context(), store.JobClaim{ID: id, Owner: "a"})
		requireKind(t, store.Invalid, err)
		_, err = m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 1})
		requireKind(t, store.Invalid, err)
		_, err = m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: 1, State: store.JobQueued, Cursor: make([]byte, store.MaxJobBytes+1)})
		requireKind(t, store.Invalid, err)
		_, err = m.ListJobs(t.Context(), store.JobQuery{})
		requireKind(t, store.Invalid, err)
		_, err = m.ListJobs(t.Context(), store.JobQuery{Limit: 1, States: []store.JobState{77}})
		requireKind(t, store.Invalid, err)
	}},
	{"lists are by id, by state, and continue at a cursor", func(t *testing.T, m store.Metadata) {
		var ids, queued []store.JobID
		for i := range 7 {
			j := createJob(t, m, newJob("drain", fmt.Sprint(i)))
			ids = append(ids, j.ID)
			if i%2 == 0 {
				claimJob(t, m, j.ID, "a", 1)
				saveJob(t, m, store.JobProgress{ID: j.ID, Term: 1, State: store.JobDone})
			} else {
				queued = append(queued, j.ID)
			}
		}
		slices.SortFunc(ids, func(a, b store.JobID) int { return bytes.Compare(a[:], b[:]) }) // ids of one moment are in any order
		slices.SortFunc(queued, func(a, b store.JobID) int { return bytes.Compare(a[:], b[:]) })
		for _, limit := range []int{1, 2, 7, 8} {
			require.Equal(t, ids, jobIDs(t, m, store.JobQuery{Limit: limit}))
			require.Equal(t, queued, jobIDs(t, m, store.JobQuery{Limit: limit, States: []store.JobState{store.JobQueued, store.JobPaused}}))
		}
		slices.Reverse(ids)
		require.Equal(t, ids, jobIDs(t, m, store.JobQuery{Limit: 3, Descending: true}))
		require.Empty(t, jobIDs(t, m, store.JobQuery{Limit: 3, States: []store.JobState{}}))
	}},
	{"ended jobs are trimmed, the oldest first, unfinished ones never", func(t *testing.T, m store.Metadata) {
		kept := createJob(t, m, newJob("drain", "kept")).ID
		var ended []store.JobID
		for i := range 5 {
			id := claimJob(t, m, createJob(t, m, newJob("drain", fmt.Sprint(i))).ID, "a", 1).ID
			saveJob(t, m, store.JobProgress{ID: id, Term: 1, State: store.JobDone})
			ended = append(ended, id)
		}
		trim := func(want int, keep store.Retention, limit int) {
			t.Helper()
			n, err := m.TrimJobs(t.Context(), keep, limit)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		trim(0, store.Retention{}, 10)
		trim(0, store.Retention{Age: time.Hour, Count: 5}, 10)
		trim(1, store.Retention{Count: 3}, 1)
		_, err := m.Job(t.Context(), ended[0])
		requireKind(t, store.NotFound, err)
		trim(1, store.Retention{Count: 3}, 10)
		_, err = m.Job(t.Context(), ended[1])
		requireKind(t, store.NotFound, err)
		require.Eventually(t, func() bool {
			n, err := m.TrimJobs(t.Context(), store.Retention{Age: time.Microsecond}, 10)
			require.NoError(t, err)
			return n > 0
		}, patience, time.Millisecond)
		require.Eventually(t, func() bool {
			_, err := m.TrimJobs(t.Context(), store.Retention{Age: time.Microsecond}, 10)
			require.NoError(t, err)
			return slices.Equal([]store.JobID{kept}, jobIDs(t, m, store.JobQuery{Limit: 10}))
		}, patience, time.Millisecond)
		for _, limit := range []int{0, store.MaxListLimit + 1} {
			_, err := m.TrimJobs(t.Context(), store.Retention{Count: 1}, limit)
			requireKind(t, store.Invalid, err)
		}
	}},
	{"of jobs created at once for one target one is stored", func(t *testing.T, m store.Metadata) {
		createJobAtOnce(t, m)
	}},
	{"of claims at once one wins, and its progress alone counts", func(t *testing.T, m store.Metadata) {
		claimJobAtOnce(t, m)
	}},
}

// createJobAtOnce creates jobs for one target side by side.
func createJobAtOnce(t *testing.T, stores ...store.Metadata) {
	const count = 8
	errs, jobs := make([]error, count), make([]store.Job, count)
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { jobs[i], errs[i] = stores[i%len(stores)].CreateJob(t.Context(), newJob("drain", "n1")) })
	}
	all.Wait()
	won := jobIDs(t, stores[0], store.JobQuery{Limit: 10})
	require.Len(t, won, 1)
	for i := range count {
		if errs[i] == nil {
			require.Equal(t, won[0], jobs[i].ID)
			continue
		}
		requireKind(t, store.Exists, errs[i])
		require.Contains(t, errs[i].Error(), won[0].String())
	}
}

// claimJobAtOnce lets owners of different terms claim and save one job side by side.
func claimJobAtOnce(t *testing.T, stores ...store.Metadata) {
	const count = 8
	id := createJob(t, stores[0], newJob("drain", "n1")).ID
	var all sync.WaitGroup
	for i := range count {
		m, term := stores[i%len(stores)], uint64(i+1)
		all.Go(func() {
			if _, err := m.ClaimJob(t.Context(), store.JobClaim{ID: id, Owner: fmt.Sprint("gateway-", term), Term: term}); err != nil {
				requireKind(t, store.Conflict, err)
				return
			}
			_, err := m.SaveJob(t.Context(), store.JobProgress{ID: id, Term: term, State: store.JobRunning, Cursor: []byte{byte(term)}})
			if err != nil {
				requireKind(t, store.Conflict, err)
			}
		})
	}
	all.Wait()
	j, err := stores[0].Job(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, count, j.Term, "the latest term wins in any order")
	require.Equal(t, []byte{count}, j.Cursor)
}
