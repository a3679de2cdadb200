package metatest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// fenceTests hold every change whose answer can be lost to one rule: once it was abandoned, it cannot happen any more,
// however late it arrives; and where it came first, abandoning it says so and changes nothing.
var fenceTests = []test{
	{"a commit that was abandoned, and then arrives, is Conflict", func(t *testing.T, m store.Metadata) {
		old := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, old)
		f := newFile("a", newPart(1, newNodes(2)...))
		require.NoError(t, m.FailFile(t.Context(), f, "no answer", f.Parts))
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f})
		requireKind(t, store.Conflict, err)
		requireShown(t, m, f.Bucket, "a", old.ID)
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, store.Failed, got.State)
		require.Equal(t, "no answer", got.Failure)
		require.Equal(t, f.Key, got.Key)
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		requireKind(t, store.Conflict, err)
		requireKind(t, store.Exists, m.BeginFile(t.Context(), f))
		requireShown(t, m, f.Bucket, "a", old.ID)
	}},
	{"a commit that came before it was abandoned stays", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		requireKind(t, store.Conflict, m.FailFile(t.Context(), f, "no answer", f.Parts))
		requireShown(t, m, f.Bucket, "a", f.ID)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a commit into a bucket that was deleted can be abandoned", func(t *testing.T, m store.Metadata) {
		name := bucket(t, m, "photos")
		f := newFile("a", newPart(1, newNodes(2)...))
		f.Bucket = name
		require.NoError(t, m.FailFile(t.Context(), f, "no answer", nil))
		require.NoError(t, m.DeleteBucket(t.Context(), name, ""))
		g := newFile("b", newPart(1, newNodes(2)...))
		g.Bucket = name
		require.NoError(t, m.FailFile(t.Context(), g, "no answer", g.Parts))
		requireQueued(t, m, store.Reclaim, chunksOf(g.Parts...)...)
		bucket(t, m, name)
		for _, x := range []store.File{f, g} {
			_, _, err := m.CommitFile(t.Context(), store.Commit{File: x})
			requireKind(t, store.Conflict, err)
		}
	}},
	{"of a commit and its being abandoned at once exactly one wins", func(t *testing.T, m store.Metadata) {
		commitAgainstFail(t, m, m)
	}},
	{"a group of commits is not harmed by one of them that was abandoned", func(t *testing.T, m store.Metadata) {
		commitBesideFailed(t, m)
	}},
	{"a part that was dropped, and then arrives, is Conflict", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p, q := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)
		beginPart(t, m, s.ID, q)
		for _, x := range []store.Part{p, q} {
			require.NoError(t, m.DropPart(t.Context(), x))
			requireKind(t, store.Conflict, m.SavePart(t.Context(), by(s.ID), x, time.Hour))
			requireKind(t, store.Conflict, m.AddPart(t.Context(), by(s.ID), x, time.Hour))
			requireKind(t, store.Conflict, m.BeginPart(t.Context(), s.ID, x))
		}
		requireParts(t, m, s.ID)
		requireQueued(t, m, store.Reclaim, chunksOf(p, q)...)
		requireQueued(t, m, store.Repair)
	}},
	{"of a save and a drop of a part at once exactly one wins", func(t *testing.T, m store.Metadata) {
		saveAgainstDrop(t, m, m)
	}},
	{"a deletion that was abandoned, and then arrives, is Conflict", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		attempt := abandoned(t, m)
		requireKind(t, store.Conflict, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: attempt}))
		requireShown(t, m, f.Bucket, "a", f.ID)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a rename that was abandoned, and then arrives, is Conflict", func(t *testing.T, m store.Metadata) {
		f, there := newFile("a"), newFile("b", newPart(1, newNodes(2)...))
		put(t, m, f)
		put(t, m, there)
		_, _, err := m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: "b", Attempt: abandoned(t, m)})
		requireKind(t, store.Conflict, err)
		requireShown(t, m, f.Bucket, "a", f.ID)
		requireShown(t, m, f.Bucket, "b", there.ID)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a completion that was abandoned, and then arrives, is Conflict, and the session stays", func(t *testing.T, m store.Metadata) {
		old := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, old)
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		want := sessionOf(t, m, s.ID)
		_, _, err := m.CompleteSession(t.Context(), store.Completion{File: fileOf(s, p), Sessions: []store.FileID{s.ID}, Attempt: abandoned(t, m)})
		requireKind(t, store.Conflict, err)
		same(t, want, sessionOf(t, m, s.ID))
		requireShown(t, m, s.Bucket, "a", old.ID)
		requireQueued(t, m, store.Reclaim)
		complete(t, m, fileOf(s, p), s.ID)
	}},
	{"a change that happened cannot be abandoned", func(t *testing.T, m store.Metadata) {
		f, g := newFile("a"), newFile("b")
		put(t, m, f)
		put(t, m, g)
		s := session(t, m, "c")
		attempts := []store.AttemptID{store.NewAttemptID(), store.NewAttemptID(), store.NewAttemptID()}
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: attempts[0]}))
		_, _, err := m.RenameFile(t.Context(), store.Rename{File: g.ID, Bucket: g.Bucket, Key: "d", Attempt: attempts[1]})
		require.NoError(t, err)
		_, _, err = m.CompleteSession(t.Context(), store.Completion{File: fileOf(s), Sessions: []store.FileID{s.ID}, Attempt: attempts[2]})
		require.NoError(t, err)
		for range 2 {
			for _, attempt := range attempts {
				happened, err := m.Abandon(t.Context(), attempt)
				require.NoError(t, err)
				require.True(t, happened)
			}
		}
	}},
	{"a change that was refused did not happen", func(t *testing.T, m store.Metadata) {
		f, s := newFile("a"), session(t, m, "c")
		put(t, m, f)
		for name, change := range map[string]func(store.AttemptID) error{
			"delete": func(a store.AttemptID) error {
				return m.DeleteFile(t.Context(), store.Deletion{File: store.NewFileID(), Attempt: a})
			},
			"rename": func(a store.AttemptID) error {
				_, _, err := m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: "nowhere", Key: "b", Attempt: a})
				return err
			},
			"complete": func(a store.AttemptID) error {
				_, _, err := m.CompleteSession(t.Context(), store.Completion{File: fileOf(s, newPart(1, newNodes(1)...)), Sessions: []store.FileID{s.ID}, Attempt: a})
				return err
			},
		} {
			attempt := store.NewAttemptID()
			require.Error(t, change(attempt), name)
			happened, err := m.Abandon(t.Context(), attempt)
			require.NoError(t, err)
			require.False(t, happened, name)
		}
	}},
	{"an attempt without an id is Invalid to abandon", func(t *testing.T, m store.Metadata) {
		_, err := m.Abandon(t.Context(), store.AttemptID{})
		requireKind(t, store.Invalid, err)
	}},
	{"an attempt of a gateway whose clock is days behind is kept as long as others", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		attempt := store.AttemptsFrom(time.Now().Add(-3 * store.FenceFor))
		happened, err := m.Abandon(t.Context(), attempt)
		require.NoError(t, err)
		require.False(t, happened)
		_, err = m.SweepDeleted(t.Context(), 0, 100)
		require.NoError(t, err)
		requireKind(t, store.Conflict, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: attempt}))
		requireShown(t, m, f.Bucket, "a", f.ID)
	}},
	{"of a change and its being abandoned at once exactly one wins", func(t *testing.T, m store.Metadata) {
		changeAgainstAbandon(t, m, m)
	}},
}

