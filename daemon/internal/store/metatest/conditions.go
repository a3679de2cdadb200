package metatest

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// write is a way to change the key "a" of the default bucket: each prepares what it needs, and returns the change
// with the id that the key shows when it happened (zero: nothing).
type write struct {
	name    string
	prepare func(tb testing.TB, m store.Metadata) func(m store.Metadata, c store.Change) (store.FileID, error)
}

// withETag is a new file of the key whose entity tag is its id.
func withETag(key store.Key, parts ...store.Part) store.File {
	f := newFile(key, parts...)
	f.ETag = f.ID.String()
	return f
}

// writes are all changes that put a file under a key.
var writes = []write{
	{"commit", func(tb testing.TB, _ store.Metadata) func(store.Metadata, store.Change) (store.FileID, error) {
		f := withETag("a", newPart(1, newNodes(2)...))
		return func(m store.Metadata, c store.Change) (store.FileID, error) {
			_, _, err := m.CommitFile(tb.Context(), store.Commit{Change: c, File: f})
			return f.ID, err
		}
	}},
	{"commit of a begun file", func(tb testing.TB, m store.Metadata) func(store.Metadata, store.Change) (store.FileID, error) {
		f := withETag("a", newPart(1, newNodes(2)...))
		begin(tb, m, f)
		return func(m store.Metadata, c store.Change) (store.FileID, error) {
			_, _, err := m.CommitFile(tb.Context(), store.Commit{Change: c, File: f, Begun: true})
			return f.ID, err
		}
	}},
	{"complete", func(tb testing.TB, m store.Metadata) func(store.Metadata, store.Change) (store.FileID, error) {
		s := session(tb, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(tb, m, s.ID, p)
		f := fileOf(s, p)
		f.ETag = f.ID.String()
		return func(m store.Metadata, c store.Change) (store.FileID, error) {
			_, _, err := m.CompleteSession(tb.Context(), store.Completion{Change: c, File: f, Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
			return f.ID, err
		}
	}},
	{"rename", func(tb testing.TB, m store.Metadata) func(store.Metadata, store.Change) (store.FileID, error) {
		f := withETag("", newPart(1, newNodes(2)...))
		f.Key = store.Key("from " + f.ID.String())
		put(tb, m, f)
		return func(m store.Metadata, c store.Change) (store.FileID, error) {
			_, _, err := m.RenameFile(tb.Context(), store.Rename{Change: c, File: f.ID, Bucket: f.Bucket, Key: "a", Attempt: store.NewAttemptID()})
			return f.ID, err
		}
	}},
}

// deletion is the change that deletes the object.
var deletion = write{"delete", func(tb testing.TB, _ store.Metadata) func(store.Metadata, store.Change) (store.FileID, error) {
	return func(m store.Metadata, c store.Change) (store.FileID, error) {
		return store.FileID{}, m.DeleteFile(tb.Context(), store.Deletion{Change: c, Bucket: store.DefaultBucket, Key: "a", Attempt: store.NewAttemptID()})
	}
}}

// changes are all kinds of changes of a key.
var changes = append(slices.Clone(writes), deletion)

// Each state of a key with the conditions that hold for it, and those that do not.
var conditionTests = []test{
	{"a key without a file", func(t *testing.T, m store.Metadata) {
		holds := []store.Condition{{}, {Absent: true}, {NoETags: []string{"x"}}, {Absent: true, NoETags: []string{}}}
		fails := []store.Condition{{Exists: true}, {File: store.NewFileID()}, {ETags: []string{"x"}}, {ETags: []string{}}, {Exists: true, Absent: true}}
		checkConditions(t, m, func() store.FileID { return store.FileID{} }, holds, fails)
	}},
	{"a key with an object", func(t *testing.T, m store.Metadata) {
		f := withETag("a")
		holds := []store.Condition{{}, {Exists: true}, {File: f.ID}, {ETags: []string{"x", f.ETag}}, {NoETags: []string{"x"}}, {Exists: true, File: f.ID, ETags: []string{f.ETag}, NoETags: []string{}}}
		fails := []store.Condition{{Absent: true}, {File: store.NewFileID()}, {ETags: []string{"x"}}, {ETags: []string{}}, {NoETags: []string{"x", f.ETag}}}
		checkConditions(t, m, func() store.FileID {
			f.ID = store.NewFileID()
			return put(t, m, f).ID
		}, nil, fails)
		shown := put(t, m, withETag("a"))
		_, err := deletion.prepare(t, m)(m, store.Change{If: store.Condition{File: shown.ID, ETags: []string{"x"}}})
		requireKind(t, store.PreconditionFailed, err)
		for _, c := range holds {
			requireHolds(t, m, c, f.ETag)
		}
	}},
	{"a delete marker counts as no object", func(t *testing.T, m store.Metadata) {
		marker := withETag("a")
		marker.DeleteMarker = true
		show := func() store.FileID {
			marker.ID = store.NewFileID()
			put(t, m, marker)
			return store.FileID{}
		}
		holds := []store.Condition{{Absent: true}, {NoETags: []string{marker.ETag}}}
		fails := []store.Condition{{Exists: true}, {File: marker.ID}, {ETags: []string{marker.ETag}}}
		checkConditions(t, m, show, holds, fails)
	}},
	{"a change under an unknown bucket is NotFound, whatever its condition", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		f.Bucket = "nowhere"
		for _, c := range []store.Condition{{}, {Absent: true}} {
			_, _, err := m.CommitFile(t.Context(), store.Commit{Change: store.Change{If: c}, File: f})
			requireKind(t, store.NotFound, err)
			requireKind(t, store.NotFound, m.DeleteFile(t.Context(), store.Deletion{Change: store.Change{If: c}, Bucket: "nowhere", Key: "a"}))
		}
	}},
	{"a refused change can be made again without the condition", func(t *testing.T, m store.Metadata) {
		for _, w := range changes {
			f := put(t, m, withETag("a"))
			change := w.prepare(t, m)
			_, err := change(m, store.Change{If: store.Condition{Absent: w.name != "delete", File: store.NewFileID()}})
			requireKind(t, store.PreconditionFailed, err)
			requireShown(t, m, store.DefaultBucket, "a", f.ID)
			shown, err := change(m, store.Change{If: store.Condition{File: f.ID}})
			require.NoError(t, err, w.name)
			requireShown(t, m, store.DefaultBucket, "a", shown)
		}
	}},
	{"a refused completion leaves the session, and a refused commit the upload", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		f := newFile("a", newPart(1, newNodes(2)...))
		begin(t, m, f)
		no := store.Change{If: store.Condition{Exists: true}}
		_, _, err := m.CompleteSession(t.Context(), store.Completion{Change: no, File: fileOf(s, p), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		requireKind(t, store.PreconditionFailed, err)
		requireParts(t, m, s.ID, p)
		_, _, err = m.CommitFile(t.Context(), store.Commit{Change: no, File: f, Begun: true})
		requireKind(t, store.PreconditionFailed, err)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, store.Uploading, got.State)
		same(t, f.Parts, got.Parts)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a refused change did not happen for its attempt", func(t *testing.T, m store.Metadata) {
		put(t, m, withETag("a"))
		attempt := store.NewAttemptID()
		no := store.Change{If: store.Condition{Absent: true}}
		requireKind(t, store.PreconditionFailed, m.DeleteFile(t.Context(), store.Deletion{Change: no, Bucket: store.DefaultBucket, Key: "a", Attempt: attempt}))
		happened, err := m.Abandon(t.Context(), attempt)
		require.NoError(t, err)
		require.False(t, happened)
	}},
	{"a file is deleted by id under a condition of its key", func(t *testing.T, m store.Metadata) {
		f := put(t, m, withETag("a"))
		for _, c := range []store.Condition{{Absent: true}, {File: store.NewFileID()}, {ETags: []string{"x"}}} {
			requireKind(t, store.PreconditionFailed, m.DeleteFile(t.Context(), store.Deletion{Change: store.Change{If: c}, File: f.ID}))
		}
		requireShown(t, m, f.Bucket, "a", f.ID)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{Change: store.Change{If: store.Condition{ETags: []string{f.ETag}}}, File: f.ID}))
		requireNoFile(t, m, f.ID)
	}},
	{"an object is deleted by its key, and what was kept behind it is not shown", func(t *testing.T, m store.Metadata) {
		behind, neighbour := newFile("a", newPart(1, newNodes(2)...)), newFile("a/b")
		put(t, m, behind)
		put(t, m, neighbour)
		f := newFile("a", newPart(1, newNodes(2)...))
		_, previous, err := m.CommitFile(t.Context(), store.Commit{Change: store.Change{Before: store.KeepBefore}, File: f})
		require.NoError(t, err)
		require.Equal(t, behind.ID, previous)
		del := store.Deletion{Change: store.Change{Caller: "key-1"}, Bucket: f.Bucket, Key: "a", Attempt: store.NewAttemptID()}
		require.NoError(t, m.DeleteFile(t.Context(), del))
		requireNoFile(t, m, f.ID)
		requireShown(t, m, f.Bucket, "a", store.FileID{})
		requireShown(t, m, f.Bucket, "a/b", neighbour.ID)
		del.Attempt = store.NewAttemptID()
		requireKind(t, store.NotFound, m.DeleteFile(t.Context(), del))
		got, err := m.File(t.Context(), behind.ID)
		require.NoError(t, err)
		require.Equal(t, store.Complete, got.State)
		require.Equal(t, []store.FileID{behind.ID}, fileIDs(t, m, store.FileQuery{Key: "a", Limit: 10}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
	{"every write can keep the file before it, found by id and by time but not by key", func(t *testing.T, m store.Metadata) {
		for _, w := range writes {
			t.Log(w.name)
			before := put(t, m, withETag("a", newPart(1, newNodes(2)...)))
			change := w.prepare(t, m)
			next, err := change(m, store.Change{Before: store.KeepBefore, Caller: "key-1"})
			require.NoError(t, err)
			requireShown(t, m, before.Bucket, "a", next)
			got, err := m.File(t.Context(), before.ID)
			require.NoError(t, err)
			require.Equal(t, store.Complete, got.State)
			require.False(t, got.Latest)
			require.Contains(t, fileIDs(t, m, store.FileQuery{Limit: 100}), before.ID)
			require.NotContains(t, names(t, m, store.ObjectQuery{Bucket: before.Bucket, Prefix: "a", Limit: 10})[1:], "a")
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: next, Attempt: store.NewAttemptID()}))
			requireShown(t, m, before.Bucket, "a", before.ID)
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: before.ID, Attempt: store.NewAttemptID()}))
			requireShown(t, m, before.Bucket, "a", store.FileID{})
		}
	}},
	{"the caller of a change is stored", func(t *testing.T, m store.Metadata) {
		for _, w := range writes {
			id, err := w.prepare(t, m)(m, store.Change{Caller: "key-" + w.name})
			require.NoError(t, err)
			f, err := m.File(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, "key-"+w.name, f.ChangedBy)
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{Change: store.Change{Caller: "key-2"}, File: id, Attempt: store.NewAttemptID()}))
			f, err = m.File(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, "key-2", f.ChangedBy)
		}
	}},
	{"the files of a key are completed in the order of their commits", func(t *testing.T, m store.Metadata) { completeInOrder(t, m) }},
	{"of writes at once to a key without an object one creates it", func(t *testing.T, m store.Metadata) { createOnce(t, m) }},
	{"of changes at once of one object one happens", func(t *testing.T, m store.Metadata) { changeOnce(t, m) }},
	{"conditional and plain writes at once lose nothing", func(t *testing.T, m store.Metadata) { conditionalBesidePlain(t, m) }},
}

