package metatest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var fileTests = []test{
	{"unknown files are NotFound", func(t *testing.T, m store.Metadata) {
		_, err := m.File(t.Context(), store.NewFileID())
		requireKind(t, store.NotFound, err)
		_, err = m.LatestFile(t.Context(), store.DefaultBucket, "nothing")
		requireKind(t, store.NotFound, err)
		_, err = m.LatestFile(t.Context(), "nowhere", "nothing")
		requireKind(t, store.NotFound, err)
		requireKind(t, store.NotFound, m.DeleteFile(t.Context(), store.Deletion{File: store.NewFileID(), Attempt: store.NewAttemptID()}))
	}},
	{"delete removes a complete file and reclaims its chunks", func(t *testing.T, m store.Metadata) {
		n := newNodes(3)
		f := newFile("a", newPart(1, n...), newPart(2, n[0], store.NodeID{}, n[1]))
		put(t, m, f)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		requireNoFile(t, m, f.ID)
		_, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
		requireKind(t, store.NotFound, err)
		require.Empty(t, names(t, m, store.ObjectQuery{Bucket: f.Bucket, Limit: 10}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
		requireKind(t, store.NotFound, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	}},
	{"delete removes uploading and failed files", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		begin(t, m, f)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
		f = newFile("a", newPart(1, newNodes(2)...))
		begin(t, m, f)
		require.NoError(t, m.FailFile(t.Context(), f, "x", nil))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		requireNoFile(t, m, f.ID)
		requireQueued(t, m, store.Reclaim)
	}},
	{"delete of an upload leaves what the key shows", func(t *testing.T, m store.Metadata) {
		shown, upload := newFile("a"), newFile("a", newPart(1, newNodes(1)...))
		put(t, m, shown)
		begin(t, m, upload)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: upload.ID, Attempt: store.NewAttemptID()}))
		got, err := m.LatestFile(t.Context(), shown.Bucket, "a")
		require.NoError(t, err)
		require.Equal(t, shown.ID, got.ID)
	}},
	{"an upload never becomes latest by the deletion of another file", func(t *testing.T, m store.Metadata) {
		shown, upload := newFile("a"), newFile("a", newPart(1, newNodes(1)...))
		put(t, m, shown)
		begin(t, m, upload)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: shown.ID, Attempt: store.NewAttemptID()}))
		_, err := m.LatestFile(t.Context(), shown.Bucket, "a")
		requireKind(t, store.NotFound, err)
		got, err := m.File(t.Context(), upload.ID)
		require.NoError(t, err)
		require.Equal(t, store.Uploading, got.State)
		require.False(t, got.Latest)
	}},
	{"of deletions at once one wins and chunks are reclaimed once", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(3)...))
		put(t, m, f)
		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}) })
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			requireKind(t, store.NotFound, err)
		}
		require.Equal(t, 1, won)
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
}

