package access_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// bench is an Authenticator on an in-memory store, with a clock and a database that the test controls.
type bench struct {
	*access.Authenticator
	meta  *watched
	key   *access.MasterKey
	clock atomic.Int64
	pair  access.KeyPair
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{meta: &watched{Credentials: mem.NewMetadata()}, key: master(t)}
	b.clock.Store(time.Now().UnixNano())
	var made bool
	var err error
	b.pair, made, err = access.EnsureRoot(t.Context(), b.meta, b.key, access.KeyPair{})
	require.NoError(t, err)
	require.True(t, made)
	b.Authenticator = access.NewAuthenticator(access.Config{Credentials: b.meta, Master: b.key, Now: func() time.Time { return time.Unix(0, b.clock.Load()) }})
	return b
}

func (b *bench) pass(d time.Duration) { b.clock.Add(int64(d)) }

// watched counts look-ups, and can be unavailable or slow.
type watched struct {
	store.Credentials
	lookups atomic.Int64
	away    atomic.Bool
	gate    atomic.Pointer[chan struct{}]
}

func (w *watched) Credential(ctx context.Context, key string) (store.Credential, error) {
	w.lookups.Add(1)
	if gate := w.gate.Load(); gate != nil {
		select {
		case <-*gate:
		case <-ctx.Done():
			return store.Credential{}, ctx.Err()
		}
	}
	if w.away.Load() {
		return store.Credential{}, store.Errorf(store.Unavailable, "away")
	}
	return w.Credentials.Credential(ctx, key)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	who, err := b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err)
	require.Equal(t, b.pair.AccessKey, who.AccessKey)

	_, wrong := b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret+"x")
	require.ErrorIs(t, wrong, store.Denied)
	_, unknown := b.Check(t.Context(), access.NewKeyPair().AccessKey, b.pair.Secret)
	require.ErrorIs(t, unknown, store.Denied)
	require.Equal(t, wrong.Error(), unknown.Error())
	require.NotContains(t, wrong.Error(), b.pair.Secret)
	for _, key := range []string{"", "a:b", "\x00", "no such key"} {
		_, err := b.Check(t.Context(), key, "")
		require.ErrorIs(t, err, store.Denied)
	}
}

func TestCheckRemembers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	check := func(want bool) {
		t.Helper()
		_, err := b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
		require.Equal(t, want, err == nil, "%v", err)
	}
	for range 10 {
		check(true)
	}
	require.EqualValues(t, 1, b.meta.lookups.Load())

	require.NoError(t, b.meta.DeleteCredential(t.Context(), b.pair.AccessKey, ""))
	b.pass(14 * time.Second)
	check(true)
	b.pass(2 * time.Second)
	check(false)
	check(false)
	require.EqualValues(t, 2, b.meta.lookups.Load(), "an absent key is remembered too")

	_, _, err := access.EnsureRoot(t.Context(), b.meta, b.key, b.pair)
	require.NoError(t, err)
	check(false)
	b.pass(2 * time.Second)
	check(true)

	require.NoError(t, b.meta.DeleteCredential(t.Context(), b.pair.AccessKey, ""))
	b.Forget(b.pair.AccessKey)
	check(false)
}

func TestCheckWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err)
	b.meta.away.Store(true)

	b.pass(time.Minute)
	before := b.meta.lookups.Load()
	for range 10 {
		_, err = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
		require.NoError(t, err, "what was read lately stays good")
	}
	require.EqualValues(t, 1, b.meta.lookups.Load()-before, "the database is not asked at every request")
	_, err = b.Check(t.Context(), b.pair.AccessKey, "wrong")
	require.ErrorIs(t, err, store.Denied)
	_, err = b.Check(t.Context(), access.NewKeyPair().AccessKey, "wrong")
	require.ErrorIs(t, err, store.Unavailable)
	require.NotEmpty(t, store.HintOf(err))

	b.pass(10 * time.Minute)
	_, err = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.ErrorIs(t, err, store.Unavailable, "not for ever")
	b.meta.away.Store(false)
	_, err = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err, "it recovers by itself")
}

// Concurrent callers share one look-up, and a canceled one does not fail the others.
func TestCheckAsksOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	gate := make(chan struct{})
	b.meta.gate.Store(&gate)
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := b.Check(gone, b.pair.AccessKey, b.pair.Secret)
		left <- err
	}()
	require.Eventually(t, func() bool { return b.meta.lookups.Load() == 1 }, 10*time.Second, time.Millisecond)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret) })
	}
	leave()
	require.ErrorIs(t, <-left, store.Canceled)
	close(gate)
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, b.meta.lookups.Load())
}

// Requests with invented access keys evict no real key and use bounded memory.
func TestCheckUnderAFlood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err)
	for i := range 10_000 {
		_, err := b.Check(t.Context(), fmt.Sprintf("stranger%d", i), "guess")
		require.ErrorIs(t, err, store.Denied)
	}
	require.Less(t, b.Remembered(), 5000)
	before := b.meta.lookups.Load()
	_, err = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err)
	require.Equal(t, before, b.meta.lookups.Load())
}

// Many real keys use bounded memory, too.
func TestCheckManyKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 5000 {
		pair := access.KeyPair{AccessKey: fmt.Sprintf("user%d", i), Secret: "12345678"}
		require.NoError(t, b.meta.SaveCredential(t.Context(), store.Credential{AccessKey: pair.AccessKey, Sealed: b.key.Seal(pair.AccessKey, pair.Secret)}, ""))
		_, err := b.Check(t.Context(), pair.AccessKey, pair.Secret)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, b.Remembered(), 4096)
}

func TestCheckDamagedKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.NoError(t, b.meta.SaveCredential(t.Context(), store.Credential{AccessKey: "damaged", Sealed: []byte("?")}, ""))
	_, err := b.Check(t.Context(), "damaged", "secret")
	require.ErrorIs(t, err, store.Corrupt)
	require.NotEmpty(t, store.HintOf(err))
}

func TestEnsureRoot(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	again, made, err := access.EnsureRoot(t.Context(), b.meta, b.key, access.KeyPair{})
	require.NoError(t, err)
	require.False(t, made)
	require.Zero(t, again)

	require.NoError(t, b.meta.SaveCredential(t.Context(), store.Credential{AccessKey: "ann", Sealed: b.key.Seal("ann", "secret of Ann")}, ""))
	chosen := access.KeyPair{AccessKey: "operator"}
	for _, secret := range []string{"the first secret", "the first secret", "the second secret"} {
		chosen.Secret = secret
		got, made, err := access.EnsureRoot(t.Context(), b.meta, b.key, chosen)
		require.NoError(t, err)
		require.False(t, made)
		require.Equal(t, chosen, got)
		b.Forget(chosen.AccessKey)
		_, err = b.Check(t.Context(), chosen.AccessKey, secret)
		require.NoError(t, err)
	}
	b.Forget(b.pair.AccessKey)
	_, err = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.ErrorIs(t, err, store.Denied, "the root key made before has ended")
	_, err = b.Check(t.Context(), "ann", "secret of Ann")
	require.NoError(t, err, "other keys stay")
	for _, bad := range []access.KeyPair{{AccessKey: "operator"}, {AccessKey: "operator", Secret: "fifteen letters"}} {
		_, _, err = access.EnsureRoot(t.Context(), b.meta, b.key, bad)
		require.ErrorIs(t, err, store.Invalid)
	}
	_, err = b.Check(t.Context(), chosen.AccessKey, chosen.Secret)
	require.NoError(t, err, "and bad ones change nothing")
}

// A gateway with another master key fails at its start, and changes nothing.
func TestEnsureRootWithAnotherMasterKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other, err := access.NewMasterKey(make([]byte, 32))
	require.NoError(t, err)
	for _, given := range []access.KeyPair{{}, {AccessKey: b.pair.AccessKey, Secret: "quite another secret"}} {
		_, _, err = access.EnsureRoot(t.Context(), b.meta, other, given)
		require.ErrorIs(t, err, store.Conflict)
		require.NotEmpty(t, store.HintOf(err))
	}
	_, err = b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err)
}

func TestEnsureRootWithoutADatabase(t *testing.T) {
	t.Parallel()
	meta := mem.NewMetadata()
	require.NoError(t, meta.Close())
	_, _, err := access.EnsureRoot(t.Context(), meta, master(t), access.KeyPair{})
	require.ErrorIs(t, err, store.Unavailable)
}

func BenchmarkCheck(b *testing.B) {
	bench := newBench(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.Check(b.Context(), bench.pair.AccessKey, bench.pair.Secret); err != nil {
			b.Fatal(err)
		}
	}
}

// Cached is never more permissive than Check, and asks the store for nothing.
func TestCachedOnlyWhatWasReadLately(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cached := func(accessKey, secret string) bool {
		caller, ok := b.Cached(accessKey, secret)
		require.Equal(t, ok, caller.AccessKey == accessKey)
		return ok
	}
	require.False(t, cached(b.pair.AccessKey, b.pair.Secret), "nothing was looked up yet")
	_, err := b.Check(t.Context(), b.pair.AccessKey, b.pair.Secret)
	require.NoError(t, err)
	require.True(t, cached(b.pair.AccessKey, b.pair.Secret))
	require.False(t, cached(b.pair.AccessKey, "wrong"))
	unknown := access.NewKeyPair()
	_, err = b.Check(t.Context(), unknown.AccessKey, unknown.Secret)
	require.ErrorIs(t, err, store.Denied)
	require.False(t, cached(unknown.AccessKey, unknown.Secret))
	b.pass(16 * time.Second)
	require.False(t, cached(b.pair.AccessKey, b.pair.Secret), "it must be read again")
}

func TestRemembersOnlyWhatIsProven(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.False(t, b.Remembers(b.pair.AccessKey, b.pair.Secret), "nothing was looked up yet")
	_, err := b.Check(t.Context(), b.pair.AccessKey, "wrong")
	require.ErrorIs(t, err, store.Denied)
	require.False(t, b.Remembers(b.pair.AccessKey, "wrong"))
	require.True(t, b.Remembers(b.pair.AccessKey, b.pair.Secret))
	unknown := access.NewKeyPair()
	_, err = b.Check(t.Context(), unknown.AccessKey, unknown.Secret)
	require.ErrorIs(t, err, store.Denied)
	require.False(t, b.Remembers(unknown.AccessKey, unknown.Secret))
	b.pass(9 * time.Minute)
	require.True(t, b.Remembers(b.pair.AccessKey, b.pair.Secret), "a key that rested is still known")
	b.pass(2 * time.Minute)
	require.False(t, b.Remembers(b.pair.AccessKey, b.pair.Secret))
}
