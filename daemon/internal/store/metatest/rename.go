package metatest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// rename gives a file another key.
func rename(tb testing.TB, m store.Metadata, id store.FileID, bucket store.BucketName, key store.Key) (store.File, store.FileID) {
	tb.Helper()
	stored, replaced, err := m.RenameFile(tb.Context(), store.Rename{File: id, Bucket: bucket, Key: key, Attempt: store.NewAttemptID()})
	require.NoError(tb, err)
	return stored, replaced
}

// requireShown demands that the key shows the file; the zero id that it shows nothing.
func requireShown(tb testing.TB, m store.Metadata, bucket store.BucketName, key store.Key, want store.FileID) {
	tb.Helper()
	got, err := m.LatestFile(tb.Context(), bucket, key)
	if want.IsZero() {
		requireKind(tb, store.NotFound, err)
		return
	}
	require.NoError(tb, err)
	require.Equal(tb, want, got.ID)
	require.True(tb, got.Latest)
}

var renameTests = []test{
	{"a renamed file is latest under its new key, and all else of it stays", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(3)...), newPart(2, append(newNodes(2), store.NodeID{})...))
		f.SHA256 = make([]byte, 32)
		put(t, m, f)
		requireQueued(t, m, store.Repair, work{Chunk: f.Parts[1].ChunkID(2)})
		want, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		stored, replaced := rename(t, m, f.ID, f.Bucket, "b/c")
		require.True(t, replaced.IsZero())
		require.Greater(t, stored.Seq, want.Seq, "it is the newest of its new key")
		want.Key, want.Seq = "b/c", stored.Seq
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, got)
		got, err = m.LatestFile(t.Context(), f.Bucket, "b/c")
		require.NoError(t, err)
		same(t, want, got)
		want.Parts = nil
		require.Nil(t, stored.Parts)
		same(t, want, stored)
		_, of, err := m.Part(t.Context(), f.Parts[0].ID)
		require.NoError(t, err)
		same(t, want, of)
		requireShown(t, m, f.Bucket, "a", store.FileID{})
		require.Equal(t, []string{"b/c"}, names(t, m, store.ObjectQuery{Bucket: f.Bucket, Limit: 10}))
		require.Empty(t, fileIDs(t, m, store.FileQuery{Key: "a", Limit: 10}))
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{Key: "b/c", Limit: 10}))
		requireQueued(t, m, store.Reclaim)
		requireQueued(t, m, store.Repair)
	}},
	{"a file may move to another bucket", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.Bucket = bucket(t, m, "from")
		to := bucket(t, m, "onto")
		put(t, m, f)
		stored, replaced := rename(t, m, f.ID, to, "a")
		require.True(t, replaced.IsZero())
		require.Equal(t, to, stored.Bucket)
		requireShown(t, m, to, "a", f.ID)
		requireShown(t, m, "from", "a", store.FileID{})
		require.Empty(t, names(t, m, store.ObjectQuery{Bucket: "from", Limit: 10}))
		require.Equal(t, []string{"a"}, names(t, m, store.ObjectQuery{Bucket: to, Limit: 10}))
		require.Empty(t, fileIDs(t, m, store.FileQuery{Bucket: "from", Limit: 10}))
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{Bucket: to, Limit: 10}))
		require.NoError(t, m.DeleteBucket(t.Context(), "from", ""))
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), to, ""))
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, f.Parts, got.Parts)
	}},
	{"the file that was latest there is replaced and its chunks are reclaimed", func(t *testing.T, m store.Metadata) {
		f, old, neighbour := newFile("a", newPart(1, newNodes(2)...)), newFile("b", newPart(1, newNodes(3)...), newPart(2, newNodes(1)...)), newFile("b/c")
		for _, x := range []store.File{f, old, neighbour} {
			put(t, m, x)
		}
		stored, replaced := rename(t, m, f.ID, f.Bucket, "b")
		require.Equal(t, old.ID, replaced)
		require.True(t, stored.Latest)
		requireNoFile(t, m, old.ID)
		requireShown(t, m, f.Bucket, "b", f.ID)
		require.Equal(t, []string{"b", "b/c"}, names(t, m, store.ObjectQuery{Bucket: f.Bucket, Limit: 10}))
		requireQueued(t, m, store.Reclaim, chunksOf(old.Parts...)...)
	}},
	{"a delete marker there is replaced", func(t *testing.T, m store.Metadata) {
		f, marker := newFile("a"), newFile("b")
		marker.DeleteMarker = true
		put(t, m, f)
		put(t, m, marker)
		_, replaced := rename(t, m, f.ID, f.Bucket, "b")
		require.Equal(t, marker.ID, replaced)
		requireShown(t, m, f.Bucket, "b", f.ID)
	}},
	{"to its own key it changes nothing", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		want := put(t, m, f)
		stored, replaced := rename(t, m, f.ID, f.Bucket, "a")
		require.True(t, replaced.IsZero())
		same(t, want, stored)
		want.Parts = f.Parts
		got, err := m.LatestFile(t.Context(), f.Bucket, "a")
		require.NoError(t, err)
		same(t, want, got)
		requireQueued(t, m, store.Reclaim)
	}},
	{"there and back again", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		want := put(t, m, f)
		rename(t, m, f.ID, f.Bucket, "b")
		stored, _ := rename(t, m, f.ID, f.Bucket, "a")
		require.Greater(t, stored.Seq, want.Seq)
		want.Seq = stored.Seq
		same(t, want, stored)
		requireShown(t, m, f.Bucket, "b", store.FileID{})
		requireShown(t, m, f.Bucket, "a", f.ID)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
	{"the old key is free, and takes another file", func(t *testing.T, m store.Metadata) {
		f, next := newFile("a"), newFile("a")
		put(t, m, f)
		rename(t, m, f.ID, f.Bucket, "b")
		_, replaced, err := m.CommitFile(t.Context(), store.Commit{File: next})
		require.NoError(t, err)
		require.True(t, replaced.IsZero())
		requireShown(t, m, f.Bucket, "a", next.ID)
		requireShown(t, m, f.Bucket, "b", f.ID)
	}},
	{"uploads and sessions of the keys are not affected", func(t *testing.T, m store.Metadata) {
		f, here, there := newFile("a"), newFile("a", newPart(1, newNodes(1)...)), newFile("b", newPart(1, newNodes(1)...))
		put(t, m, f)
		begin(t, m, here)
		begin(t, m, there)
		s := session(t, m, "a")
		rename(t, m, f.ID, f.Bucket, "b")
		requireShown(t, m, f.Bucket, "a", store.FileID{})
		same(t, s, sessionOf(t, m, s.ID))
		_, replaced, err := m.CommitFile(t.Context(), store.Commit{File: there, Begun: true})
		require.NoError(t, err)
		require.Equal(t, f.ID, replaced)
		_, replaced, err = m.CommitFile(t.Context(), store.Commit{File: here, Begun: true})
		require.NoError(t, err)
		require.True(t, replaced.IsZero())
		requireQueued(t, m, store.Reclaim)
	}},
	{"an unknown file or bucket is NotFound and changes nothing", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		put(t, m, f)
		_, _, err := m.RenameFile(t.Context(), store.Rename{File: store.NewFileID(), Bucket: f.Bucket, Key: "a", Attempt: store.NewAttemptID()})
		requireKind(t, store.NotFound, err)
		_, _, err = m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: "nowhere", Key: "a", Attempt: store.NewAttemptID()})
		requireKind(t, store.NotFound, err)
		requireShown(t, m, f.Bucket, "a", f.ID)
	}},
	{"a file that is not latest is Conflict and changes nothing", func(t *testing.T, m store.Metadata) {
		shown, begun, failed, marker := newFile("a"), newFile("b"), newFile("c"), newFile("d")
		marker.DeleteMarker = true
		put(t, m, shown)
		put(t, m, marker)
		begin(t, m, begun)
		begin(t, m, failed)
		require.NoError(t, m.FailFile(t.Context(), failed, "gone", nil))
		for _, f := range []store.File{begun, failed, marker} {
			want, err := m.File(t.Context(), f.ID)
			require.NoError(t, err)
			_, _, err = m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: "a", Attempt: store.NewAttemptID()})
			requireKind(t, store.Conflict, err)
			got, err := m.File(t.Context(), f.ID)
			require.NoError(t, err)
			same(t, want, got)
		}
		requireShown(t, m, shown.Bucket, "a", shown.ID)
		requireQueued(t, m, store.Reclaim)
	}},
	{"of files renamed at once to one key one is latest, the others are reclaimed once", func(t *testing.T, m store.Metadata) {
		renameOntoOneKeyAtOnce(t, m)
	}},
	{"two files that swap their keys at once leave one latest a key", func(t *testing.T, m store.Metadata) {
		swapKeysAtOnce(t, m, m)
	}},
}