// checkConditions makes every change under every condition, after show has put the key into its state.
func checkConditions(t *testing.T, m store.Metadata, show func() store.FileID, holds, fails []store.Condition) {
	t.Helper()
	for _, w := range changes {
		for _, c := range fails {
			shown := show()
			_, err := w.prepare(t, m)(m, store.Change{If: c})
			require.Error(t, err, "%s under %+v", w.name, c)
			requireKind(t, store.PreconditionFailed, err)
			require.NotEmpty(t, store.HintOf(err))
			requireShown(t, m, store.DefaultBucket, "a", shown)
		}
	}
	for _, w := range writes {
		for _, c := range holds {
			show()
			id, err := w.prepare(t, m)(m, store.Change{If: c})
			require.NoError(t, err, "%s under %+v", w.name, c)
			requireShown(t, m, store.DefaultBucket, "a", id)
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: id}))
		}
	}
}

// requireHolds makes every change under the condition, each of a new object with the entity tag, whose id the
// condition gets where it names one.
func requireHolds(t *testing.T, m store.Metadata, c store.Condition, etag string) {
	t.Helper()
	for _, w := range changes {
		g := withETag("a")
		g.ETag = etag
		put(t, m, g)
		if !c.File.IsZero() {
			c.File = g.ID
		}
		id, err := w.prepare(t, m)(m, store.Change{If: c})
		require.NoError(t, err, "%s under %+v", w.name, c)
		requireShown(t, m, store.DefaultBucket, "a", id)
	}
}

