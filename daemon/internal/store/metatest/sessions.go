package metatest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// newSession is a session of the default bucket, as the engine makes it.
func newSession(key store.Key) store.Session {
	return store.Session{
		ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, Size: 1 << 40, ContentType: "text/plain",
		Meta:  map[string]string{"colour": "blue", "": "empty name", "ключ": "\"quoted\" \x01"},
		CRC64: new(uint64(0xfedcba9876543210)), Owner: "RS \"key\" ключ", Attributes: everyAttribute(),
	}
}

// create stores a session and returns it as stored.
func create(tb testing.TB, m store.Metadata, s store.Session, ttl time.Duration) store.Session {
	tb.Helper()
	stored, err := m.CreateSession(tb.Context(), s, ttl, store.SessionLimits{})
	require.NoError(tb, err)
	return stored
}

// session makes one that stays for an hour.
func session(tb testing.TB, m store.Metadata, key store.Key) store.Session {
	tb.Helper()
	return create(tb, m, newSession(key), time.Hour)
}

// by is a change of a session by another client than the one that created it, always the same.
func by(id store.FileID) store.SessionChange {
	return store.SessionChange{Session: id, Caller: "RS \"changer\" ключ"}
}

// sessionOf is the session as it is now, with its parts.
func sessionOf(tb testing.TB, m store.Metadata, id store.FileID) store.Session {
	tb.Helper()
	s, err := m.Session(tb.Context(), id)
	require.NoError(tb, err)
	return s
}

func requireNoSession(tb testing.TB, m store.Metadata, id store.FileID) {
	tb.Helper()
	_, err := m.Session(tb.Context(), id)
	requireKind(tb, store.NotFound, err)
}

// expired makes a session of the parts, one of them begun, and waits until its time is over.
func expired(t *testing.T, m store.Metadata, s store.Session, begun store.Part, parts ...store.Part) {
	t.Helper()
	create(t, m, s, time.Hour)
	beginPart(t, m, s.ID, begun)
	for _, p := range parts {
		savePart(t, m, s.ID, p)
	}
	last := newPart(store.MaxParts, store.NodeID{}) // has no chunk anywhere
	require.NoError(t, m.SavePart(t.Context(), by(s.ID), last, time.Millisecond))
	awaitExpired(t, m, s.ID)
}

func awaitExpired(t *testing.T, m store.Metadata, id store.FileID) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := m.Session(t.Context(), id)
		return err != nil && store.KindOf(err) == store.NotFound
	}, patience, time.Millisecond)
}

// sessionIDs are the ids of the whole answer to the query, page after page.
func sessionIDs(tb testing.TB, m store.Metadata, q store.SessionQuery) []store.FileID {
	tb.Helper()
	var ids []store.FileID
	for {
		page, err := m.ListSessions(tb.Context(), q)
		require.NoError(tb, err)
		require.LessOrEqual(tb, len(page.Sessions), q.Limit)
		for _, s := range page.Sessions {
			require.Nil(tb, s.Parts, "a listing has no parts")
			require.Positive(tb, slices.Compare(s.ID[:], q.After[:]), "%s does not come after %s", s.ID, q.After)
			q.After = s.ID
			ids = append(ids, s.ID)
		}
		if !page.More {
			return ids
		}
		require.NotEmpty(tb, page.Sessions, "More without a session")
	}
}