var listFilesTests = []test{
	{"files come by time of creation, then id, either way", func(t *testing.T, m store.Metadata) {
		start := now().Add(-time.Hour)
		var files []store.File
		for i := range 9 {
			f := newFile(store.Key(fmt.Sprint("k", 9-i)))
			f.CreatedAt = start.Add(time.Duration(i/3) * time.Microsecond) // three at a time
			put(t, m, f)
			files = append(files, f)
		}
		want := idsByTime(files)
		require.Equal(t, want, fileIDs(t, m, store.FileQuery{Limit: 100}))
		require.Equal(t, want, fileIDs(t, m, store.FileQuery{Bucket: store.DefaultBucket, State: store.Complete, Limit: 100}))
		require.Equal(t, want[2:5], fileIDs(t, m, store.FileQuery{Offset: 2, Limit: 3}))
		back := fileIDs(t, m, store.FileQuery{Descending: true, Limit: 100})
		require.Len(t, back, len(want))
		for i := range back {
			require.Equal(t, want[len(want)-1-i], back[i])
		}
		require.Empty(t, fileIDs(t, m, store.FileQuery{Offset: 9, Limit: 3}))
	}},
	{"uploads of one key come by time of creation, then id, either way", func(t *testing.T, m store.Metadata) {
		at := now()
		var files []store.File
		for i := range 6 {
			f := newFile("same")
			f.CreatedAt = at.Add(time.Duration(i/3) * time.Microsecond)
			begin(t, m, f)
			files = append(files, f)
		}
		want := idsByTime(files)
		for _, q := range []store.FileQuery{{Key: "same"}, {Prefix: "sa"}, {Bucket: store.DefaultBucket, Key: "same", Prefix: "s"}, {Bucket: store.DefaultBucket}} {
			q.State, q.Limit, q.Offset = store.Uploading, 4, 1
			require.Equal(t, want[1:5], fileIDs(t, m, q), "%+v", q)
			q.Descending = true
			back := fileIDs(t, m, q)
			slices.Reverse(back)
			require.Equal(t, want[1:5], back, "%+v", q)
		}
	}},
	{"More tells whether there is another page", func(t *testing.T, m store.Metadata) {
		for i := range 5 {
			put(t, m, newFile(store.Key(fmt.Sprint(i))))
		}
		for offset := range 7 {
			page, err := m.ListFiles(t.Context(), store.FileQuery{Offset: offset, Limit: 2})
			require.NoError(t, err)
			require.Len(t, page.Files, max(0, min(2, 5-offset)))
			require.Equal(t, offset+2 < 5, page.More, "offset %d", offset)
		}
	}},
	{"pages by cursor show each file once, whatever is added meanwhile", func(t *testing.T, m store.Metadata) {
		start := now().Add(-time.Hour)
		var files []store.File
		for i := range 23 {
			f := newFile(store.Key(fmt.Sprint("k/", i)))
			f.CreatedAt = start.Add(time.Duration(i/3) * time.Microsecond)
			put(t, m, f)
			files = append(files, f)
		}
		want := idsByTime(files)
		for _, q := range []store.FileQuery{{}, {Bucket: store.DefaultBucket}, {Prefix: "k/"}, {Descending: true}, {Prefix: "k/", Descending: true}} {
			q.Limit = 4
			var got []store.FileID
			for {
				p, err := m.ListFiles(t.Context(), q)
				require.NoError(t, err)
				for _, f := range p.Files {
					got = append(got, f.ID)
				}
				if !p.More {
					break
				}
				require.Equal(t, p.Files[len(p.Files)-1].Cursor(), p.Next)
				q.After = p.Next
				extra := newFile(store.Key("k/new" + store.NewFileID().String())) // before the cursor in the order of the query
				extra.CreatedAt = start.Add(-time.Minute)
				if q.Descending {
					extra.CreatedAt = start.Add(time.Minute)
				}
				put(t, m, extra)
			}
			if q.Descending {
				slices.Reverse(got)
			}
			seen := slices.DeleteFunc(got, func(id store.FileID) bool { return !slices.Contains(want, id) })
			require.Equal(t, want, seen, "%+v", q)
		}
		q := store.FileQuery{After: files[9].Cursor(), Offset: 2, Limit: 3, Prefix: "k/"}
		require.Equal(t, want[12:15], fileIDs(t, m, q))
	}},
	{"filters by bucket, key, prefix and state", func(t *testing.T, m store.Metadata) {
		at := now()
		put1 := func(b store.BucketName, k store.Key) store.FileID {
			f := newFile(k)
			at = at.Add(time.Microsecond)
			f.Bucket, f.CreatedAt = b, at
			put(t, m, f)
			return f.ID
		}
		other := bucket(t, m, "other")
		ab := put1(store.DefaultBucket, "a/b")
		a := put1(store.DefaultBucket, "a")
		oab := put1(other, "a/b")
		upload := newFile("a")
		begin(t, m, upload)
		for _, c := range []struct {
			q    store.FileQuery
			want []store.FileID
		}{
			{store.FileQuery{}, []store.FileID{ab, a, oab}},
			{store.FileQuery{Bucket: other}, []store.FileID{oab}},
			{store.FileQuery{Key: "a/b"}, []store.FileID{ab, oab}},
			{store.FileQuery{Bucket: other, Key: "a/b"}, []store.FileID{oab}},
			{store.FileQuery{Bucket: other, Key: "a"}, nil},
			{store.FileQuery{Prefix: "a/"}, []store.FileID{ab, oab}},
			{store.FileQuery{Bucket: store.DefaultBucket, Prefix: "a"}, []store.FileID{ab, a}},
			{store.FileQuery{Key: "a", Prefix: "a/"}, nil},
			{store.FileQuery{State: store.Uploading}, []store.FileID{upload.ID}},
			{store.FileQuery{Key: "a", State: store.Uploading}, []store.FileID{upload.ID}},
			{store.FileQuery{Bucket: other, State: store.Uploading}, nil},
			{store.FileQuery{State: store.Failed}, nil},
		} {
			c.q.Limit = 10
			require.Equal(t, c.want, fileIDs(t, m, c.q), "%+v", c.q)
		}
	}},
	{"delete markers are left out", func(t *testing.T, m store.Metadata) {
		f, marker := newFile("a"), newFile("b")
		marker.DeleteMarker = true
		put(t, m, f)
		put(t, m, marker)
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{Limit: 10}))
		require.Empty(t, fileIDs(t, m, store.FileQuery{Key: "b", Limit: 10}))
	}},
	{"filters take bytes as they are", func(t *testing.T, m store.Metadata) {
		f := newFile("100%_done*?[a]")
		put(t, m, f)
		put(t, m, newFile("100 percent"))
		put(t, m, newFile("100%Xdone"))
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{Prefix: "100%_", Limit: 10}))
		require.Equal(t, []store.FileID{f.ID}, fileIDs(t, m, store.FileQuery{Prefix: "100%_done*?[", Limit: 10}))
		require.Empty(t, fileIDs(t, m, store.FileQuery{Prefix: "100%_DONE", Limit: 10}))
	}},
	{"an unknown bucket is NotFound, a bad page Invalid", func(t *testing.T, m store.Metadata) {
		_, err := m.ListFiles(t.Context(), store.FileQuery{Bucket: "nowhere", Limit: 1})
		requireKind(t, store.NotFound, err)
		for _, q := range []store.FileQuery{{}, {Limit: store.MaxListLimit + 1}, {Limit: 1, Offset: -1}, {Limit: 1, Offset: store.MaxOffset + 1}} {
			_, err := m.ListFiles(t.Context(), q)
			requireKind(t, store.Invalid, err)
		}
	}},
	{"files carry all but their parts", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		stored := put(t, m, f)
		page, err := m.ListFiles(t.Context(), store.FileQuery{Limit: 1})
		require.NoError(t, err)
		same(t, []store.File{stored}, page.Files)
	}},
}

// idsByTime are the ids of the files by time of creation, then id.
func idsByTime(files []store.File) []store.FileID {
	slices.SortFunc(files, func(a, b store.File) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	var ids []store.FileID
	for _, f := range files {
		ids = append(ids, f.ID)
	}
	return ids
}
