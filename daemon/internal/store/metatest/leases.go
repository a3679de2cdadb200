package metatest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func acquire(tb testing.TB, m store.Metadata, name, owner string, ttl time.Duration) store.Lease {
	tb.Helper()
	l, err := m.AcquireLease(tb.Context(), name, owner, ttl)
	require.NoError(tb, err)
	require.Equal(tb, store.Lease{Name: name, Owner: owner, Term: l.Term, TTL: ttl}, l)
	require.NotZero(tb, l.Term)
	return l
}

var leaseTests = []test{
	{"one owner holds a lease, others are in Conflict", func(t *testing.T, m store.Metadata) {
		acquire(t, m, "upkeep", "gateway-1", time.Hour)
		_, err := m.AcquireLease(t.Context(), "upkeep", "gateway-2", time.Hour)
		requireKind(t, store.Conflict, err)
		acquire(t, m, "another", "gateway-2", time.Hour)
	}},
	{"the same owner gets a new term, and the old one ends", func(t *testing.T, m store.Metadata) {
		old := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		require.Greater(t, l.Term, old.Term)
		_, err := m.RenewLease(t.Context(), old, time.Hour)
		requireKind(t, store.Conflict, err)
		require.NoError(t, m.ReleaseLease(t.Context(), old))
		_, err = m.AcquireLease(t.Context(), "upkeep", "gateway-2", time.Hour)
		requireKind(t, store.Conflict, err)
	}},
	{"a renewed lease keeps its term", func(t *testing.T, m store.Metadata) {
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		renewed, err := m.RenewLease(t.Context(), l, 2*time.Hour)
		require.NoError(t, err)
		l.TTL = 2 * time.Hour
		require.Equal(t, l, renewed)
	}},
	{"a renewal extends from now", func(t *testing.T, m store.Metadata) {
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		_, err := m.RenewLease(t.Context(), l, time.Millisecond)
		require.NoError(t, err)
		awaitLease(t, m, "upkeep", "gateway-2")
	}},
	{"a released lease is free, and its term is not used again", func(t *testing.T, m store.Metadata) {
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		require.NoError(t, m.ReleaseLease(t.Context(), l))
		_, err := m.RenewLease(t.Context(), l, time.Hour)
		requireKind(t, store.Conflict, err)
		next := acquire(t, m, "upkeep", "gateway-2", time.Hour)
		require.Greater(t, next.Term, l.Term)
		require.NoError(t, m.ReleaseLease(t.Context(), l), "an old term")
		_, err = m.RenewLease(t.Context(), next, time.Hour)
		require.NoError(t, err)
	}},
	{"another owner can take an expired lease, and the old term stays ended", func(t *testing.T, m store.Metadata) {
		old := acquire(t, m, "upkeep", "gateway-1", time.Millisecond)
		l := awaitLease(t, m, "upkeep", "gateway-2")
		require.Greater(t, l.Term, old.Term)
		_, err := m.RenewLease(t.Context(), old, time.Hour)
		requireKind(t, store.Conflict, err)
		require.NoError(t, m.ReleaseLease(t.Context(), old))
		_, err = m.AcquireLease(t.Context(), "upkeep", "gateway-1", time.Hour)
		requireKind(t, store.Conflict, err)
		_, err = m.RenewLease(t.Context(), l, time.Hour)
		require.NoError(t, err)
	}},
	{"an expired lease cannot be renewed, even if no other owner took it", func(t *testing.T, m store.Metadata) {
		l := acquire(t, m, "upkeep", "gateway-1", time.Microsecond)
		require.Eventually(t, func() bool {
			_, err := m.RenewLease(t.Context(), l, time.Microsecond)
			return err != nil && store.KindOf(err) == store.Conflict
		}, patience, time.Millisecond)
		_, err := m.RenewLease(t.Context(), l, time.Hour)
		requireKind(t, store.Conflict, err)
	}},
	{"a lease of another owner or an unknown one is Conflict to renew and nothing to release", func(t *testing.T, m store.Metadata) {
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		other := l
		other.Owner = "gateway-2"
		_, err := m.RenewLease(t.Context(), other, time.Hour)
		requireKind(t, store.Conflict, err)
		require.NoError(t, m.ReleaseLease(t.Context(), other))
		_, err = m.RenewLease(t.Context(), store.Lease{Name: "unknown", Owner: "x", Term: 1}, time.Hour)
		requireKind(t, store.Conflict, err)
		require.NoError(t, m.ReleaseLease(t.Context(), store.Lease{Name: "unknown", Owner: "x", Term: 1}))
		_, err = m.RenewLease(t.Context(), l, time.Hour)
		require.NoError(t, err)
	}},
	{"a lease for no time is Invalid", func(t *testing.T, m store.Metadata) {
		_, err := m.AcquireLease(t.Context(), "upkeep", "gateway-1", 0)
		requireKind(t, store.Invalid, err)
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		_, err = m.RenewLease(t.Context(), l, -time.Second)
		requireKind(t, store.Invalid, err)
	}},
	{"of concurrent callers one gets it", func(t *testing.T, m store.Metadata) {
		acquireAtOnce(t, m)
	}},
}

// awaitLease asks until the lease is free.
func awaitLease(t *testing.T, m store.Metadata, name, owner string) (l store.Lease) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		l, err = m.AcquireLease(t.Context(), name, owner, time.Hour)
		return err == nil
	}, patience, time.Millisecond)
	return l
}

func acquireAtOnce(t *testing.T, stores ...store.Metadata) {
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = stores[i%len(stores)].AcquireLease(t.Context(), "contended", string(rune('a'+i)), time.Hour)
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		requireKind(t, store.Conflict, err)
	}
	require.Equal(t, 1, won)
}
