package metatest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// head gives the revision of the newest change.
func head(tb testing.TB, m store.Metadata) store.Revision {
	tb.Helper()
	r, err := m.ChangeHead(tb.Context())
	require.NoError(tb, err)
	return r
}

// changesAfter reads all changes after the revision, in pages of up to limit, and demands that they are numbered without gaps.
func changesAfter(tb testing.TB, m store.Metadata, after store.Revision, limit int) (all []store.ObjectChange) {
	tb.Helper()
	for {
		page, err := m.ChangesAfter(tb.Context(), after, limit)
		require.NoError(tb, err)
		require.LessOrEqual(tb, len(page.Changes), limit)
		for _, c := range page.Changes {
			after++
			require.Equal(tb, after, c.Revision)
			requireStoreTime(tb, c.At)
		}
		all = append(all, page.Changes...)
		require.GreaterOrEqual(tb, page.Head, after)
		if after == page.Head {
			return all
		}
		require.NotEmpty(tb, page.Changes, "there are changes up to %d, and none after %d", page.Head, after)
	}
}

// requireRecorded demands that f records exactly these changes, given without Revision and At.
func requireRecorded(tb testing.TB, m store.Metadata, f func(), want ...store.ObjectChange) {
	tb.Helper()
	from := head(tb, m)
	f()
	got := changesAfter(tb, m, from, store.MaxListLimit)
	for i := range got {
		added := got[i].Kind == store.FilePut || got[i].Kind == store.FileRenamed
		require.Equal(tb, added, got[i].Seq > 0)
		got[i].Revision, got[i].Seq, got[i].At = 0, 0, time.Time{}
	}
	same(tb, want, got)
	require.Equal(tb, from+store.Revision(len(want)), head(tb, m))
}

// change is what is to be recorded of the file; sign 1: it was added to the bucket, -1: it was removed.
func change(kind store.ChangeKind, f store.File, latest store.FileID, sign int64) store.ObjectChange {
	return store.ObjectChange{
		Kind: kind, Bucket: f.Bucket, Key: f.Key, File: f.ID, Latest: latest, Bytes: sign * f.Size, Files: sign, Caller: testCaller,
	}
}

const testCaller = "caller"

// byCaller is a change that the caller of these tests makes.
func byCaller(before store.Before) store.Change {
	return store.Change{Before: before, Caller: testCaller}
}

func changePut(tb testing.TB, m store.Metadata, f store.File, before store.Before) {
	tb.Helper()
	_, _, err := m.CommitFile(tb.Context(), store.Commit{File: f, Change: byCaller(before)})
	require.NoError(tb, err)
}

func changeDelete(tb testing.TB, m store.Metadata, d store.Deletion) {
	tb.Helper()
	d.Change, d.Attempt = byCaller(store.ReplaceBefore), store.NewAttemptID()
	require.NoError(tb, m.DeleteFile(tb.Context(), d))
}

func changeRename(tb testing.TB, m store.Metadata, f store.File, to store.BucketName, key store.Key, before store.Before) {
	tb.Helper()
	_, _, err := m.RenameFile(tb.Context(), store.Rename{Change: byCaller(before), File: f.ID, Bucket: to, Key: key, Attempt: store.NewAttemptID()})
	require.NoError(tb, err)
}

// versions puts n files under the key, each kept behind the next.
func versions(tb testing.TB, m store.Metadata, key store.Key, n int) []store.File {
	tb.Helper()
	all := make([]store.File, n)
	for i := range all {
		all[i] = newFile(key, newPart(i+1, newNodes(2)...))
		changePut(tb, m, all[i], store.KeepBefore)
	}
	return all
}