// abandoned gives an attempt that was abandoned before it arrives.
func abandoned(tb testing.TB, m store.Metadata) store.AttemptID {
	tb.Helper()
	attempt := store.NewAttemptID()
	for range 2 {
		happened, err := m.Abandon(tb.Context(), attempt)
		require.NoError(tb, err)
		require.False(tb, happened)
	}
	return attempt
}

// both runs two calls at once.
func both(one, two func() error) (first, second error) {
	var all sync.WaitGroup
	all.Go(func() { first = one() })
	all.Go(func() { second = two() })
	all.Wait()
	return first, second
}

// commitAgainstFail overwrites a key and abandons the write at the same time: one of the two versions is there, whole.
func commitAgainstFail(t *testing.T, one, two store.Metadata) {
	for i := range 20 {
		key := store.Key(fmt.Sprint("contended-", i))
		old, next := newFile(key, newPart(1, newNodes(2)...)), newFile(key, newPart(1, newNodes(2)...))
		put(t, one, old)
		committed, failed := both(
			func() error { _, _, err := one.CommitFile(t.Context(), store.Commit{File: next}); return err },
			func() error { return two.FailFile(t.Context(), next, "no answer", next.Parts) })
		if committed == nil {
			requireKind(t, store.Conflict, failed)
			requireShown(t, one, next.Bucket, key, next.ID)
			requireQueued(t, one, store.Reclaim, chunksOf(old.Parts...)...)
			continue
		}
		require.NoError(t, failed)
		requireKind(t, store.Conflict, committed)
		requireShown(t, one, old.Bucket, key, old.ID)
		requireQueued(t, one, store.Reclaim, chunksOf(next.Parts...)...)
	}
}