// renameOntoOneKeyAtOnce runs renames and commits of one key concurrently, spread over the stores.
func renameOntoOneKeyAtOnce(t *testing.T, stores ...store.Metadata) {
	m := stores[0]
	const writers = 16
	files, replaced, errs := make([]store.File, writers), make([]store.FileID, writers), make([]error, writers)
	for i := range files {
		files[i] = newFile(store.Key(fmt.Sprint("from-", i)), newPart(1, newNodes(2)...))
		if i%4 > 0 {
			put(t, m, files[i])
		}
	}
	var all sync.WaitGroup
	for i, f := range files {
		all.Go(func() {
			if i%4 == 0 {
				f.Key = "contended"
				_, replaced[i], errs[i] = stores[i%len(stores)].CommitFile(t.Context(), store.Commit{File: f})
				return
			}
			_, replaced[i], errs[i] = stores[i%len(stores)].RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: "contended", Attempt: store.NewAttemptID()})
		})
	}
	all.Wait()
	gone := map[store.FileID]bool{}
	for i := range files {
		require.NoError(t, errs[i])
		require.False(t, gone[replaced[i]], "%s was replaced twice", replaced[i])
		gone[replaced[i]] = true
	}
	latest, err := m.LatestFile(t.Context(), store.DefaultBucket, "contended")
	require.NoError(t, err)
	require.False(t, gone[latest.ID])
	lost := slices.DeleteFunc(slices.Clone(files), func(f store.File) bool { return f.ID == latest.ID })
	var parts []store.Part
	for _, f := range lost {
		require.True(t, gone[f.ID], "%s is not latest and was not replaced", f.ID)
		parts = append(parts, f.Parts...)
	}
	require.Equal(t, []string{"contended"}, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 100}))
	require.Equal(t, []store.FileID{latest.ID}, fileIDs(t, m, store.FileQuery{Limit: 100}))
	requireQueued(t, m, store.Reclaim, chunksOf(parts...)...)
}

