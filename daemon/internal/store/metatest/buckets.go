package metatest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var bucketTests = []test{
	{"the default bucket is there from the start", func(t *testing.T, m store.Metadata) {
		b, err := m.Bucket(t.Context(), store.DefaultBucket)
		require.NoError(t, err)
		require.Equal(t, store.DefaultBucket, b.Name)
		require.Equal(t, store.SurviveDefault, b.Survive)
		requireStoreTime(t, b.CreatedAt)
	}},
	{"a created bucket is found, with the store's time", func(t *testing.T, m store.Metadata) {
		long := now().AddDate(-10, 0, 0)
		require.NoError(t, m.CreateBucket(t.Context(), store.Bucket{Name: "photos", Survive: 0, CreatedAt: long}, ""))
		b, err := m.Bucket(t.Context(), "photos")
		require.NoError(t, err)
		require.Equal(t, store.BucketName("photos"), b.Name)
		require.Zero(t, b.Survive)
		requireStoreTime(t, b.CreatedAt)
	}},
	{"create twice is Exists", func(t *testing.T, m store.Metadata) {
		bucket(t, m, "photos")
		requireKind(t, store.Exists, m.CreateBucket(t.Context(), store.Bucket{Name: "photos", Survive: 1}, ""))
		b, err := m.Bucket(t.Context(), "photos")
		require.NoError(t, err)
		require.Equal(t, store.SurviveDefault, b.Survive, "the one that was there stays as it was")
	}},
	{"create with a bad name or policy is Invalid", func(t *testing.T, m store.Metadata) {
		for _, b := range []store.Bucket{{Name: ""}, {Name: "A"}, {Name: "a..b"}, {Name: "fine", Survive: 4}, {Name: "fine", Survive: -2}} {
			requireKind(t, store.Invalid, m.CreateBucket(t.Context(), b, ""))
		}
		_, err := m.Bucket(t.Context(), "fine")
		requireKind(t, store.NotFound, err)
	}},
	{"an unknown bucket is NotFound", func(t *testing.T, m store.Metadata) {
		_, err := m.Bucket(t.Context(), "nowhere")
		requireKind(t, store.NotFound, err)
	}},
	{"the list is by name, as bytes", func(t *testing.T, m store.Metadata) {
		for _, name := range []store.BucketName{"b.b", "zzz", "b-b", "b0b", "aaa", "bbb"} {
			bucket(t, m, name)
		}
		all, err := m.ListBuckets(t.Context())
		require.NoError(t, err)
		var got []string
		for _, b := range all {
			got = append(got, string(b.Name))
		}
		require.Equal(t, []string{"aaa", "b-b", "b.b", "b0b", "bbb", "default", "zzz"}, got)
		requireStoreTime(t, all[0].CreatedAt)
	}},
	{"update replaces the policies and keeps the time", func(t *testing.T, m store.Metadata) {
		bucket(t, m, "photos")
		before, err := m.Bucket(t.Context(), "photos")
		require.NoError(t, err)
		require.NoError(t, m.UpdateBucket(t.Context(), store.Bucket{Name: "photos", Survive: 3}, ""))
		after, err := m.Bucket(t.Context(), "photos")
		require.NoError(t, err)
		before.Survive = 3
		same(t, before, after)
	}},
	{"update of an unknown bucket is NotFound, of a bad policy Invalid", func(t *testing.T, m store.Metadata) {
		requireKind(t, store.NotFound, m.UpdateBucket(t.Context(), store.Bucket{Name: "nowhere", Survive: 1}, ""))
		requireKind(t, store.Invalid, m.UpdateBucket(t.Context(), store.Bucket{Name: store.DefaultBucket, Survive: 9}, ""))
	}},
	{"an empty bucket can be deleted", func(t *testing.T, m store.Metadata) {
		bucket(t, m, "photos")
		require.NoError(t, m.DeleteBucket(t.Context(), "photos", ""))
		_, err := m.Bucket(t.Context(), "photos")
		requireKind(t, store.NotFound, err)
		requireKind(t, store.NotFound, m.DeleteBucket(t.Context(), "photos", ""))
	}},
	{"delete is Conflict while a complete or an uploading file is there", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(1)...))
		f.Bucket = bucket(t, m, "photos")
		begin(t, m, f)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", ""))
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		require.NoError(t, err)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", ""))
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		require.NoError(t, m.DeleteBucket(t.Context(), "photos", ""))
	}},
	{"failed files go with their bucket", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(1)...))
		f.Bucket = bucket(t, m, "photos")
		begin(t, m, f)
		require.NoError(t, m.FailFile(t.Context(), f, "gone", nil))
		require.NoError(t, m.DeleteBucket(t.Context(), "photos", ""))
		requireNoFile(t, m, f.ID)
		bucket(t, m, "photos")
		require.Empty(t, fileIDs(t, m, store.FileQuery{Bucket: "photos", State: store.Failed, Limit: 10}))
		requireQueued(t, m, store.Reclaim, chunksOf(f.Parts...)...)
	}},
}