var sessionTests = []test{
	{"a session reads back as given, with the store's times", func(t *testing.T, m store.Metadata) {
		s := newSession("docs/ключ \x01")
		given := s
		given.CreatedAt, given.ExpiresAt, given.Received = now().AddDate(-1, 0, 0), now().AddDate(1, 0, 0), 77
		given.ChangedBy = "not the owner"
		given.Parts = []store.SessionPart{{Part: newPart(1, newNodes(1)...)}}
		stored := create(t, m, given, 100*time.Hour)
		requireStoreTime(t, stored.CreatedAt)
		require.Equal(t, stored.CreatedAt.Add(100*time.Hour), stored.ExpiresAt)
		s.CreatedAt, s.ExpiresAt, s.ChangedBy = stored.CreatedAt, stored.ExpiresAt, s.Owner
		same(t, s, stored)
		same(t, s, sessionOf(t, m, s.ID))
	}},
	{"what was not given of a session stays absent", func(t *testing.T, m store.Metadata) {
		s := create(t, m, store.Session{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: "a", Size: -1}, time.Hour)
		got := sessionOf(t, m, s.ID)
		require.Nil(t, got.CRC64)
		require.Nil(t, got.Meta)
		require.Empty(t, got.ContentType)
		require.Empty(t, got.Owner)
		require.Empty(t, got.ChangedBy)
		require.Empty(t, got.Parts)
		require.Zero(t, got.Received)
		require.Equal(t, int64(-1), got.Size)
	}},
	{"an unknown size can be set once, and the same size again", func(t *testing.T, m store.Metadata) {
		for _, size := range []int64{0, 7, store.MaxFileBytes} {
			s := newSession("a")
			s.Size = -1
			s = create(t, m, s, time.Hour)
			savePart(t, m, s.ID, newPart(1, newNodes(1)...))
			s = sessionOf(t, m, s.ID)
			requireKind(t, store.Invalid, m.SetSessionSize(t.Context(), by(s.ID), -1))
			same(t, s, sessionOf(t, m, s.ID))
			for range 2 {
				require.NoError(t, m.SetSessionSize(t.Context(), by(s.ID), size))
				s.Size = size
				same(t, s, sessionOf(t, m, s.ID))
			}
			requireKind(t, store.Conflict, m.SetSessionSize(t.Context(), by(s.ID), size+1))
			requireKind(t, store.Invalid, m.SetSessionSize(t.Context(), by(s.ID), -1))
			same(t, s, sessionOf(t, m, s.ID))
		}
	}},
	{"the size that counts makes its caller the session's last", func(t *testing.T, m store.Metadata) {
		for _, caller := range []string{"setter ключ", ""} {
			s := newSession("a")
			s.Size = -1
			s = create(t, m, s, time.Hour)
			require.NoError(t, m.SetSessionSize(t.Context(), store.SessionChange{Session: s.ID, Caller: caller}, 7))
			require.Equal(t, caller, sessionOf(t, m, s.ID).ChangedBy)
			require.NoError(t, m.SetSessionSize(t.Context(), by(s.ID), 7))
			requireKind(t, store.Conflict, m.SetSessionSize(t.Context(), by(s.ID), 8))
			s.Size, s.ChangedBy = 7, caller
			same(t, s, sessionOf(t, m, s.ID))
		}
	}},
	{"of two sizes set at once one counts", func(t *testing.T, m store.Metadata) {
		s := newSession("a")
		s.Size = -1
		create(t, m, s, time.Hour)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			c := store.SessionChange{Session: s.ID, Caller: fmt.Sprint("caller ", i)}
			wg.Go(func() { errs[i] = m.SetSessionSize(t.Context(), c, int64(i)) })
		}
		wg.Wait()
		got := sessionOf(t, m, s.ID)
		counts := got.Size
		require.Equal(t, fmt.Sprint("caller ", counts), got.ChangedBy)
		for i, err := range errs {
			if int64(i) == counts {
				require.NoError(t, err)
			} else {
				requireKind(t, store.Conflict, err)
			}
		}
	}},
	{"a wanted checksum keeps its whole range, zero included", func(t *testing.T, m store.Metadata) {
		for _, crc := range []uint64{0, 1, 1 << 63, 1<<64 - 1} {
			s := newSession("a")
			s.CRC64 = new(crc)
			create(t, m, s, time.Hour)
			got := sessionOf(t, m, s.ID)
			require.NotNil(t, got.CRC64)
			require.Equal(t, crc, *got.CRC64)
		}
	}},
	{"create is NotFound for an unknown bucket, and nothing is kept", func(t *testing.T, m store.Metadata) {
		s := newSession("a")
		s.Bucket = "nowhere"
		_, err := m.CreateSession(t.Context(), s, time.Hour, store.SessionLimits{})
		requireKind(t, store.NotFound, err)
		requireNoSession(t, m, s.ID)
	}},
	{"create is Exists for the id of a session, expired or not, or of a file of any state", func(t *testing.T, m store.Metadata) {
		alive, old, whole, begun := session(t, m, "a"), newSession("a"), newFile("a"), newFile("a")
		create(t, m, old, time.Millisecond)
		awaitExpired(t, m, old.ID)
		put(t, m, whole)
		begin(t, m, begun)
		for _, id := range []store.FileID{alive.ID, old.ID, whole.ID, begun.ID} {
			other := newSession("b")
			other.ID = id
			_, err := m.CreateSession(t.Context(), other, time.Hour, store.SessionLimits{})
			requireKind(t, store.Exists, err)
		}
		same(t, alive, sessionOf(t, m, alive.ID))
	}},
	{"create is Invalid for what no session can be", func(t *testing.T, m store.Metadata) {
		for name, invalidate := range map[string]func(*store.Session){
			"bucket": func(s *store.Session) { s.Bucket = "A" },
			"key":    func(s *store.Session) { s.Key = "" },
			"id":     func(s *store.Session) { s.ID = store.FileID{} },
			"size":   func(s *store.Session) { s.Size = -2 },
		} {
			s := newSession("a")
			invalidate(&s)
			_, err := m.CreateSession(t.Context(), s, time.Hour, store.SessionLimits{})
			require.Error(t, err, name)
			requireKind(t, store.Invalid, err)
		}
		for _, ttl := range []time.Duration{0, -time.Second} {
			_, err := m.CreateSession(t.Context(), newSession("a"), ttl, store.SessionLimits{})
			requireKind(t, store.Invalid, err)
		}
		require.Empty(t, sessionIDs(t, m, store.SessionQuery{Limit: 10}))
	}},
	{"an unknown session is NotFound", func(t *testing.T, m store.Metadata) {
		id := store.NewFileID()
		requireNoSession(t, m, id)
		requireKind(t, store.NotFound, m.BeginPart(t.Context(), id, newPart(1, newNodes(1)...)))
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(id), newPart(1, newNodes(1)...), time.Hour))
		requireKind(t, store.NotFound, m.SetSessionSize(t.Context(), by(id), 1))
		requireKind(t, store.Invalid, m.SetSessionSize(t.Context(), by(id), -1))
		requireKind(t, store.NotFound, m.AbortSession(t.Context(), by(id)))
		_, _, err := m.CompleteSession(t.Context(), store.Completion{File: newFile("a"), Sessions: []store.FileID{id}, Attempt: store.NewAttemptID()})
		requireKind(t, store.NotFound, err)
		requireQueued(t, m, store.Reclaim)
	}},
	{"sessions of one key do not disturb each other or what is shown", func(t *testing.T, m store.Metadata) {
		put(t, m, newFile("a"))
		one, two := session(t, m, "a"), session(t, m, "a")
		savePart(t, m, one.ID, newPart(1, newNodes(1)...))
		same(t, two, sessionOf(t, m, two.ID))
		require.Equal(t, []string{"a"}, names(t, m, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 10}))
		require.Empty(t, fileIDs(t, m, store.FileQuery{State: store.Uploading, Limit: 10}))
		requireNoFile(t, m, one.ID)
	}},
	{"the list is by id, page after page", func(t *testing.T, m store.Metadata) {
		want := newIDs(7)
		for _, i := range []int{3, 0, 6, 1, 5, 2, 4} {
			s := newSession("a")
			s.ID = want[i]
			create(t, m, s, time.Hour)
		}
		for _, limit := range []int{1, 2, 6, 7, 8, store.MaxListLimit} {
			same(t, want, sessionIDs(t, m, store.SessionQuery{Limit: limit}))
			same(t, want, sessionIDs(t, m, store.SessionQuery{Bucket: store.DefaultBucket, Prefix: "a", Limit: limit}))
		}
		same(t, want[3:], sessionIDs(t, m, store.SessionQuery{After: want[2], Limit: 2}))
		same(t, want, sessionIDs(t, m, store.SessionQuery{After: before(want[0]), Limit: 9}))
		require.Empty(t, sessionIDs(t, m, store.SessionQuery{After: want[6], Limit: 1}))
	}},
	{"the list shows everything but the parts", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		savePart(t, m, s.ID, newPart(2, newNodes(1)...))
		savePart(t, m, s.ID, newPart(5, newNodes(1)...))
		want := sessionOf(t, m, s.ID)
		want.Parts = nil
		require.Equal(t, int64(2007), want.Received)
		require.Equal(t, by(s.ID).Caller, want.ChangedBy)
		for _, bucket := range []store.BucketName{"", store.DefaultBucket} {
			page, err := m.ListSessions(t.Context(), store.SessionQuery{Bucket: bucket, Limit: 10})
			require.NoError(t, err)
			same(t, []store.Session{want}, page.Sessions)
			require.False(t, page.More)
		}
		byKey, err := m.ListSessionsByKey(t.Context(), store.SessionKeyQuery{Bucket: store.DefaultBucket, Limit: 10})
		require.NoError(t, err)
		same(t, []store.Session{want}, byKey.Sessions)
	}},
	{"the list filters by bucket and prefix, as bytes", func(t *testing.T, m store.Metadata) {
		photos := bucket(t, m, "photos")
		ids := map[store.Key]store.FileID{}
		for _, key := range []store.Key{"a", "a/", "a/b", "a0", "b", "a/\U0010ffff", "a/\U0010ffff\U0010ffff"} {
			ids[key] = session(t, m, key).ID
		}
		other := newSession("a/b")
		other.Bucket = photos
		create(t, m, other, time.Hour)
		list := func(q store.SessionQuery) []store.FileID {
			q.Limit = 2
			return sessionIDs(t, m, q)
		}
		same(t, []store.FileID{ids["a/"], ids["a/b"], ids["a/\U0010ffff"], ids["a/\U0010ffff\U0010ffff"]}, list(store.SessionQuery{Bucket: store.DefaultBucket, Prefix: "a/"}))
		same(t, []store.FileID{ids["a/\U0010ffff"], ids["a/\U0010ffff\U0010ffff"]}, list(store.SessionQuery{Bucket: store.DefaultBucket, Prefix: "a/\U0010ffff"}))
		same(t, []store.FileID{other.ID}, list(store.SessionQuery{Bucket: photos}))
		same(t, []store.FileID{ids["a/b"], other.ID}, list(store.SessionQuery{Prefix: "a/b"}))
		require.Empty(t, list(store.SessionQuery{Bucket: photos, Prefix: "b"}))
		require.Len(t, list(store.SessionQuery{}), 8)
	}},
	{"a list is NotFound for an unknown bucket and Invalid beyond its limits", func(t *testing.T, m store.Metadata) {
		_, err := m.ListSessions(t.Context(), store.SessionQuery{Bucket: "nowhere", Limit: 1})
		requireKind(t, store.NotFound, err)
		for _, limit := range []int{-1, 0, store.MaxListLimit + 1} {
			_, err := m.ListSessions(t.Context(), store.SessionQuery{Limit: limit})
			requireKind(t, store.Invalid, err)
		}
	}},
	{"by key sessions come in byte order, those of a key by id, after any cursor", sessionsByKey},
	{"an expired session is NotFound to all but the list of those, and the abort", func(t *testing.T, m store.Metadata) {
		alive, s := session(t, m, "a"), newSession("a")
		saved, begun := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)
		expired(t, m, s, begun, saved)

		requireKind(t, store.NotFound, m.BeginPart(t.Context(), s.ID, newPart(3, newNodes(1)...)))
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), begun, time.Hour))
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), saved, time.Hour))
		requireKind(t, store.NotFound, m.SetSessionSize(t.Context(), by(s.ID), 1))
		_, _, err := m.CompleteSession(t.Context(), store.Completion{File: fileOf(s, saved), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		requireKind(t, store.NotFound, err)
		_, _, err = m.CompleteSession(t.Context(), store.Completion{File: newFile("b"), Sessions: []store.FileID{alive.ID, s.ID}, Attempt: store.NewAttemptID()})
		requireKind(t, store.NotFound, err)
		requireNoSession(t, m, s.ID)
		requireQueued(t, m, store.Reclaim)

		same(t, []store.FileID{alive.ID}, sessionIDs(t, m, store.SessionQuery{Limit: 10}))
		same(t, []store.FileID{alive.ID}, sessionIDs(t, m, store.SessionQuery{Bucket: s.Bucket, Prefix: "a", Limit: 10}))
		same(t, []store.FileID{s.ID}, sessionIDs(t, m, store.SessionQuery{Expired: true, Limit: 10}))
		same(t, []store.FileID{s.ID}, sessionIDs(t, m, store.SessionQuery{Bucket: s.Bucket, Prefix: "a", Expired: true, Limit: 10}))
		page, err := m.ListSessions(t.Context(), store.SessionQuery{Expired: true, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, saved.Size+1000+store.MaxParts, page.Sessions[0].Received)
		require.Equal(t, by(s.ID).Caller, page.Sessions[0].ChangedBy)

		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		requireQueued(t, m, store.Reclaim, chunksOf(saved, begun)...)
		require.Empty(t, sessionIDs(t, m, store.SessionQuery{Expired: true, Limit: 10}))
		same(t, alive, sessionOf(t, m, alive.ID))
	}},
	{"expired sessions come by id too, page after page", func(t *testing.T, m store.Metadata) {
		photos := bucket(t, m, "photos")
		want := newIDs(5)
		for i, id := range want {
			s := newSession("a")
			s.ID = id
			if i == 2 {
				s.Bucket = photos
			}
			create(t, m, s, time.Duration(5-i)*time.Millisecond) // the last is the first to expire
			session(t, m, "a")
		}
		for _, id := range want {
			awaitExpired(t, m, id)
		}
		for _, limit := range []int{1, 2, 5, 6} {
			same(t, want, sessionIDs(t, m, store.SessionQuery{Expired: true, Limit: limit}))
		}
		same(t, want[3:], sessionIDs(t, m, store.SessionQuery{Expired: true, After: want[2], Limit: 1}))
		same(t, want[2:3], sessionIDs(t, m, store.SessionQuery{Expired: true, Bucket: photos, Limit: 1}))
	}},
	{"an abort reclaims all parts, begun ones included", func(t *testing.T, m store.Metadata) {
		s, other := session(t, m, "a"), session(t, m, "a")
		n := newNodes(4)
		one, two, begun := newPart(1, n[0], store.NodeID{}, n[1]), newPart(2, n...), newPart(3, n[2], store.NodeID{}, n[3])
		savePart(t, m, s.ID, one)
		beginPart(t, m, s.ID, two)
		savePart(t, m, s.ID, two)
		beginPart(t, m, s.ID, begun)
		beside, besideBegun := newPart(1, n...), newPart(2, n...)
		savePart(t, m, other.ID, beside)
		beginPart(t, m, other.ID, besideBegun)
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		requireNoSession(t, m, s.ID)
		requireQueued(t, m, store.Reclaim, chunksOf(one, two, begun)...)
		requireQueued(t, m, store.Repair, work{Chunk: one.ChunkID(1)})
		requireKind(t, store.NotFound, m.AbortSession(t.Context(), by(s.ID)))
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), begun, time.Hour))
		requireParts(t, m, other.ID, beside)
		require.NoError(t, m.AbortSession(t.Context(), by(other.ID)))
		requireQueued(t, m, store.Reclaim, chunksOf(beside, besideBegun)...)
	}},
	{"what an abort leaves until it is swept was changed by its caller", func(t *testing.T, m store.Metadata) {
		for _, caller := range []string{"aborter ключ", ""} {
			s := session(t, m, "a")
			savePart(t, m, s.ID, newPart(1, newNodes(2)...))
			require.NoError(t, m.AbortSession(t.Context(), store.SessionChange{Session: s.ID, Caller: caller}))
			f, err := m.File(t.Context(), s.ID)
			require.NoError(t, err)
			require.Equal(t, store.Deleted, f.State)
			require.Equal(t, caller, f.ChangedBy)
			sweep(t, m)
		}
	}},
	{"the id of an aborted session is free once its parts were swept", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		savePart(t, m, s.ID, newPart(1, newNodes(1)...))
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		sweep(t, m)
		again := newSession("b")
		again.ID = s.ID
		again = create(t, m, again, time.Hour)
		same(t, again, sessionOf(t, m, s.ID))
	}},
	{"of aborts at once one ends the session", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = m.AbortSession(t.Context(), by(s.ID)) })
		}
		all.Wait()
		requireOneWon(t, store.NotFound, errs)
		requireQueued(t, m, store.Reclaim, chunksOf(p)...)
	}},
	{"a bucket with a session cannot be deleted, expired or not", func(t *testing.T, m store.Metadata) {
		s := newSession("a")
		s.Bucket = bucket(t, m, "photos")
		create(t, m, s, time.Hour)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", ""))
		require.NoError(t, m.SavePart(t.Context(), by(s.ID), newPart(1, newNodes(1)...), time.Millisecond))
		awaitExpired(t, m, s.ID)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", ""))
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		require.NoError(t, m.DeleteBucket(t.Context(), "photos", ""))
		_, err := m.CreateSession(t.Context(), s, time.Hour, store.SessionLimits{})
		requireKind(t, store.NotFound, err)
	}},
	{"a bucket refused because of a session keeps its failed files", func(t *testing.T, m store.Metadata) {
		s, f := newSession("a"), newFile("b")
		s.Bucket = bucket(t, m, "photos")
		f.Bucket = s.Bucket
		begin(t, m, f)
		require.NoError(t, m.FailFile(t.Context(), f, "gone", nil))
		create(t, m, s, time.Hour)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", ""))
		_, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
	}},
	{"of a session and the end of its bucket at once one wins", func(t *testing.T, m store.Metadata) {
		createAgainstDelete(t, m, m)
	}},
	{"a session's values are never shared", func(t *testing.T, m store.Metadata) {
		s := newSession("a")
		stored := create(t, m, s, time.Hour)
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		want := sessionOf(t, m, s.ID)
		*s.CRC64, s.Meta["colour"], p.Chunks[0].Sum = 1, "red", 9
		*stored.CRC64, stored.Meta["colour"] = 2, "green"
		got := sessionOf(t, m, s.ID)
		same(t, want, got)
		*got.CRC64, got.Meta["colour"], got.Parts[0].Chunks[0].Sum, got.Parts[0].Size = 3, "white", 8, 7
		page, err := m.ListSessions(t.Context(), store.SessionQuery{Limit: 1})
		require.NoError(t, err)
		*page.Sessions[0].CRC64, page.Sessions[0].Meta["colour"] = 4, "black"
		same(t, want, sessionOf(t, m, want.ID))
	}},
}