var changeTests = []test{
	{"a new store has no changes", func(t *testing.T, m store.Metadata) {
		require.Zero(t, head(t, m))
		require.Empty(t, changesAfter(t, m, 0, 10))
		trimmed, err := m.TrimChanges(t.Context(), store.Retention{Count: 1}, 10)
		require.NoError(t, err)
		require.Zero(t, trimmed)
	}},
	{"a commit records the file that it adds, and the one that it replaces", func(t *testing.T, m store.Metadata) {
		one, two, three := newFile("a", newPart(1, newNodes(2)...)), newFile("a", newPart(2, newNodes(2)...)), newFile("a")
		three.DeleteMarker = true
		requireRecorded(t, m, func() { changePut(t, m, one, store.ReplaceBefore) }, change(store.FilePut, one, one.ID, 1))
		requireRecorded(t, m, func() { changePut(t, m, two, store.ReplaceBefore) },
			change(store.FileReplaced, one, store.FileID{}, -1), change(store.FilePut, two, two.ID, 1))
		requireRecorded(t, m, func() { changePut(t, m, three, store.KeepBefore) }, change(store.FilePut, three, three.ID, 1))
	}},
	{"an upload is recorded when it is committed, and never when it fails", func(t *testing.T, m store.Metadata) {
		f, failed, deleted := newFile("a", newPart(1, newNodes(2)...)), newFile("a", newPart(1, newNodes(2)...)), newFile("a")
		requireRecorded(t, m, func() {
			for _, upload := range []store.File{f, failed, deleted} {
				begin(t, m, upload)
			}
			require.NoError(t, m.FailFile(t.Context(), failed, "why", nil))
			require.NoError(t, m.FailFile(t.Context(), newFile("a"), "why", nil))
			changeDelete(t, m, store.Deletion{File: deleted.ID})
		})
		f.Size++ // is known at the commit
		requireRecorded(t, m, func() {
			_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true, Change: byCaller(store.ReplaceBefore)})
			require.NoError(t, err)
		}, change(store.FilePut, f, f.ID, 1))
		requireRecorded(t, m, func() { sweep(t, m) })
	}},
	{"a deletion by key leaves no latest file, whatever is behind it", func(t *testing.T, m store.Metadata) {
		all := versions(t, m, "a", 2)
		requireRecorded(t, m, func() { changeDelete(t, m, store.Deletion{Bucket: store.DefaultBucket, Key: "a"}) },
			change(store.FileGone, all[1], store.FileID{}, -1))
	}},
	{"a deletion by id records the version that became latest", func(t *testing.T, m store.Metadata) {
		all := versions(t, m, "a", 3)
		requireRecorded(t, m, func() { changeDelete(t, m, store.Deletion{File: all[1].ID}) },
			change(store.FileGone, all[1], store.FileID{}, -1))
		requireRecorded(t, m, func() { changeDelete(t, m, store.Deletion{File: all[2].ID}) },
			change(store.FileGone, all[2], all[0].ID, -1))
		requireShown(t, m, store.DefaultBucket, "a", all[0].ID)
		requireRecorded(t, m, func() { changeDelete(t, m, store.Deletion{File: all[0].ID}) },
			change(store.FileGone, all[0], store.FileID{}, -1))
	}},
	{"versions are in the order of their commits and renames, whatever their times and ids", func(t *testing.T, m store.Metadata) {
		first := newFile("b")
		put(t, m, first)
		all := versions(t, m, "a", 3)
		older := newFile("a") // its id is older than that of the file that it is put over
		older.ID, older.CreatedAt = store.FileID{1}, now().AddDate(-1, 0, 0)
		changePut(t, m, older, store.KeepBefore)
		changeRename(t, m, first, store.DefaultBucket, "a", store.KeepBefore)
		seq := ^uint64(0)
		for _, want := range []store.File{first, older, all[2], all[1], all[0]} {
			f, err := m.LatestFile(t.Context(), store.DefaultBucket, "a")
			require.NoError(t, err)
			require.Equal(t, want.ID, f.ID)
			require.Less(t, f.Seq, seq)
			seq = f.Seq
			changeDelete(t, m, store.Deletion{File: f.ID})
		}
	}},
	{"a rename is recorded under both keys", func(t *testing.T, m store.Metadata) {
		other := bucket(t, m, "other")
		all := versions(t, m, "a", 2)
		there := newFile("b", newPart(1, newNodes(2)...))
		there.Bucket = other
		changePut(t, m, there, store.ReplaceBefore)
		moved := all[1]
		moved.Bucket, moved.Key = other, "b"
		requireRecorded(t, m, func() { changeRename(t, m, all[1], other, "b", store.ReplaceBefore) },
			change(store.FileReplaced, there, store.FileID{}, -1),
			change(store.FileGone, all[1], all[0].ID, -1), change(store.FileRenamed, moved, moved.ID, 1))
		back := moved
		back.Bucket, back.Key = store.DefaultBucket, "a"
		requireRecorded(t, m, func() { changeRename(t, m, moved, back.Bucket, back.Key, store.KeepBefore) },
			change(store.FileGone, moved, store.FileID{}, -1), change(store.FileRenamed, back, back.ID, 1))
		requireRecorded(t, m, func() { changeRename(t, m, moved, back.Bucket, back.Key, store.KeepBefore) })
	}},
	{"a session is recorded when it is completed", func(t *testing.T, m store.Metadata) {
		before := newFile("a", newPart(1, newNodes(2)...))
		changePut(t, m, before, store.ReplaceBefore)
		p := newPart(1, newNodes(2)...)
		var s store.Session
		requireRecorded(t, m, func() {
			s = session(t, m, "a")
			savePart(t, m, s.ID, p)
			require.NoError(t, m.AbortSession(t.Context(), by(session(t, m, "a").ID)))
		})
		f := fileOf(s, p)
		requireRecorded(t, m, func() {
			_, _, err := m.CompleteSession(t.Context(), store.Completion{Change: byCaller(store.ReplaceBefore), File: f, Sessions: []store.FileID{s.ID}})
			require.NoError(t, err)
		}, change(store.FileReplaced, before, store.FileID{}, -1), change(store.FilePut, f, f.ID, 1))
	}},
	{"buckets are recorded by name, also after they were deleted", func(t *testing.T, m store.Metadata) {
		named := store.ObjectChange{Kind: store.BucketChanged, Bucket: "named"}
		requireRecorded(t, m, func() {
			bucket(t, m, "named")
			require.NoError(t, m.UpdateBucket(t.Context(), store.Bucket{Name: "named", Survive: 1}, "AKIA"))
		}, named, store.ObjectChange{Kind: store.BucketChanged, Bucket: "named", Caller: "AKIA"})
		failed := newFile("a", newPart(1, newNodes(2)...))
		failed.Bucket = "named"
		f := newFile("b")
		f.Bucket = "named"
		requireRecorded(t, m, func() {
			begin(t, m, failed)
			require.NoError(t, m.FailFile(t.Context(), failed, "why", nil))
			changePut(t, m, f, store.ReplaceBefore)
			changeDelete(t, m, store.Deletion{File: f.ID})
			require.NoError(t, m.DeleteBucket(t.Context(), "named", ""))
		}, change(store.FilePut, f, f.ID, 1), change(store.FileGone, f, store.FileID{}, -1), named)
	}},
	{"what is refused leaves no record", refusedChanges},
	{"pages are bounded, and end at the head", func(t *testing.T, m store.Metadata) {
		from := head(t, m)
		for range 7 {
			changePut(t, m, newFile("a"), store.KeepBefore)
		}
		page, err := m.ChangesAfter(t.Context(), from+2, 3)
		require.NoError(t, err)
		require.Len(t, page.Changes, 3)
		require.Equal(t, from+7, page.Head)
		same(t, page.Changes, changesAfter(t, m, from+2, 2)[:3])
		for _, limit := range []int{0, store.MaxListLimit + 1} {
			_, err := m.ChangesAfter(t.Context(), 0, limit)
			requireKind(t, store.Invalid, err)
			_, err = m.TrimChanges(t.Context(), store.Retention{}, limit)
			requireKind(t, store.Invalid, err)
		}
		_, err = m.TrimChanges(t.Context(), store.Retention{Age: -1}, 1)
		requireKind(t, store.Invalid, err)
		_, err = m.ChangesAfter(t.Context(), from+8, 1)
		requireKind(t, store.NotFound, err)
	}},
	{"what was trimmed is NotFound, and the numbers continue", trimChanges},
	{"changes are trimmed by age", func(t *testing.T, m store.Metadata) {
		versions(t, m, "a", 3)
		trimmed, err := m.TrimChanges(t.Context(), store.Retention{Age: time.Hour, Count: 3}, 10)
		require.NoError(t, err)
		require.Zero(t, trimmed)
		require.Eventually(t, func() bool {
			n, err := m.TrimChanges(t.Context(), store.Retention{Age: time.Microsecond, Count: 3}, 10)
			require.NoError(t, err)
			trimmed += n
			return trimmed == 3
		}, patience, time.Millisecond)
	}},
	{"a follower beside writers sees each change once, in the order of each key", func(t *testing.T, m store.Metadata) {
		followWriters(t, m, m)
	}},
	{"usage is what a recount finds, and what the changes add up to", recountUsage},
	{"the usage of an unknown bucket is NotFound, of a bucket made again zero", func(t *testing.T, m store.Metadata) {
		_, err := m.Usage(t.Context(), "nowhere")
		requireKind(t, store.NotFound, err)
		f := newFile("a", newPart(1, newNodes(1)...))
		f.Bucket = bucket(t, m, "again")
		put(t, m, f)
		requireUsage(t, m, "again", store.Usage{Bytes: f.Size, Files: 1})
		changeDelete(t, m, store.Deletion{File: f.ID})
		require.NoError(t, m.DeleteBucket(t.Context(), "again", ""))
		_, err = m.Usage(t.Context(), "again")
		requireKind(t, store.NotFound, err)
		all, err := m.Usages(t.Context())
		require.NoError(t, err)
		require.NotContains(t, all, store.BucketName("again"))
		bucket(t, m, "again")
		requireUsage(t, m, "again", store.Usage{})
		head(t, m)
		requireUsage(t, m, "again", store.Usage{})
	}},
}