// commitBesideFailed commits many files at once, one of which was abandoned.
func commitBesideFailed(t *testing.T, m store.Metadata) {
	lost := newFile("lost", newPart(1, newNodes(2)...))
	require.NoError(t, m.FailFile(t.Context(), lost, "no answer", nil))
	errs := make([]error, 40)
	var all sync.WaitGroup
	for i := range errs {
		f := newFile(store.Key(fmt.Sprint("good-", i)), newPart(1, newNodes(2)...))
		if i == len(errs)/2 {
			f = lost
		}
		all.Go(func() { _, _, errs[i] = m.CommitFile(t.Context(), store.Commit{File: f}) })
	}
	all.Wait()
	for i, err := range errs {
		if i == len(errs)/2 {
			requireKind(t, store.Conflict, err)
			continue
		}
		require.NoError(t, err)
	}
}

// saveAgainstDrop saves a part and drops it at the same time.
func saveAgainstDrop(t *testing.T, one, two store.Metadata) {
	for i := range 20 {
		s := session(t, one, "a")
		p := newPart(1, newNodes(2)...)
		if i%2 == 0 {
			beginPart(t, one, s.ID, p)
		}
		saved, dropped := both(
			func() error { return one.SavePart(t.Context(), by(s.ID), p, time.Hour) },
			func() error { return two.DropPart(t.Context(), p) })
		if saved == nil {
			requireKind(t, store.Conflict, dropped)
			requireParts(t, one, s.ID, p)
			requireQueued(t, one, store.Reclaim)
			continue
		}
		require.NoError(t, dropped)
		requireKind(t, store.Conflict, saved)
		requireParts(t, one, s.ID)
		requireQueued(t, one, store.Reclaim, chunksOf(p)...)
	}
}

// changeAgainstAbandon deletes and renames files while the attempts are abandoned.
func changeAgainstAbandon(t *testing.T, one, two store.Metadata) {
	for i := range 20 {
		f := newFile(store.Key(fmt.Sprint("from-", i)))
		put(t, one, f)
		attempt, to := store.NewAttemptID(), store.Key(fmt.Sprint("to-", i))
		var happened bool
		changed, failed := both(
			func() error {
				if i%2 == 0 {
					return one.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: attempt})
				}
				_, _, err := one.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: to, Attempt: attempt})
				return err
			},
			func() (err error) { happened, err = two.Abandon(t.Context(), attempt); return err })
		require.NoError(t, failed)
		require.Equal(t, happened, changed == nil)
		switch {
		case !happened:
			requireKind(t, store.Conflict, changed)
			requireShown(t, one, f.Bucket, f.Key, f.ID)
		case i%2 == 0:
			requireNoFile(t, one, f.ID)
		default:
			requireShown(t, one, f.Bucket, to, f.ID)
		}
	}
}

