package access_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/access"
)

// steps is a clock that the test advances.
type steps struct {
	mu  sync.Mutex
	now time.Time
}

func (s *steps) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *steps) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func newThrottle(log *bytes.Buffer) (*access.Throttle, *steps) {
	clock := &steps{now: time.Unix(1_000_000, 0)}
	return access.NewThrottle(access.ThrottleConfig{Log: slog.New(slog.NewTextHandler(log, nil)), Now: clock.Now}), clock
}

// guess fails as often as the throttle allows within d, trying every 10 ms, and counts.
func guess(th *access.Throttle, clock *steps, a netip.Addr, d time.Duration) (failed int) {
	for end := clock.Now().Add(d); clock.Now().Before(end); clock.pass(10 * time.Millisecond) {
		if _, ok := th.Allow(a); ok {
			th.Failed(a, "guess")
			failed++
		}
	}
	return failed
}

// exhaust fails until the throttle does not allow more.
func exhaust(th *access.Throttle, a netip.Addr) {
	for _, ok := th.Allow(a); ok; _, ok = th.Allow(a) {
		th.Failed(a, "guess")
	}
}

func TestThrottle_SlowsAnAddressThatFails(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	th, clock := newThrottle(&log)
	bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	require.InDelta(t, 20+60, guess(th, clock, bad, time.Minute), 2, "a burst, then one a second")
	exhaust(th, bad)
	retry, ok := th.Allow(bad)
	require.False(t, ok)
	require.Positive(t, retry)
	_, ok = th.Allow(good)
	require.True(t, ok, "others are not slowed")
	clock.pass(retry)
	_, ok = th.Allow(bad)
	require.True(t, ok, "after the time that was named")
	clock.pass(time.Hour)
	require.InDelta(t, 20, guess(th, clock, bad, time.Second), 2, "and nothing is held against it for ever")
	require.EqualValues(t, strings.Count(log.String(), "\n"), 3, "one line a minute")
	require.Contains(t, log.String(), "client=192.0.2.1 key=guess failures=1 ")
}

func TestThrottle_AnAddressWithHonestClientsGetsMore(t *testing.T) {
	t.Parallel()
	th, clock := newThrottle(&bytes.Buffer{})
	proxy := netip.MustParseAddr("192.0.2.1")
	th.Succeeded(proxy)
	exhaust(th, proxy)
	_, ok := th.Allow(proxy)
	require.False(t, ok)
	th.Succeeded(proxy)
	_, ok = th.Allow(proxy)
	require.False(t, ok, "a success forgives nothing")
	require.InDelta(t, 50*60, guess(th, clock, proxy, time.Minute), 60)
	clock.pass(10 * time.Minute)
	guess(th, clock, proxy, time.Minute)
	require.InDelta(t, 60, guess(th, clock, proxy, time.Minute), 2, "until none has proven itself for a while")
}

func TestThrottle_ClientsOfIPv6AreNetworks(t *testing.T) {
	t.Parallel()
	th, _ := newThrottle(&bytes.Buffer{})
	for i := range 40 {
		th.Failed(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i)), "k")
	}
	_, ok := th.Allow(netip.MustParseAddr("2001:db8::ffff"))
	require.False(t, ok)
	_, ok = th.Allow(netip.MustParseAddr("2001:db8:0:1::1"))
	require.True(t, ok)
	for range 40 {
		th.Failed(netip.MustParseAddr("::ffff:192.0.2.1"), "k")
	}
	_, ok = th.Allow(netip.MustParseAddr("192.0.2.1"))
	require.False(t, ok, "the same client, differently written")
	th.Failed(netip.Addr{}, "k")
	_, ok = th.Allow(netip.Addr{})
	require.True(t, ok)
}

func TestThrottle_MemoryAndLogAreBounded(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	th, clock := newThrottle(&log)
	const many = 20_000
	for i := range many {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		th.Failed(a, strings.Repeat("k", 10_000))
	}
	require.LessOrEqual(t, th.Remembered(), 4096)
	require.Equal(t, 20, strings.Count(log.String(), "\n"))
	require.Less(t, log.Len(), 10_000)
	require.EqualValues(t, many, th.Failures())
	clock.pass(2 * time.Minute)
	th.Failed(netip.MustParseAddr("192.0.2.1"), "k")
	require.Contains(t, log.String(), fmt.Sprintf("unlogged_elsewhere=%d", many-20))
}