// refusedChanges makes calls that fail or find nothing to do.
func refusedChanges(t *testing.T, m store.Metadata) {
	f := withETag("a", newPart(1, newNodes(2)...))
	changePut(t, m, f, store.ReplaceBefore)
	ctx, attempt := t.Context(), abandoned(t, m)
	mismatch := store.Change{If: store.Condition{Absent: true}, Caller: testCaller}
	other, nowhere := newFile("a"), newFile("a")
	nowhere.Bucket = "nowhere"
	requireRecorded(t, m, func() {
		_, _, err := m.CommitFile(ctx, store.Commit{Change: mismatch, File: other})
		requireKind(t, store.PreconditionFailed, err)
		_, _, err = m.CommitFile(ctx, store.Commit{File: nowhere})
		requireKind(t, store.NotFound, err)
		_, _, err = m.CommitFile(ctx, store.Commit{File: f})
		requireKind(t, store.Exists, err)
		requireKind(t, store.PreconditionFailed, m.DeleteFile(ctx, store.Deletion{Change: mismatch, File: f.ID}))
		requireKind(t, store.Conflict, m.DeleteFile(ctx, store.Deletion{File: f.ID, Attempt: attempt}))
		requireKind(t, store.Conflict, m.DeleteFile(ctx, store.Deletion{Bucket: f.Bucket, Key: f.Key, Attempt: attempt}))
		requireKind(t, store.NotFound, m.DeleteFile(ctx, store.Deletion{Bucket: f.Bucket, Key: "b"}))
		_, _, err = m.RenameFile(ctx, store.Rename{File: f.ID, Bucket: f.Bucket, Key: "b", Attempt: attempt})
		requireKind(t, store.Conflict, err)
		requireKind(t, store.Conflict, m.DeleteBucket(ctx, f.Bucket, ""))
		requireKind(t, store.NotFound, m.DeleteBucket(ctx, "nowhere", ""))
		requireKind(t, store.NotFound, m.UpdateBucket(ctx, store.Bucket{Name: "nowhere"}, ""))
		requireKind(t, store.Exists, m.CreateBucket(ctx, store.Bucket{Name: f.Bucket}, ""))
	})
	requireUsage(t, m, f.Bucket, store.Usage{Bytes: f.Size, Files: 1})
}

