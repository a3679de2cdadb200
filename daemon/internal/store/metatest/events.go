package metatest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// follower reads events, each once.
type follower struct {
	m    store.Metadata
	last store.EventSeq
}

// follow returns a follower that has read all events so far.
func follow(tb testing.TB, m store.Metadata) *follower {
	tb.Helper()
	f := &follower{m: m}
	f.next(tb)
	return f
}

// next reads the new events, without gaps.
func (f *follower) next(tb testing.TB) (all []store.Event) {
	tb.Helper()
	for {
		page, err := f.m.EventsAfter(tb.Context(), f.last, 2)
		require.NoError(tb, err)
		for _, e := range page.Events {
			require.Equal(tb, f.last+1, e.Seq, "a gap, or an event twice")
			requireStoreTime(tb, e.At)
			f.last = e.Seq
		}
		all = append(all, page.Events...)
		if len(page.Events) == 0 {
			require.Equal(tb, f.last, page.Head)
			return all
		}
	}
}

// requires demands that exactly these events are new. Their number and time are the store's.
func (f *follower) requires(tb testing.TB, what string, want ...store.Event) {
	tb.Helper()
	got := f.next(tb)
	for i := range got {
		got[i].Seq, got[i].At = 0, time.Time{}
		require.NoError(tb, got[i].Validate())
	}
	require.Len(tb, got, len(want), "%s: %v", what, got)
	same(tb, want, got)
}

