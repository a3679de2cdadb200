package metatest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var objectTests = []test{
	{"keys order as bytes", func(t *testing.T, m store.Metadata) {
		// Each pair is turned around by some collation, by case folding, or by ending strings at odd bytes.
		want := []string{
			" ", "!", "B", "Z", "a", "a ", "a!b", "a-b", "a.b", "a/", "a/b", "a0", "aB", "a_", "aa", "ab",
			"b", strings.Repeat("k", store.MaxKeyBytes-1), strings.Repeat("k", store.MaxKeyBytes-1) + "a",
			strings.Repeat("k", store.MaxKeyBytes-1) + "b", "ss", "z", "\x7f", "À", "É", "ß", "é", "\u0301", "日本", "\uffff", "😀",
		}
		for i := len(want) - 1; i >= 0; i-- {
			put(t, m, newFile(store.Key(want[i])))
		}
		require.Equal(t, want, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: store.MaxListLimit}))
		require.Equal(t, want, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 1}))
		for _, key := range want {
			f, err := m.LatestFile(t.Context(), store.DefaultBucket, store.Key(key))
			require.NoError(t, err)
			require.Equal(t, store.Key(key), f.Key)
		}
	}},
	{"entries carry the whole file but its parts, common prefixes none", func(t *testing.T, m store.Metadata) {
		stored := put(t, m, newFile("a", newPart(1, newNodes(2)...)))
		put(t, m, newFile("b/c"))
		page, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: "/", Limit: 10})
		require.NoError(t, err)
		same(t, store.ObjectPage{Entries: []store.Entry{{Name: "a", File: &stored}, {Name: "b/"}}}, page)
	}},
	{"only complete files of the bucket are shown", func(t *testing.T, m store.Metadata) {
		put(t, m, newFile("shown"))
		begin(t, m, newFile("uploading"))
		failed := newFile("failed")
		begin(t, m, failed)
		require.NoError(t, m.FailFile(t.Context(), failed, "x", nil))
		elsewhere := newFile("elsewhere")
		elsewhere.Bucket = bucket(t, m, "other")
		put(t, m, elsewhere)
		hidden := newFile("hidden")
		hidden.DeleteMarker = true
		put(t, m, hidden)
		require.Equal(t, []string{"shown"}, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 10}))
	}},
	{"a prefix of hidden objects is no common prefix", func(t *testing.T, m store.Metadata) {
		hidden := newFile("a/hidden")
		hidden.DeleteMarker = true
		put(t, m, hidden)
		put(t, m, newFile("b/shown"))
		page, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: "/", Limit: 1})
		require.NoError(t, err)
		same(t, store.ObjectPage{Entries: []store.Entry{{Name: "b/"}}}, page)
	}},
	{"an unknown bucket is NotFound, a limit out of bounds Invalid", func(t *testing.T, m store.Metadata) {
		_, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: "nowhere", Limit: 1})
		requireKind(t, store.NotFound, err)
		for _, limit := range []int{0, -1, store.MaxListLimit + 1} {
			_, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: limit})
			requireKind(t, store.Invalid, err)
		}
	}},
	{"an empty bucket has an empty page", func(t *testing.T, m store.Metadata) {
		page, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 10})
		require.NoError(t, err)
		same(t, store.ObjectPage{}, page)
	}},
	{"chosen listings", func(t *testing.T, m store.Metadata) {
		keys := []store.Key{
			"a", "a/", "a//", "a//b", "a/1", "a/2", "a/b/1", "a/b/2", "a/b0", "a-b", "a0", "b--c", "b---c",
			"b-c", "photos/2024/01/x", "photos/2024/02/x", "photos/2025/01/x", "photos2", "é/1", "é/2", "日本/東京/1", "日本/大阪/1",
		}
		putAll(t, m, store.DefaultBucket, keys)
		for _, q := range []store.ObjectQuery{
			{},
			{Delimiter: "/"},
			{Prefix: "a/", Delimiter: "/"},
			{Prefix: "a", Delimiter: "/"},
			{Prefix: "a//", Delimiter: "/"},
			{Prefix: "a/b", Delimiter: "/"},
			{Prefix: "b", Delimiter: "--"},
			{Prefix: "b-", Delimiter: "--"},
			{Prefix: "photos/", Delimiter: "/"},
			{Prefix: "photos/2024/", Delimiter: "/"},
			{Delimiter: "é"},
			{Delimiter: "日本/"},
			{Prefix: "日", Delimiter: "/"},
			{Prefix: "日本/", Delimiter: "/"},
			{Prefix: "nothing"},
			{Prefix: "z"},
			{Prefix: "\xff"},
			{Prefix: "\xf4\x8f\xbf\xbf", Delimiter: "/"},
			{Prefix: "a/", Delimiter: "/", After: "a/"},
			{Delimiter: "/", After: "a/"},
			{Delimiter: "/", After: "a/b"},
			{Delimiter: "/", After: "a/b/"},
			{Delimiter: "/", After: "photos/2024/01/x"},
			{Prefix: "photos/", Delimiter: "/", After: "photos/2024/"},
			{Prefix: "photos/", Delimiter: "/", After: "photos/2024/0"},
			{Delimiter: "/", After: "z"},
			{Prefix: "a/", After: "b"},
			{Prefix: "a/", After: "A"},
			{After: "a/2"},
			{After: "a/2\x00"},
			{Delimiter: "/", After: "\xff"},
			{After: "/"},
			{Delimiter: "x", After: "photos/2024/01/x"},
		} {
			q.Bucket = store.DefaultBucket
			for _, limit := range []int{1, 2, 3, 5, store.MaxListLimit} {
				q.Limit = limit
				checkListing(t.Context(), t, m, keys, q)
			}
		}
	}},
	{"any listing of any keys agrees with the oracle", func(t *testing.T, m store.Metadata) {
		count := 0
		rapid.Check(t, func(rt *rapid.T) {
			count++
			name := bucket(t, m, store.BucketName(fmt.Sprintf("bucket-%d", count)))
			keys := rapid.SliceOfN(drawKey(), 0, 24).Draw(rt, "keys")
			putAll(t, m, name, keys)
			for range 12 {
				q := drawQuery(rt, keys)
				q.Bucket = name
				checkListing(t.Context(), rt, m, keys, q)
			}
		})
	}},
	{"a page of the highest limit, and the one after", func(t *testing.T, m store.Metadata) {
		var keys []store.Key
		for i := range store.MaxListLimit + 3 {
			keys = append(keys, store.Key(fmt.Sprintf("%05d/x", i)))
		}
		putAll(t, m, store.DefaultBucket, keys)
		for _, delimiter := range []string{"", "/"} {
			checkListing(t.Context(), t, m, keys, store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: delimiter, Limit: store.MaxListLimit})
		}
	}},
}