func trimChanges(t *testing.T, m store.Metadata) {
	from := head(t, m)
	all := versions(t, m, "a", 6)
	usage := store.Usage{Files: int64(len(all))}
	for _, f := range all {
		usage.Bytes += f.Size
	}
	trimmed, err := m.TrimChanges(t.Context(), store.Retention{Count: 2}, 3)
	require.NoError(t, err)
	require.Equal(t, 3, trimmed)
	_, err = m.ChangesAfter(t.Context(), from+2, 10)
	requireKind(t, store.NotFound, err)
	require.Len(t, changesAfter(t, m, from+3, 10), 3)
	trimmed, err = m.TrimChanges(t.Context(), store.Retention{Count: 2}, 3)
	require.NoError(t, err)
	require.Equal(t, 1, trimmed)
	require.Len(t, changesAfter(t, m, from+4, 10), 2)
	requireUsage(t, m, store.DefaultBucket, usage)

	require.Eventually(t, func() bool {
		n, err := m.TrimChanges(t.Context(), store.Retention{Age: time.Microsecond}, 10)
		require.NoError(t, err)
		trimmed += n
		return trimmed == 3
	}, patience, time.Millisecond)
	_, err = m.ChangesAfter(t.Context(), from+5, 10)
	requireKind(t, store.NotFound, err)
	require.Empty(t, changesAfter(t, m, from+6, 10))
	require.Equal(t, from+6, head(t, m))
	changeDelete(t, m, store.Deletion{File: all[0].ID})
	require.Len(t, changesAfter(t, m, from+6, 10), 1)
}