// sweepTests are about what stays of deleted files.
var sweepTests = []test{
	{"what was deleted or replaced keeps its parts for the grace", func(t *testing.T, m store.Metadata) {
		deleted, replaced := newFile("a", newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)), newFile("b", newPart(1, newNodes(2)...))
		next := newFile("b", newPart(1, newNodes(2)...))
		put(t, m, deleted)
		put(t, m, replaced)
		put(t, m, next)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: deleted.ID, Attempt: store.NewAttemptID()}))
		swept, err := m.SweepDeleted(t.Context(), time.Hour, 100)
		require.NoError(t, err)
		require.Zero(t, swept)
		for _, f := range []store.File{deleted, replaced} {
			got, err := m.File(t.Context(), f.ID)
			require.NoError(t, err)
			require.Equal(t, store.Deleted, got.State)
			require.False(t, got.Latest)
			same(t, f.Parts, got.Parts)
			p, of, err := m.Part(t.Context(), f.Parts[0].ID)
			require.NoError(t, err)
			same(t, f.Parts[0], p)
			require.Equal(t, store.Deleted, of.State)
			requireKind(t, store.NotFound, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
			_, _, err = m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: "c", Attempt: store.NewAttemptID()})
			requireKind(t, store.NotFound, err)
		}
		parts, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		same(t, next.Parts, parts)
		require.Equal(t, []store.FileID{next.ID}, fileIDs(t, m, store.FileQuery{Limit: 10}))
		require.Empty(t, claimAll(t, m, store.Reclaim))

		requireQueued(t, m, store.Reclaim, chunksOf(append(deleted.Parts, replaced.Parts...)...)...)
		for _, f := range []store.File{deleted, replaced} {
			_, err := m.File(t.Context(), f.ID)
			requireKind(t, store.NotFound, err)
			_, _, err = m.Part(t.Context(), f.Parts[0].ID)
			requireKind(t, store.NotFound, err)
		}
	}},
	{"parts are swept in bounded steps, the longest deleted first", func(t *testing.T, m store.Metadata) {
		var files []store.File
		var want []work
		for i := range 3 {
			f := newFile(store.Key(fmt.Sprint(i)))
			for n := range 25 {
				f.Parts = append(f.Parts, newPart(n+1, newNodes(2)...))
			}
			put(t, m, f)
			files, want = append(files, f), append(want, chunksOf(f.Parts...)...)
		}
		for _, f := range files {
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		}
		swept, err := m.SweepDeleted(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Positive(t, swept)
		require.LessOrEqual(t, swept, 10)
		require.EqualValues(t, 2*swept, depth(t, m, store.Reclaim).Tasks)
		first, err := m.File(t.Context(), files[0].ID)
		require.NoError(t, err)
		require.Len(t, first.Parts, 25-swept)
		for total := swept; ; total += swept {
			if swept, err = m.SweepDeleted(t.Context(), 0, 10); swept == 0 {
				require.NoError(t, err)
				require.Equal(t, 78, total, "25 parts of each of three files, and the files")
				break
			}
			require.LessOrEqual(t, swept, 10)
		}
		requireQueued(t, m, store.Reclaim, want...)
	}},
	{"what sessions leave behind is swept whatever the grace", func(t *testing.T, m store.Metadata) {
		s, aborted := session(t, m, "a"), session(t, m, "b")
		taken, left, begun, other := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...), newPart(3, newNodes(2)...), newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, taken)
		savePart(t, m, s.ID, left)
		beginPart(t, m, s.ID, begun)
		savePart(t, m, aborted.ID, other)
		complete(t, m, fileOf(s, taken), s.ID)
		require.NoError(t, m.AbortSession(t.Context(), by(aborted.ID)))
		for {
			swept, err := m.SweepDeleted(t.Context(), time.Hour, 100)
			require.NoError(t, err)
			if swept == 0 {
				break
			}
		}
		requireQueued(t, m, store.Reclaim, chunksOf(left, begun, other)...)
		requireNoFile(t, m, aborted.ID)
	}},
	{"a bucket with deleted files only is empty, and their parts are swept after it was deleted", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.Bucket = bucket(t, m, "photos")
		put(t, m, f)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		require.NoError(t, m.DeleteBucket(t.Context(), f.Bucket, ""))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
	{"an upload that is deleted while it runs leaves nothing", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		begin(t, m, f)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		requireKind(t, store.NotFound, err)
		late := newPart(1, newNodes(2)...)
		require.NoError(t, m.FailFile(t.Context(), f, "deleted", []store.Part{late}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts[0], late)...)
	}},
	{"a grace or a limit out of bounds is Invalid", func(t *testing.T, m store.Metadata) {
		for _, bad := range []error{
			second(m.SweepDeleted(t.Context(), -1, 1)), second(m.SweepDeleted(t.Context(), 0, 0)), second(m.SweepDeleted(t.Context(), 0, store.MaxListLimit+1)),
		} {
			require.True(t, errors.Is(bad, store.Invalid), "%v", bad)
		}
	}},
	{"sweeps at once queue each chunk once", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		for n := range 40 {
			f.Parts = append(f.Parts, newPart(n+1, newNodes(2)...))
		}
		put(t, m, f)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { _, errs[i] = m.SweepDeleted(t.Context(), 0, 7) })
		}
		all.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
}

func second(_ int, err error) error { return err }
