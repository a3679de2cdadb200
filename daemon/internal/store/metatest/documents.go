package metatest

import (
	"bytes"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// document sets a document of the default bucket.
func document(t *testing.T, m store.Metadata, kind attr.DocumentKind, body string) attr.Document {
	t.Helper()
	d, err := m.SetDocument(t.Context(), store.DocumentChange{Bucket: store.DefaultBucket, Kind: kind, Body: []byte(body)})
	require.NoError(t, err)
	require.Equal(t, kind, d.Kind)
	require.Equal(t, body, string(d.Body))
	require.NotZero(t, d.Revision)
	return d
}

func requireDocuments(t *testing.T, m store.Metadata, bucket store.BucketName, want ...attr.Document) {
	t.Helper()
	got, err := m.Documents(t.Context(), bucket)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i])
	}
}

var documentTests = []test{
	{"a bucket has one document of each kind, by kind, the one that was set last", func(t *testing.T, m store.Metadata) {
		requireDocuments(t, m, store.DefaultBucket)
		policy := document(t, m, attr.DocumentPolicy, "\x00\xff policy")
		cors := document(t, m, attr.DocumentCORS, "first")
		requireDocuments(t, m, store.DefaultBucket, cors, policy)
		again := document(t, m, attr.DocumentCORS, "second")
		require.Greater(t, again.Revision, cors.Revision)
		requireDocuments(t, m, store.DefaultBucket, again, policy)
		other := bucket(t, m, "other")
		requireDocuments(t, m, other)
		largest, err := m.SetDocument(t.Context(), store.DocumentChange{Bucket: other, Kind: attr.DocumentLifecycle, Body: bytes.Repeat([]byte{7}, attr.MaxDocumentBytes)})
		require.NoError(t, err)
		requireDocuments(t, m, other, largest)
		var all []attr.Document
		for _, kind := range attr.DocumentKinds {
			all = append(all, document(t, m, kind, string(kind)))
		}
		requireDocuments(t, m, store.DefaultBucket, all...)
	}},
	{"a removed document is not found, and has another revision when it is set again", func(t *testing.T, m store.Metadata) {
		was := document(t, m, attr.DocumentCORS, "a")
		remove := store.DocumentChange{Bucket: store.DefaultBucket, Kind: attr.DocumentCORS}
		d, err := m.SetDocument(t.Context(), remove)
		require.NoError(t, err)
		require.Equal(t, attr.Document{}, d)
		requireDocuments(t, m, store.DefaultBucket)
		_, err = m.SetDocument(t.Context(), remove)
		requireKind(t, store.NotFound, err)
		require.NotEqual(t, was.Revision, document(t, m, attr.DocumentCORS, "a").Revision)
	}},
	{"a change may name the revision that it expects", func(t *testing.T, m store.Metadata) {
		none, unknown := uint64(0), uint64(1)
		set := func(body []byte, revision *uint64) (attr.Document, error) {
			return m.SetDocument(t.Context(), store.DocumentChange{Bucket: store.DefaultBucket, Kind: attr.DocumentTagging, Body: body, If: revision})
		}
		for _, body := range [][]byte{nil, []byte("x")} {
			_, err := set(body, &unknown)
			requireKind(t, store.PreconditionFailed, err)
		}
		first, err := set([]byte("first"), &none)
		require.NoError(t, err)
		for _, body := range [][]byte{nil, []byte("x")} {
			for _, revision := range []*uint64{&none, &unknown} {
				_, err := set(body, revision)
				requireKind(t, store.PreconditionFailed, err)
			}
		}
		requireDocuments(t, m, store.DefaultBucket, first)
		second, err := set([]byte("second"), &first.Revision)
		require.NoError(t, err)
		_, err = set(nil, &first.Revision)
		requireKind(t, store.PreconditionFailed, err)
		_, err = set(nil, &second.Revision)
		require.NoError(t, err)
		requireDocuments(t, m, store.DefaultBucket)
	}},
	{"of changes at once that expect the same revision one happens", func(t *testing.T, m store.Metadata) {
		revision := uint64(0)
		for range 5 {
			var won atomic.Int32
			var next atomic.Uint64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					c := store.DocumentChange{Bucket: store.DefaultBucket, Kind: attr.DocumentCORS, Body: []byte(strconv.Itoa(i)), If: &revision}
					if d, err := m.SetDocument(t.Context(), c); err == nil {
						won.Add(1)
						next.Store(d.Revision)
					} else if store.KindOf(err) != store.PreconditionFailed {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, won.Load())
			revision = next.Load()
		}
	}},
	{"what is not valid changes nothing", func(t *testing.T, m store.Metadata) {
		head, err := m.EventsAfter(t.Context(), 0, 1)
		require.NoError(t, err)
		for name, c := range map[string]store.DocumentChange{
			"kind":     {Kind: "unknown", Body: []byte("x")},
			"no kind":  {Body: []byte("x")},
			"removal":  {Kind: "unknown"},
			"empty":    {Kind: attr.DocumentCORS, Body: []byte{}},
			"too long": {Kind: attr.DocumentCORS, Body: make([]byte, attr.MaxDocumentBytes+1)},
		} {
			c.Bucket = store.DefaultBucket
			_, err := m.SetDocument(t.Context(), c)
			require.Equal(t, store.Invalid, store.KindOf(err), "%s: %v", name, err)
		}
		for _, body := range [][]byte{nil, []byte("x")} {
			_, err := m.SetDocument(t.Context(), store.DocumentChange{Bucket: "nowhere", Kind: attr.DocumentCORS, Body: body})
			requireKind(t, store.NotFound, err)
		}
		_, err = m.Documents(t.Context(), "nowhere")
		requireKind(t, store.NotFound, err)
		requireDocuments(t, m, store.DefaultBucket)
		after, err := m.EventsAfter(t.Context(), 0, 1)
		require.NoError(t, err)
		require.Equal(t, head.Head, after.Head)
	}},
	{"documents end with their bucket", func(t *testing.T, m store.Metadata) {
		name := bucket(t, m, "photos")
		_, err := m.SetDocument(t.Context(), store.DocumentChange{Bucket: name, Kind: attr.DocumentCORS, Body: []byte("x")})
		require.NoError(t, err)
		require.NoError(t, m.DeleteBucket(t.Context(), name, ""))
		_, err = m.Documents(t.Context(), name)
		requireKind(t, store.NotFound, err)
		bucket(t, m, "photos")
		requireDocuments(t, m, name)
	}},
	{"a change is recorded, and told as an event", func(t *testing.T, m store.Metadata) {
		before, err := m.EventsAfter(t.Context(), 0, store.MaxListLimit)
		require.NoError(t, err)
		head, err := m.ChangeHead(t.Context())
		require.NoError(t, err)
		for _, body := range [][]byte{[]byte("secret"), nil} {
			_, err := m.SetDocument(t.Context(), store.DocumentChange{Bucket: store.DefaultBucket, Kind: attr.DocumentPolicy, Body: body, Caller: "AKIA"})
			require.NoError(t, err)
		}
		events, err := m.EventsAfter(t.Context(), before.Head, store.MaxListLimit)
		require.NoError(t, err)
		require.Len(t, events.Events, 2)
		for i, message := range []string{"The policy configuration of bucket default was set.", "The policy configuration of bucket default was removed."} {
			e := events.Events[i]
			require.Equal(t, []string{store.EventBucketDoc, "default", message, "AKIA", "policy"}, []string{e.Kind, e.Subject, e.Message, e.Caller, e.Attrs["kind"]})
		}
		page, err := m.ChangesAfter(t.Context(), head, store.MaxListLimit)
		require.NoError(t, err)
		require.Len(t, page.Changes, 2)
		for _, c := range page.Changes {
			require.Equal(t, []any{store.BucketChanged, store.DefaultBucket, "AKIA"}, []any{c.Kind, c.Bucket, c.Caller})
		}
	}},
	{"a restored bucket has the documents of its record, and no others", func(t *testing.T, m store.Metadata) {
		document(t, m, attr.DocumentCORS, "before")
		made, err := m.Bucket(t.Context(), store.DefaultBucket)
		require.NoError(t, err)
		want := []attr.Document{{Kind: attr.DocumentLifecycle, Revision: 5, Body: []byte("a")}, {Kind: attr.DocumentPolicy, Revision: 1 << 62, Body: []byte("b")}}
		restore(t, m, store.LogRecord{Kind: store.BucketStored, Bucket: made, Documents: slices.Clone(want)})
		requireDocuments(t, m, store.DefaultBucket, want...)
		require.EqualValues(t, 1<<62+1, document(t, m, attr.DocumentPolicy, "c").Revision)
		restore(t, m, store.LogRecord{Kind: store.BucketStored, Bucket: made})
		requireDocuments(t, m, store.DefaultBucket)
	}},
}
