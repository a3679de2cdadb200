package metatest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var uploadTests = []test{
	{"a begun file is uploading, seen by its id and hidden by its key", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(3)...))
		f.Size, f.CRC64, f.ETag = -1, 0, ""
		begin(t, m, f)
		want := f
		want.State = store.Uploading
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, got)
		_, err = m.LatestFile(t.Context(), f.Bucket, f.Key)
		requireKind(t, store.NotFound, err)
		require.Empty(t, names(t, m, store.ObjectQuery{Bucket: f.Bucket, Limit: 10}))
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{State: store.Uploading, Limit: 10}))
	}},
	{"begin is NotFound for an unknown bucket and Exists for a known id", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		begin(t, m, f)
		requireKind(t, store.Exists, m.BeginFile(t.Context(), f))
		f = newFile("b")
		put(t, m, f)
		requireKind(t, store.Exists, m.BeginFile(t.Context(), f))
		f = newFile("c")
		f.Bucket = "nowhere"
		requireKind(t, store.NotFound, m.BeginFile(t.Context(), f))
	}},
	{"uploads of one key do not disturb each other or what is shown", func(t *testing.T, m store.Metadata) {
		shown := newFile("a", newPart(1, newNodes(1)...))
		put(t, m, shown)
		one, two := newFile("a", newPart(1, newNodes(1)...)), newFile("a", newPart(1, newNodes(1)...))
		begin(t, m, one)
		begin(t, m, two)
		got, err := m.LatestFile(t.Context(), shown.Bucket, "a")
		require.NoError(t, err)
		require.Equal(t, shown.ID, got.ID)
		_, replaced, err := m.CommitFile(t.Context(), store.Commit{File: two, Begun: true})
		require.NoError(t, err)
		require.Equal(t, shown.ID, replaced)
		_, replaced, err = m.CommitFile(t.Context(), store.Commit{File: one, Begun: true})
		require.NoError(t, err)
		require.Equal(t, two.ID, replaced)
	}},
	{"commit replaces what begin recorded", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(3)...), newPart(2, newNodes(3)...))
		f.Size = -1
		begin(t, m, f)
		done := f
		done.Size, done.ContentType, done.Meta = 77, "image/png", map[string]string{"new": "yes"}
		done.Parts = []store.Part{f.Parts[1], newPart(3, newNodes(2)...)}
		stored, replaced, err := m.CommitFile(t.Context(), store.Commit{File: done, Begun: true})
		require.NoError(t, err)
		require.True(t, replaced.IsZero())
		done.State, done.Latest, done.CompletedAt, done.Seq = store.Complete, true, stored.CompletedAt, stored.Seq
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, done, got)
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts[0])...)
		require.Empty(t, fileIDs(t, m, store.FileQuery{State: store.Uploading, Limit: 10}))
	}},
	{"chunks planned at a place where the commit does not have them are reclaimed", func(t *testing.T, m store.Metadata) {
		n := newNodes(6)
		f := newFile("a", newPart(1, n[0], n[1], n[2], n[3]))
		begin(t, m, f)
		planned := f.Parts[0]
		f.Parts = []store.Part{planned}
		f.Parts[0].Chunks = []store.Placement{
			{Node: n[0], Sum: 99}, // as planned, its sum now known
			{Node: n[4], Sum: 1},  // elsewhere
			{},                    // nowhere
			{Node: n[3], Sum: planned.Chunks[3].Sum},
		}
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		require.NoError(t, err)
		requireQueued(t, m, store.Reclaim, work{planned.ChunkID(1), n[1]}, work{planned.ChunkID(2), n[2]})
		requireQueued(t, m, store.Repair, work{Chunk: planned.ChunkID(2)})
	}},
	{"commit of a begun file that was deleted is NotFound", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(1)...))
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		requireKind(t, store.NotFound, err)
		begin(t, m, f)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		requireKind(t, store.NotFound, err)
		_, err = m.LatestFile(t.Context(), f.Bucket, f.Key)
		requireKind(t, store.NotFound, err)
	}},
	{"commit of a begun file that is no longer uploading is Conflict", func(t *testing.T, m store.Metadata) {
		failed, done := newFile("a", newPart(1, newNodes(1)...)), newFile("b", newPart(1, newNodes(1)...))
		begin(t, m, failed)
		require.NoError(t, m.FailFile(t.Context(), failed, "too slow", nil))
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: failed, Begun: true})
		requireKind(t, store.Conflict, err)
		put(t, m, done)
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: done, Begun: true})
		requireKind(t, store.Conflict, err)
		got, err := m.File(t.Context(), done.ID)
		require.NoError(t, err)
		same(t, done.Parts, got.Parts)
	}},
	{"commit of a begun file under another name is Conflict", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(1)...))
		begin(t, m, f)
		other := f
		other.Key = "b"
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: other, Begun: true})
		requireKind(t, store.Conflict, err)
		other = f
		other.Bucket = bucket(t, m, "photos")
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: other, Begun: true})
		requireKind(t, store.Conflict, err)
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		require.NoError(t, err)
	}},
	{"a failed file keeps the reason and loses its parts", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(3)...))
		begin(t, m, f)
		require.NoError(t, m.FailFile(t.Context(), f, "the client went away", nil))
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, store.Failed, got.State)
		require.Equal(t, "the client went away", got.Failure)
		require.False(t, got.Latest)
		require.Empty(t, got.Parts, "no metadata refers to a chunk that is being reclaimed")
		_, _, err = m.Part(t.Context(), f.Parts[0].ID)
		requireKind(t, store.NotFound, err)
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{State: store.Failed, Limit: 10}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
	{"planned and attempted chunks are reclaimed, each once", func(t *testing.T, m store.Metadata) {
		n := newNodes(4)
		f := newFile("a", newPart(1, n[0], n[1], n[2]))
		begin(t, m, f)
		again := f.Parts[0]
		again.Chunks = []store.Placement{{Node: n[0]}, {Node: n[3], Sum: 4}, {}}
		more := newPart(2, n[0], store.NodeID{})
		require.NoError(t, m.FailFile(t.Context(), f, "no quorum", []store.Part{again, more}))
		want := append(chunksOf(f.Parts...), work{again.ChunkID(1), n[3]}, work{more.ChunkID(0), n[0]})
		requireQueued(t, m, store.Reclaim, want...)
	}},
	{"failing twice is nil and reclaims what the second attempt brings", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		begin(t, m, f)
		require.NoError(t, m.FailFile(t.Context(), f, "expired", nil))
		late := newPart(1, newNodes(2)...)
		require.NoError(t, m.FailFile(t.Context(), f, "conflict", []store.Part{late}))
		requireQueued(t, m, store.Reclaim, chunksOf(late)...)
	}},
	{"failing is Conflict for a complete file and changes nothing", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		requireKind(t, store.Conflict, m.FailFile(t.Context(), f, "x", f.Parts))
		requireQueued(t, m, store.Reclaim)
		got, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
		require.NoError(t, err)
		same(t, f.Parts, got.Parts)
	}},
	{"of a commit and a failure at once exactly one wins", func(t *testing.T, m store.Metadata) {
		for range 20 {
			f := newFile("a", newPart(1, newNodes(2)...))
			begin(t, m, f)
			var committed, failed error
			var both sync.WaitGroup
			both.Go(func() { _, _, committed = m.CommitFile(t.Context(), store.Commit{File: f, Begun: true}) })
			both.Go(func() { failed = m.FailFile(t.Context(), f, "expired", nil) })
			both.Wait()
			require.NotEqual(t, committed == nil, failed == nil, "commit: %v, fail: %v", committed, failed)
			if committed != nil {
				requireKind(t, store.Conflict, committed)
				requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
				continue
			}
			requireKind(t, store.Conflict, failed)
			requireQueued(t, m, store.Reclaim)
			require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
			requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
		}
	}},
}