// createOnce lets all changes of writes create one object, spread over the stores.
func createOnce(t *testing.T, stores ...store.Metadata) {
	for round := range 10 {
		m := stores[0]
		var all sync.WaitGroup
		const each = 3
		ids, errs := make([]store.FileID, each*len(writes)), make([]error, each*len(writes))
		for i := range ids {
			change := writes[i%len(writes)].prepare(t, m)
			all.Go(func() {
				ids[i], errs[i] = change(stores[i%len(stores)], store.Change{If: store.Condition{Absent: true}})
			})
		}
		all.Wait()
		winner := requireOneWon(t, store.PreconditionFailed, errs)
		requireShown(t, m, store.DefaultBucket, "a", ids[winner])
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: ids[winner]}), "round %d", round)
	}
}

// changeOnce lets all changes of changes compete for one object, each on the condition that it is what it was.
func changeOnce(t *testing.T, stores ...store.Metadata) {
	m := stores[0]
	for range 10 {
		f := put(t, m, withETag("a", newPart(1, newNodes(2)...)))
		conditions := []store.Condition{{File: f.ID}, {ETags: []string{f.ETag}}}
		var all sync.WaitGroup
		const each = 2
		ids, errs := make([]store.FileID, each*len(changes)), make([]error, each*len(changes))
		for i := range ids {
			change := changes[i%len(changes)].prepare(t, m)
			all.Go(func() {
				ids[i], errs[i] = change(stores[i%len(stores)], store.Change{If: conditions[i/len(changes)]})
			})
		}
		all.Wait()
		winner := requireOneWon(t, store.PreconditionFailed, errs)
		requireShown(t, m, store.DefaultBucket, "a", ids[winner])
		requireNoFile(t, m, f.ID)
		if !ids[winner].IsZero() {
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: ids[winner]}))
		}
	}
}

