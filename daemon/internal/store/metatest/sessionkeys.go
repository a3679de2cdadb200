package metatest

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// naiveSessionsByKey is what ListSessionsByKey must return of sessions, computed by a look at each.
func naiveSessionsByKey(all []store.Session, q store.SessionKeyQuery) (ids []store.FileID, more bool) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b store.Session) int {
		return cmp.Or(strings.Compare(string(a.Key), string(b.Key)), bytes.Compare(a.ID[:], b.ID[:]))
	})
	for _, s := range all {
		key := string(s.Key)
		after := key > q.After.Key || key == q.After.Key && !q.After.ID.IsZero() && bytes.Compare(s.ID[:], q.After.ID[:]) > 0
		if s.Bucket != q.Bucket || !strings.HasPrefix(key, q.Prefix) || !after {
			continue
		}
		if len(ids) == q.Limit {
			return ids, true
		}
		ids = append(ids, s.ID)
	}
	return ids, false
}

func sessionsByKey(t *testing.T, m store.Metadata) {
	other := bucket(t, m, "other")
	var all []store.Session
	cursors := []store.SessionCursor{{}, {Key: "a"}, {Key: "a/\xff"}, {Key: "zz"}, {ID: store.NewFileID()}}
	for i, key := range []store.Key{"b", "a/b", "a", "a/\U0010ffff", "a/", "a", "B", "a/b/c", "a", "a\x01", "a0", "a/b"} {
		s := newSession(key)
		if i%5 == 4 {
			s.Bucket = other
		}
		s = create(t, m, s, time.Hour)
		all = append(all, s)
		cursors = append(cursors, store.SessionCursor{Key: string(key)}, store.SessionCursor{Key: string(key), ID: s.ID})
	}
	ended := newSession("a/b")
	create(t, m, ended, time.Millisecond)
	awaitExpired(t, m, ended.ID)
	for _, after := range cursors {
		for _, prefix := range []string{"", "a", "a/", "a/b", "c"} {
			for _, limit := range []int{1, 3, store.MaxListLimit} {
				q := store.SessionKeyQuery{Bucket: store.DefaultBucket, Prefix: prefix, After: after, Limit: limit}
				page, err := m.ListSessionsByKey(t.Context(), q)
				require.NoError(t, err)
				var ids []store.FileID
				for _, s := range page.Sessions {
					require.Nil(t, s.Parts, "a listing has no parts")
					ids = append(ids, s.ID)
				}
				want, more := naiveSessionsByKey(all, q)
				require.Equal(t, want, ids, "%+v", q)
				require.Equal(t, more, page.More, "%+v", q)
			}
		}
	}
	page, err := m.ListSessionsByKey(t.Context(), store.SessionKeyQuery{Bucket: other, Limit: 9})
	require.NoError(t, err)
	same(t, []store.Session{all[9], all[4]}, page.Sessions)
	_, err = m.ListSessionsByKey(t.Context(), store.SessionKeyQuery{Bucket: "nowhere", Limit: 1})
	requireKind(t, store.NotFound, err)
	for _, limit := range []int{-1, 0, store.MaxListLimit + 1} {
		_, err := m.ListSessionsByKey(t.Context(), store.SessionKeyQuery{Bucket: other, Limit: limit})
		requireKind(t, store.Invalid, err)
	}
}