// putAll commits an empty file under each key, many at once.
func putAll(tb testing.TB, m store.Metadata, name store.BucketName, keys []store.Key) {
	tb.Helper()
	const writers = 32
	errs := make([]error, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := w; i < len(keys) && errs[w] == nil; i += writers {
				f := store.File{ID: store.NewFileID(), Bucket: name, Key: keys[i], CreatedAt: now()}
				_, _, errs[w] = m.CommitFile(tb.Context(), store.Commit{File: f})
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(tb, err)
	}
}

// pieces make keys that meet where delimiters, prefixes and collations hurt.
var pieces = []string{"a", "b", "/", "/", "//", "-", "--", "é", "日", "!", "0", "\x7f", "A"}

func drawKey() *rapid.Generator[store.Key] {
	return rapid.Custom(func(rt *rapid.T) store.Key {
		return store.Key(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 6).Draw(rt, "pieces"), ""))
	})
}

func drawQuery(rt *rapid.T, keys []store.Key) store.ObjectQuery {
	part := rapid.Custom(func(rt *rapid.T) string { // a piece of a key that exists, or something else
		text := string(drawKey().Draw(rt, "text"))
		if len(keys) > 0 && rapid.Bool().Draw(rt, "of a key") {
			text = string(rapid.SampledFrom(keys).Draw(rt, "key"))
		}
		return text[:rapid.IntRange(0, len(text)).Draw(rt, "cut")]
	})
	q := store.ObjectQuery{
		Prefix:    part.Draw(rt, "prefix"),
		Delimiter: rapid.SampledFrom([]string{"", "/", "/", "/", "--", "é", "日/", "a", "/a"}).Draw(rt, "delimiter"),
		Limit:     rapid.SampledFrom([]int{1, 2, 3, 4, 7, 30, store.MaxListLimit}).Draw(rt, "limit"),
	}
	if rapid.Bool().Draw(rt, "after prefix") {
		q.After = q.Prefix
	}
	q.After += part.Draw(rt, "after")
	if rapid.Bool().Draw(rt, "from the start") {
		q.After = ""
	}
	return q
}

// checkListing pages through the whole answer and holds every page against the oracle.
func checkListing(ctx context.Context, tb rapid.TB, m store.Metadata, keys []store.Key, q store.ObjectQuery) {
	tb.Helper()
	want := naive(keys, q)
	for first := true; first || len(want) > 0; first = false {
		page, err := m.ListObjects(ctx, q)
		require.NoError(tb, err, "%+v", q)
		n := min(q.Limit, len(want))
		got := []listed{}
		for _, e := range page.Entries {
			got = append(got, listed{e.Name, e.File == nil})
			if e.File != nil {
				require.Equal(tb, e.Name, string(e.File.Key))
			}
		}
		require.Equal(tb, append([]listed{}, want[:n]...), got, "%+v", q)
		want = want[n:]
		require.Equal(tb, len(want) > 0, page.More, "%+v", q)
		q.After = page.Next
	}
}
