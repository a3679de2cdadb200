package listing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var text = rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'b', '/', '-', 0x7f, 'é', 0x10ffff}), 0, 6, -1)

func TestRangeHoldsExactlyWhatTheQueryAsksFor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := store.ObjectQuery{
			Prefix: text.Draw(t, "prefix"), After: text.Draw(t, "after"),
			Delimiter: rapid.SampledFrom([]string{"", "/", "//", "é"}).Draw(t, "delimiter"),
		}
		key := text.Draw(t, "key")
		passed := key <= q.After || isCommonPrefix(q, q.After) && strings.HasPrefix(key, q.After)
		want := strings.HasPrefix(key, q.Prefix) && (q.After == "" || !passed)
		from, to := Range(q)
		require.Equal(t, want, key >= string(from) && key < string(to), "%q in [%q, %q)", key, from, to)
	})
}

// isCommonPrefix tells whether the query can answer with s as a common prefix.
func isCommonPrefix(q store.ObjectQuery, s string) bool {
	rest, ok := strings.CutPrefix(s, q.Prefix)
	return ok && q.Delimiter != "" && strings.HasSuffix(rest, q.Delimiter) && strings.Index(rest, q.Delimiter) == len(rest)-len(q.Delimiter)
}

// An After that ends in the delimiter hides nothing unless this query can answer with it.
func TestAfterOfAnotherQuery(t *testing.T) {
	t.Parallel()
	for _, q := range []store.ObjectQuery{
		{Delimiter: "/", After: "a/b/"},                 // the common prefix is a/
		{Delimiter: "/", Prefix: "a/b/", After: "a/b/"}, // the prefix itself
		{Delimiter: "/", Prefix: "a/b/c", After: "a/"},
	} {
		from, to := Range(q)
		require.True(t, "a/b/c" >= string(from) && "a/b/c" < string(to), "%+v", q)
	}
}

func TestCommonPrefixGroupsExactlyWhatBeginsWithIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := store.ObjectQuery{Prefix: text.Draw(t, "prefix"), Delimiter: rapid.SampledFrom([]string{"", "/", "//", "é"}).Draw(t, "delimiter")}
		key, other := q.Prefix+text.Draw(t, "key"), q.Prefix+text.Draw(t, "other")
		prefix, next, ok := CommonPrefix(q, key)
		rest := strings.TrimPrefix(key, q.Prefix)
		require.Equal(t, q.Delimiter != "" && strings.Contains(rest, q.Delimiter), ok)
		if !ok {
			return
		}
		head, _, _ := strings.Cut(rest, q.Delimiter)
		require.Equal(t, q.Prefix+head+q.Delimiter, prefix)
		require.Equal(t, strings.HasPrefix(other, prefix), other >= prefix && other < string(next))
	})
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "a/": "a0", "\xff\xff": "", "": "", "a\x00": "a\x01"} {
		require.Equal(t, want, string(Successor([]byte(in))), "%q", in)
	}
}
