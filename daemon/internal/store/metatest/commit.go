package metatest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var commitTests = []test{
	{"a committed file reads back as given, complete and latest", func(t *testing.T, m store.Metadata) {
		nodes := newNodes(5)
		f := newFile("docs/a.txt", newPart(1, nodes...), newPart(2, nodes[1:]...))
		f.SHA256 = make([]byte, 32)
		f.SHA256[31] = 7
		stored, replaced, err := m.CommitFile(t.Context(), store.Commit{File: f})
		require.NoError(t, err)
		require.True(t, replaced.IsZero())
		require.Nil(t, stored.Parts)
		requireStoreTime(t, stored.CompletedAt)

		want := f
		require.Positive(t, stored.Seq)
		want.State, want.Latest, want.CompletedAt, want.Seq = store.Complete, true, stored.CompletedAt, stored.Seq
		byID, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, byID)
		byKey, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
		require.NoError(t, err)
		same(t, want, byKey)
		want.Parts = nil
		same(t, want, stored)
	}},
	{"what was not given stays absent", func(t *testing.T, m store.Metadata) {
		f := store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: "empty", CreatedAt: now()}
		put(t, m, f)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Nil(t, got.SHA256)
		require.Empty(t, got.Meta)
		require.Empty(t, got.Parts)
		require.Empty(t, got.Failure)
		require.True(t, f.CreatedAt.Equal(got.CreatedAt))
	}},
	{"State, Latest and CompletedAt are the store's", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		f.State, f.Latest, f.CompletedAt = store.Failed, false, now().AddDate(-1, 0, 0)
		stored := put(t, m, f)
		require.Equal(t, store.Complete, stored.State)
		require.True(t, stored.Latest)
		requireStoreTime(t, stored.CompletedAt)
	}},
	{"without a time of creation a file has the store's, from the begin on", func(t *testing.T, m store.Metadata) {
		unnamed := func(key store.Key) store.File {
			f := newFile(key)
			f.CreatedAt = time.Time{}
			return f
		}
		stored := put(t, m, unnamed("a"))
		requireStoreTime(t, stored.CreatedAt)
		require.False(t, stored.CreatedAt.After(stored.CompletedAt))
		upload := unnamed("b")
		begin(t, m, upload)
		begun, err := m.File(t.Context(), upload.ID)
		require.NoError(t, err)
		requireStoreTime(t, begun.CreatedAt)
		done, _, err := m.CommitFile(t.Context(), store.Commit{File: upload, Begun: true})
		require.NoError(t, err)
		require.Equal(t, begun.CreatedAt, done.CreatedAt)
		failed := unnamed("c")
		require.NoError(t, m.FailFile(t.Context(), failed, "why", nil))
		s := session(t, m, "d")
		joined := fileOf(s)
		joined.CreatedAt = time.Time{}
		requireStoreTime(t, complete(t, m, joined, s.ID).CreatedAt)
		for _, id := range []store.FileID{stored.ID, failed.ID, joined.ID} {
			f, err := m.File(t.Context(), id)
			require.NoError(t, err)
			requireStoreTime(t, f.CreatedAt)
		}
	}},
	{"parts come in order of their number", func(t *testing.T, m store.Metadata) {
		node := store.NewNodeID()
		f := newFile("a")
		f.Size = 0
		for n := 300; n > 0; n-- {
			f.Parts = append(f.Parts, newPart(n, node))
			f.Size += f.Parts[len(f.Parts)-1].Size
		}
		put(t, m, f)
		parts := allParts(t, m, f.ID)
		require.Len(t, parts, 300)
		for i, p := range parts {
			require.Equal(t, i+1, p.Number)
			same(t, f.Parts[299-i], p)
		}
	}},
	{"numbers keep their whole range", func(t *testing.T, m store.Metadata) {
		p := newPart(10000, newNodes(store.MaxChunksPerPart)...)
		p.Size, p.CRC64, p.K, p.M = 1<<50, 1<<64-1, 32, 32
		p.Chunks[63].Sum = 1<<32 - 1
		f := newFile("a", p)
		f.CRC64 = 1<<64 - 1
		put(t, m, f)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, f.CRC64, got.CRC64)
		require.Equal(t, f.Size, got.Size)
		same(t, f.Parts, got.Parts)
	}},
	{"an unknown bucket is NotFound and nothing is kept", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, store.NodeID{}))
		f.Bucket = "nowhere"
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f})
		requireKind(t, store.NotFound, err)
		requireNoFile(t, m, f.ID)
		requireQueued(t, m, store.Repair)
	}},
	{"an id that is there already is Exists", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		other := newFile("b", newPart(1, newNodes(2)...))
		other.ID = f.ID
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: other})
		requireKind(t, store.Exists, err)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, store.Key("a"), got.Key)
		same(t, f.Parts, got.Parts)
		_, err = m.LatestFile(t.Context(), store.DefaultBucket, "b")
		requireKind(t, store.NotFound, err)
	}},
	{"a part id that is there already is Exists, and the file before stays", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		next := newFile("b", f.Parts[0])
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: next})
		requireKind(t, store.Exists, err)
		requireNoFile(t, m, next.ID)
	}},
	{"placements without a node are queued for repair", func(t *testing.T, m store.Metadata) {
		nodes := newNodes(3)
		p := newPart(1, nodes[0], store.NodeID{}, nodes[1], store.NodeID{})
		q := newPart(2, nodes...)
		put(t, m, newFile("a", p, q))
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(1)}, work{Chunk: p.ChunkID(3)})
		requireQueued(t, m, store.Reclaim)
	}},
	{"the file that was latest is replaced and its chunks are reclaimed", func(t *testing.T, m store.Metadata) {
		nodes := newNodes(4)
		old := newFile("a", newPart(1, nodes[0], store.NodeID{}, nodes[1]), newPart(2, nodes...))
		put(t, m, old)
		neighbour := newFile("a/b", newPart(1, nodes...))
		put(t, m, neighbour)
		next := newFile("a", newPart(1, nodes...))
		stored, replaced, err := m.CommitFile(t.Context(), store.Commit{File: next})
		require.NoError(t, err)
		require.True(t, stored.Latest)
		require.Equal(t, old.ID, replaced)

		requireNoFile(t, m, old.ID)
		got, err := m.LatestFile(t.Context(), old.Bucket, old.Key)
		require.NoError(t, err)
		require.Equal(t, next.ID, got.ID)
		requireQueued(t, m, store.Reclaim, chunksOf(old.Parts...)...)
		require.Equal(t, []string{"a", "a/b"}, names(t, m, store.ObjectQuery{Bucket: old.Bucket, Limit: 10}))
	}},
	{"the same key in another bucket is another object", func(t *testing.T, m store.Metadata) {
		one, two := newFile("a"), newFile("a")
		two.Bucket = bucket(t, m, "photos")
		put(t, m, one)
		_, replaced, err := m.CommitFile(t.Context(), store.Commit{File: two})
		require.NoError(t, err)
		require.True(t, replaced.IsZero())
		got, err := m.LatestFile(t.Context(), one.Bucket, "a")
		require.NoError(t, err)
		require.Equal(t, one.ID, got.ID)
	}},
	{"a failed commit leaves the file before as it was", func(t *testing.T, m store.Metadata) {
		old := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, old)
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: newFile("a", old.Parts[0], newPart(1, newNodes(2)...))})
		require.Error(t, err)
		got, err := m.LatestFile(t.Context(), old.Bucket, "a")
		require.NoError(t, err)
		require.Equal(t, old.ID, got.ID)
		same(t, old.Parts, got.Parts)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a delete marker hides the object", func(t *testing.T, m store.Metadata) {
		old := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, old)
		put(t, m, newFile("b"))
		marker := newFile("a")
		marker.DeleteMarker = true
		_, replaced, err := m.CommitFile(t.Context(), store.Commit{File: marker})
		require.NoError(t, err)
		require.Equal(t, old.ID, replaced)
		_, err = m.LatestFile(t.Context(), store.DefaultBucket, "a")
		requireKind(t, store.NotFound, err)
		require.Equal(t, []string{"b"}, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 10}))
		got, err := m.File(t.Context(), marker.ID)
		require.NoError(t, err)
		require.True(t, got.DeleteMarker)
		require.True(t, got.Latest)

		next := newFile("a", newPart(1, newNodes(1)...))
		_, replaced, err = m.CommitFile(t.Context(), store.Commit{File: next})
		require.NoError(t, err)
		require.Equal(t, marker.ID, replaced)
		require.Equal(t, []string{"a", "b"}, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 10}))
	}},
	{"of sixteen commits of one key one is latest, the others are reclaimed once", func(t *testing.T, m store.Metadata) {
		commitOneKeyAtOnce(t, m)
	}},
	{"a failing commit does not fail those beside it", func(t *testing.T, m store.Metadata) {
		taken := newFile("taken", newPart(1, newNodes(2)...))
		put(t, m, taken)
		const pairs = 40
		var all sync.WaitGroup
		good, bad := make([]error, pairs), make([]error, pairs)
		for i := range pairs {
			all.Go(func() {
				_, _, good[i] = m.CommitFile(t.Context(), store.Commit{File: newFile(store.Key(fmt.Sprint("good-", i)), newPart(1, newNodes(2)...))})
			})
			all.Go(func() {
				_, _, bad[i] = m.CommitFile(t.Context(), store.Commit{File: newFile(store.Key(fmt.Sprint("bad-", i)), newPart(1, newNodes(2)...), taken.Parts[0])})
			})
		}
		all.Wait()
		for i := range pairs {
			require.NoError(t, good[i])
			requireKind(t, store.Exists, bad[i])
		}
		require.Len(t, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Prefix: "good-", Limit: 7}), pairs)
		require.Empty(t, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Prefix: "bad-", Limit: 7}))
	}},
}

// commitOneKeyAtOnce commits one key from sixteen writers, spread over the stores.
func commitOneKeyAtOnce(t *testing.T, stores ...store.Metadata) {
	const writers = 16
	m := stores[0]
	files := make([]store.File, writers)
	replaced := make([]store.FileID, writers)
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range files {
		files[i] = newFile("contended", newPart(1, newNodes(3)...), newPart(2, newNodes(3)...))
		all.Go(func() {
			_, replaced[i], errs[i] = stores[i%len(stores)].CommitFile(t.Context(), store.Commit{File: files[i]})
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
	var lost []store.Part
	for _, f := range files {
		if f.ID == latest.ID {
			continue
		}
		require.True(t, gone[f.ID], "%s is not latest and was not replaced", f.ID)
		requireNoFile(t, m, f.ID)
		lost = append(lost, f.Parts...)
	}
	require.Len(t, fileIDs(t, m, store.FileQuery{Key: "contended", Limit: 100}), 1)
	requireQueued(t, m, store.Reclaim, chunksOf(lost...)...)
}