// newIDs makes ids, in their order.
func newIDs(n int) []store.FileID {
	ids := make([]store.FileID, n)
	for i := range ids {
		ids[i] = store.NewFileID()
	}
	slices.SortFunc(ids, func(a, b store.FileID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// before is the id just below.
func before(id store.FileID) store.FileID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]--
		if id[i] != 0xff {
			break
		}
	}
	return id
}

// requireOneWon demands that all but one of the errors are of the kind, and that one is nil.
func requireOneWon(tb testing.TB, kind store.Kind, errs []error) (winner int) {
	tb.Helper()
	winner = -1
	for i, err := range errs {
		if err != nil {
			requireKind(tb, kind, err)
			continue
		}
		require.Equal(tb, -1, winner, "two won")
		winner = i
	}
	require.NotEqual(tb, -1, winner, "none won")
	return winner
}

// createAgainstDelete creates a session in a bucket that is being deleted.
func createAgainstDelete(t *testing.T, one, two store.Metadata) {
	for range 20 {
		s := newSession("a")
		s.Bucket = bucket(t, one, "photos")
		var created, deleted error
		var both sync.WaitGroup
		both.Go(func() { _, created = one.CreateSession(t.Context(), s, time.Hour, store.SessionLimits{}) })
		both.Go(func() { deleted = two.DeleteBucket(t.Context(), s.Bucket, "") })
		both.Wait()
		require.NotEqual(t, created == nil, deleted == nil, "create: %v, delete: %v", created, deleted)
		if created != nil {
			requireKind(t, store.NotFound, created)
			continue
		}
		requireKind(t, store.Conflict, deleted)
		require.NoError(t, one.AbortSession(t.Context(), by(s.ID)))
		require.NoError(t, one.DeleteBucket(t.Context(), s.Bucket, ""))
	}
}
