package metatest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ownedSession is a session of the owner in the bucket.
func ownedSession(owner string, in store.BucketName) store.Session {
	s := newSession("a")
	s.Owner, s.Bucket = owner, in
	return s
}

// createWithin creates the session under the limits for an hour.
func createWithin(tb testing.TB, m store.Metadata, s store.Session, limits store.SessionLimits) error {
	tb.Helper()
	_, err := m.CreateSession(tb.Context(), s, time.Hour, limits)
	return err
}

// requireFull checks that one more session of the owner in the bucket is refused, and leaves nothing.
func requireFull(tb testing.TB, m store.Metadata, owner string, in store.BucketName, limits store.SessionLimits) {
	tb.Helper()
	s := ownedSession(owner, in)
	err := createWithin(tb, m, s, limits)
	requireKind(tb, store.Unavailable, err)
	require.Equal(tb, "open_sessions", store.LimitOf(err))
	require.Positive(tb, store.RetryAfterOf(err))
	requireNoSession(tb, m, s.ID)
}

var limitTests = []test{
	{"an owner has so many open sessions, in all buckets together", func(t *testing.T, m store.Metadata) {
		limits, other := store.SessionLimits{PerOwner: 2}, bucket(t, m, "photos")
		require.NoError(t, createWithin(t, m, ownedSession("one", store.DefaultBucket), limits))
		require.NoError(t, createWithin(t, m, ownedSession("one", other), limits))
		requireFull(t, m, "one", other, limits)
		require.NoError(t, createWithin(t, m, ownedSession("two", other), limits), "another owner")
		require.NoError(t, createWithin(t, m, ownedSession("one", other), store.SessionLimits{PerOwner: 3}), "a higher limit")
		require.NoError(t, createWithin(t, m, ownedSession("one", other), store.SessionLimits{}), "no limit")
	}},
	{"a bucket has so many open sessions, of all owners together", func(t *testing.T, m store.Metadata) {
		limits, other := store.SessionLimits{PerBucket: 2}, bucket(t, m, "photos")
		require.NoError(t, createWithin(t, m, ownedSession("one", other), limits))
		require.NoError(t, createWithin(t, m, ownedSession("two", other), limits))
		requireFull(t, m, "three", other, limits)
		require.NoError(t, createWithin(t, m, ownedSession("three", store.DefaultBucket), limits), "another bucket")
		require.NoError(t, createWithin(t, m, ownedSession("three", other), store.SessionLimits{PerBucket: 3}), "a higher limit")
		require.NoError(t, createWithin(t, m, ownedSession("three", other), store.SessionLimits{}), "no limit")
	}},
	{"sessions that are aborted, completed or expired do not count", func(t *testing.T, m store.Metadata) {
		for _, limits := range []store.SessionLimits{{PerOwner: 1}, {PerBucket: 1}} {
			first := ownedSession("one", store.DefaultBucket)
			require.NoError(t, createWithin(t, m, first, limits))
			requireFull(t, m, "one", store.DefaultBucket, limits)
			require.NoError(t, m.AbortSession(t.Context(), by(first.ID)))

			second := ownedSession("one", store.DefaultBucket)
			require.NoError(t, createWithin(t, m, second, limits), "after an abort")
			requireFull(t, m, "one", store.DefaultBucket, limits)
			f := newFile("a")
			f.ID = second.ID
			_, _, err := m.CompleteSession(t.Context(), store.Completion{File: f, Sessions: []store.FileID{second.ID}, Attempt: store.NewAttemptID()})
			require.NoError(t, err)

			third := ownedSession("one", store.DefaultBucket)
			_, err = m.CreateSession(t.Context(), third, time.Millisecond, limits)
			require.NoError(t, err, "after a completion")
			awaitExpired(t, m, third.ID)
			fourth := ownedSession("one", store.DefaultBucket)
			require.NoError(t, createWithin(t, m, fourth, limits), "after an expiry, before the sweep")
			require.NoError(t, m.AbortSession(t.Context(), by(fourth.ID)))
		}
	}},
	{"concurrent creates exceed a limit by no more than there are of them", func(t *testing.T, m store.Metadata) {
		const limit, concurrent, rounds = 3, 4, 5
		limits := store.SessionLimits{PerOwner: limit, PerBucket: limit}
		errs := make([]error, concurrent*rounds)
		var wg sync.WaitGroup
		for i := range concurrent {
			wg.Go(func() {
				for j := range rounds {
					errs[i*rounds+j] = createWithin(t, m, ownedSession("one", store.DefaultBucket), limits)
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				requireKind(t, store.Unavailable, err)
			}
		}
		stored := sessionIDs(t, m, store.SessionQuery{Limit: 100})
		refused := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
		require.Equal(t, concurrent*rounds, len(stored)+len(refused))
		require.GreaterOrEqual(t, len(stored), limit)
		require.LessOrEqual(t, len(stored), limit+concurrent-1)
		requireFull(t, m, "one", store.DefaultBucket, limits)
	}},
}