// completeInOrder writes one key from many writers at once, which keep what was there: along the chain of files, of which each
// names the one before it, the times of completion grow, and deleting the latest shows the one before.
func completeInOrder(t *testing.T, stores ...store.Metadata) {
	m := stores[0]
	const each = 8
	n := each * len(writes)
	ids, before, errs := make([]store.FileID, n), make([]store.FileID, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		f := newFile("a", newPart(1, newNodes(1)...))
		ids[i] = f.ID
		c := store.Change{Before: store.KeepBefore}
		s := stores[i%len(stores)]
		switch i % 3 {
		case 0:
			all.Go(func() { _, before[i], errs[i] = s.CommitFile(t.Context(), store.Commit{Change: c, File: f}) })
		case 1:
			begin(t, m, f)
			all.Go(func() {
				_, before[i], errs[i] = s.CommitFile(t.Context(), store.Commit{Change: c, File: f, Begun: true})
			})
		case 2:
			x, p := session(t, m, "a"), newPart(1, newNodes(1)...)
			savePart(t, m, x.ID, p)
			g := fileOf(x, p)
			ids[i] = g.ID
			all.Go(func() {
				_, before[i], errs[i] = s.CompleteSession(t.Context(), store.Completion{Change: c, File: g, Sessions: []store.FileID{x.ID}, Attempt: store.NewAttemptID()})
			})
		}
	}
	all.Wait()
	previous := map[store.FileID]store.FileID{}
	for i := range ids {
		require.NoError(t, errs[i])
		previous[ids[i]] = before[i]
	}
	latest, err := m.LatestFile(t.Context(), store.DefaultBucket, "a")
	require.NoError(t, err)
	for range n {
		requireShown(t, m, latest.Bucket, "a", latest.ID)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: latest.ID}))
		id := previous[latest.ID]
		if id.IsZero() {
			break
		}
		f, err := m.File(t.Context(), id)
		require.NoError(t, err)
		require.Less(t, f.Seq, latest.Seq)
		require.True(t, f.CompletedAt.Before(latest.CompletedAt), "%s was completed at %v, and the one after it at %v", id, f.CompletedAt, latest.CompletedAt)
		delete(previous, latest.ID)
		latest = f
	}
	require.Len(t, previous, 1, "each file has a place in the chain")
}

// conditionalBesidePlain overwrites one key with and without a condition: each file is latest or was replaced, once, and a
// conditional write that succeeded replaced exactly the file that its condition names.
func conditionalBesidePlain(t *testing.T, stores ...store.Metadata) {
	m := stores[0]
	const writers, rounds = 6, 15
	var mu sync.Mutex
	replaced := map[store.FileID]store.FileID{} // the file before, of each that was stored
	var all sync.WaitGroup
	for w := range writers {
		s := stores[w%len(stores)]
		all.Go(func() {
			for range rounds {
				f := withETag("a", newPart(1, newNodes(1)...))
				var c store.Condition
				if w%2 == 0 {
					if latest, err := s.LatestFile(t.Context(), f.Bucket, "a"); err == nil {
						c.ETags = []string{latest.ETag}
					} else {
						c.Absent = true
					}
				}
				_, previous, err := s.CommitFile(t.Context(), store.Commit{Change: store.Change{If: c}, File: f})
				if err != nil {
					if store.KindOf(err) != store.PreconditionFailed || w%2 != 0 {
						t.Errorf("writer %d: %v", w, err)
					}
					continue
				}
				if c.ETags != nil && previous.String() != c.ETags[0] || c.Absent && !previous.IsZero() {
					t.Errorf("%+v held, but %s was replaced", c, previous)
				}
				mu.Lock()
				replaced[f.ID] = previous
				mu.Unlock()
			}
		})
	}
	all.Wait()
	latest, err := m.LatestFile(t.Context(), store.DefaultBucket, "a")
	require.NoError(t, err)
	chain := 0
	for id := latest.ID; !id.IsZero(); id = replaced[id] {
		require.Contains(t, replaced, id)
		chain++
	}
	require.Equal(t, len(replaced), chain, "each file was replaced once")
}