// swapKeysAtOnce renames a to b and b to a: the second rename finds that its file was replaced,
// because the first one took its key.
func swapKeysAtOnce(t *testing.T, one, two store.Metadata) {
	for range 20 {
		a, b := newFile("a", newPart(1, newNodes(2)...)), newFile("b", newPart(1, newNodes(2)...))
		put(t, one, a)
		put(t, one, b)
		errs := make([]error, 2)
		var both sync.WaitGroup
		both.Go(func() {
			_, _, errs[0] = one.RenameFile(t.Context(), store.Rename{File: a.ID, Bucket: a.Bucket, Key: "b", Attempt: store.NewAttemptID()})
		})
		both.Go(func() {
			_, _, errs[1] = two.RenameFile(t.Context(), store.Rename{File: b.ID, Bucket: b.Bucket, Key: "a", Attempt: store.NewAttemptID()})
		})
		both.Wait()
		left, lost, key := a, b, store.Key("b")
		if requireOneWon(t, store.NotFound, errs) == 1 {
			left, lost, key = b, a, "a"
		}
		require.Equal(t, []string{string(key)}, names(t, one, store.ObjectQuery{Bucket: a.Bucket, Limit: 10}))
		requireShown(t, one, a.Bucket, key, left.ID)
		requireQueued(t, one, store.Reclaim, chunksOf(lost.Parts...)...)
		require.NoError(t, one.DeleteFile(t.Context(), store.Deletion{File: left.ID, Attempt: store.NewAttemptID()}))
		requireQueued(t, one, store.Reclaim, chunksOf(left.Parts...)...)
	}
}