var eventTests = []test{
	{"an appended event is read as it was given", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		e := store.Event{
			Seq: 99, At: now().AddDate(-1, 0, 0), Kind: "disk.failing", Severity: store.Failure, Subject: "node-é", Message: "The disk of node-é fails.",
			Attrs: map[string]string{"": "empty name", "ключ": "\"quoted\" \x01"}, Caller: "AKIA",
		}
		seq, err := m.AppendEvent(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, f.last+1, seq)
		e.Seq, e.At = 0, time.Time{}
		f.requires(t, "append", e)
		bare := store.Event{Kind: "a.b"}
		_, err = m.AppendEvent(t.Context(), bare)
		require.NoError(t, err)
		f.requires(t, "append", bare)
	}},
	{"invalid events are not appended", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		for _, e := range []store.Event{
			{},
			{Kind: "a"},
			{Kind: "a."},
			{Kind: ".b"},
			{Kind: "A.b"},
			{Kind: "a.b", Severity: 77},
			{Kind: "a." + strings.Repeat("b", 63)},
			{Kind: "a.b", Message: strings.Repeat("m", store.MaxReason+1)},
			{Kind: "a.b", Message: "\xff"},
			{Kind: "a.b", Subject: "\x00"},
			{Kind: "a.b", Attrs: map[string]string{"a": strings.Repeat("m", store.MaxEventAttrs)}},
			{Kind: "a.b", Attrs: map[string]string{"a": "\x00"}},
		} {
			_, err := m.AppendEvent(t.Context(), e)
			requireKind(t, store.Invalid, err)
		}
		f.requires(t, "nothing")
		for _, limit := range []int{0, store.MaxListLimit + 1} {
			_, err := m.EventsAfter(t.Context(), 0, limit)
			requireKind(t, store.Invalid, err)
			_, err = m.TrimEvents(t.Context(), store.Retention{Count: 1}, limit)
			requireKind(t, store.Invalid, err)
		}
	}},
	{"changes of nodes append their events", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		n := newNode("n1")
		join(t, m, n)
		f.requires(t, "join", eventof.NodeJoined(n))
		n.Name, n.Version, n.Capacity.Free = "n2", "v9", 0
		join(t, m, n)
		f.requires(t, "the same node again")
		for _, change := range []func(){func() { n.Address = "other:1" }, func() { n.Zone = "" }, func() { n.Weight++ }} {
			change()
			join(t, m, n)
			f.requires(t, "a change", eventof.NodeChanged(n))
		}
		_, err := m.JoinNode(t.Context(), newNode("n2"))
		requireKind(t, store.Conflict, err)
		_, err = m.BeatNodes(t.Context(), []store.Beat{{Node: n.ID}})
		require.NoError(t, err)
		f.requires(t, "a refused join, a heartbeat")
		require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeDraining, "AKIA"))
		f.requires(t, "drain", eventof.NodeState(n.ID, store.NodeDraining, "AKIA"))
		require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeDraining, "AKIA"))
		requireKind(t, store.NotFound, m.SetNodeState(t.Context(), store.NewNodeID(), store.NodeActive, "AKIA"))
		f.requires(t, "nothing")
		require.NoError(t, m.SetNodeState(t.Context(), n.ID, store.NodeRemoved, ""))
		f.requires(t, "remove", eventof.NodeState(n.ID, store.NodeRemoved, ""))
		_, err = m.JoinNode(t.Context(), n)
		requireKind(t, store.Denied, err)
		requireKind(t, store.Conflict, m.SetNodeState(t.Context(), n.ID, store.NodeActive, "AKIA"))
		f.requires(t, "refused")
	}},
	{"changes of access keys append their events, without secrets", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		c := store.Credential{AccessKey: "AKIB", Sealed: []byte("secret"), Note: "of Ann"}
		require.NoError(t, m.SaveCredential(t.Context(), c, "AKIA"))
		f.requires(t, "save", eventof.Key(store.EventKeyMade, "AKIB", "of Ann", "AKIA"))
		requireKind(t, store.Exists, m.SaveCredential(t.Context(), c, "AKIA"))
		requireKind(t, store.NotFound, m.DeleteCredential(t.Context(), "unknown", "AKIA"))
		f.requires(t, "refused")
		c.AccessKey = "AKIC"
		require.NoError(t, m.ReplaceCredentials(t.Context(), c, ""))
		f.requires(t, "replace", eventof.Key(store.EventKeyReplaced, "AKIC", "of Ann", ""))
		require.NoError(t, m.DeleteCredential(t.Context(), "AKIC", "AKIA"))
		f.requires(t, "delete", eventof.Key(store.EventKeyGone, "AKIC", "", "AKIA"))
	}},
	{"changes of buckets append their events", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		require.NoError(t, m.CreateBucket(t.Context(), store.Bucket{Name: "photos"}, "AKIA"))
		requireKind(t, store.Exists, m.CreateBucket(t.Context(), store.Bucket{Name: "photos"}, "AKIA"))
		f.requires(t, "create", eventof.Bucket(store.EventBucketMade, "photos", "AKIA"))
		require.NoError(t, m.UpdateBucket(t.Context(), store.Bucket{Name: "photos", Survive: 1}, ""))
		requireKind(t, store.NotFound, m.UpdateBucket(t.Context(), store.Bucket{Name: "unknown", Survive: 1}, ""))
		f.requires(t, "update", eventof.Bucket(store.EventBucketSet, "photos", ""))
		file := newFile("a")
		file.Bucket = "photos"
		put(t, m, file)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", "AKIA"))
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: file.ID}))
		f.requires(t, "refused, and files")
		require.NoError(t, m.DeleteBucket(t.Context(), "photos", "AKIA"))
		f.requires(t, "delete", eventof.Bucket(store.EventBucketGone, "photos", "AKIA"))
	}},
	{"a lease that gets another owner appends an event", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		acquire(t, m, "upkeep", "a", time.Hour)
		f.requires(t, "the first", eventof.Lease("upkeep", "a"))
		l := acquire(t, m, "upkeep", "a", time.Hour)
		_, err := m.AcquireLease(t.Context(), "upkeep", "b", time.Hour)
		requireKind(t, store.Conflict, err)
		_, err = m.RenewLease(t.Context(), l, time.Hour)
		require.NoError(t, err)
		require.NoError(t, m.ReleaseLease(t.Context(), l))
		l = acquire(t, m, "upkeep", "a", time.Hour)
		require.NoError(t, m.ReleaseLease(t.Context(), l))
		f.requires(t, "the same owner")
		acquire(t, m, "upkeep", "b", time.Hour)
		f.requires(t, "another", eventof.Lease("upkeep", "b"))
	}},
	{"changes of a job's state and wish append their events", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		j := createJob(t, m, newJob("drain", "n1"))
		attrs := func(more ...string) map[string]string {
			all := map[string]string{"kind": "drain", "target": "n1"}
			for i := 0; i < len(more); i += 2 {
				all[more[i]] = more[i+1]
			}
			return all
		}
		event := func(kind string, s store.Severity, message, caller string, more ...string) store.Event {
			return store.Event{Kind: kind, Severity: s, Subject: j.ID.String(), Message: "Job drain of n1 " + message + ".", Attrs: attrs(more...), Caller: caller}
		}
		f.requires(t, "create", event("job.queued", store.Info, "was queued", "AKIA"))
		_, err := m.CreateJob(t.Context(), newJob("drain", "n1"))
		requireKind(t, store.Exists, err)
		claimJob(t, m, j.ID, "a", 1)
		claimJob(t, m, j.ID, "a", 1)
		f.requires(t, "claim", event("job.started", store.Info, "runs on a", "", "owner", "a"))
		saveJob(t, m, store.JobProgress{ID: j.ID, Term: 1, State: store.JobRunning, Done: store.Amount{Items: 1}})
		f.requires(t, "progress")
		claimJob(t, m, j.ID, "b", 2)
		_, err = m.SaveJob(t.Context(), store.JobProgress{ID: j.ID, Term: 1, State: store.JobDone})
		requireKind(t, store.Conflict, err)
		f.requires(t, "another leader", event("job.resumed", store.Info, "continues on b", "", "owner", "b"))
		wishJob(t, m, j.ID, store.WishPause)
		wishJob(t, m, j.ID, store.WishPause)
		saveJob(t, m, store.JobProgress{ID: j.ID, Term: 2, State: store.JobPaused})
		saveJob(t, m, store.JobProgress{ID: j.ID, Term: 2, State: store.JobQueued, Reason: "why"})
		claimJob(t, m, j.ID, "b", 2)
		saveJob(t, m, store.JobProgress{ID: j.ID, Term: 2, State: store.JobFailed, Reason: "no space"})
		f.requires(t, "pause and end", event("job.wished", store.Info, "is to pause", "AKIB", "wish", "pause"),
			event("job.paused", store.Info, "is paused", ""), event("job.queued", store.Info, "is queued again: why", ""),
			event("job.resumed", store.Info, "continues on b", "", "owner", "b"), event("job.failed", store.Failure, "failed: no space", ""))
		for state, kind := range map[store.JobState]string{store.JobDone: "job.done", store.JobCanceled: "job.canceled"} {
			id := claimJob(t, m, createJob(t, m, newJob("fsck", "")).ID, "b", 2).ID
			saveJob(t, m, store.JobProgress{ID: id, Term: 2, State: state})
			got := f.next(t)
			require.Len(t, got, 3)
			require.Equal(t, kind, got[2].Kind)
		}
	}},
	{"trimmed events are NotFound to a reader that needs them", func(t *testing.T, m store.Metadata) {
		f := follow(t, m)
		start := f.last
		for i := range 6 {
			_, err := m.AppendEvent(t.Context(), store.Event{Kind: "a.b", Subject: fmt.Sprint(i)})
			require.NoError(t, err)
		}
		trim := func(want int, keep store.Retention, limit int) {
			t.Helper()
			n, err := m.TrimEvents(t.Context(), keep, limit)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		trim(0, store.Retention{}, 10)
		trim(0, store.Retention{Age: time.Hour, Count: 1000}, 10)
		for n := 1; n > 0; {
			var err error
			n, err = m.TrimEvents(t.Context(), store.Retention{Count: 4}, 1)
			require.NoError(t, err)
			require.LessOrEqual(t, n, 1)
		}
		_, err := m.EventsAfter(t.Context(), start+1, 10)
		requireKind(t, store.NotFound, err)
		f.last = start + 2
		require.Len(t, f.next(t), 4)
		require.Eventually(t, func() bool {
			n, err := m.TrimEvents(t.Context(), store.Retention{Age: time.Microsecond}, 10)
			require.NoError(t, err)
			return n > 0
		}, patience, time.Millisecond)
		require.Eventually(t, func() bool {
			_, err := m.TrimEvents(t.Context(), store.Retention{Age: time.Microsecond}, 10)
			require.NoError(t, err)
			_, err = m.EventsAfter(t.Context(), start+5, 10)
			return err != nil && store.KindOf(err) == store.NotFound
		}, patience, time.Millisecond)
		require.Empty(t, f.next(t), "a reader that has read all misses nothing")
		seq, err := m.AppendEvent(t.Context(), store.Event{Kind: "a.b"})
		require.NoError(t, err)
		require.Equal(t, start+7, seq, "numbers are not used again")
	}},
	{"a follower beside writers sees each event once", func(t *testing.T, m store.Metadata) {
		followBesideWriters(t, m, m)
	}},
}

// followBesideWriters reads events while they are appended in several ways.
func followBesideWriters(t *testing.T, reader store.Metadata, writers ...store.Metadata) {
	const count, each = 6, 8
	f := follow(t, reader)
	done := make(chan struct{})
	var all sync.WaitGroup
	errs := make([]error, count)
	for i := range count {
		m := writers[i%len(writers)]
		all.Go(func() {
			for n := 0; n < each && errs[i] == nil; n++ {
				switch name := fmt.Sprintf("%d-%d", i, n); i % 3 {
				case 0:
					_, errs[i] = m.AppendEvent(t.Context(), store.Event{Kind: "test.event", Subject: name})
				case 1:
					_, errs[i] = m.JoinNode(t.Context(), newNode(name))
				case 2:
					_, errs[i] = m.CreateJob(t.Context(), newJob("drain", name))
				}
			}
		})
	}
	go func() { all.Wait(); close(done) }()
	seen := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		seen += len(f.next(t))
	}
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, count*each, seen)
}
