package access

import (
	"container/list"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/connlimit"
)

// Limits of failed authentications by client address.
const (
	maxThrottled = 4096 // addresses; the one that failed longest ago is evicted for a new one

	strangerBurst = 20 // failures at once
	strangerRate  = 1  // failures a second after that

	// An address from which a caller authenticated recently may be a proxy or a
	// whole office: it has higher limits, so that one bad client there does not block the others.
	sharedBurst = 200
	sharedRate  = 50
	sharedFor   = 10 * time.Minute

	warnEach = time.Minute // between two log lines of one address
	warnAll  = 20          // log lines a minute of all addresses
	maxName  = 64          // bytes of a claimed access key in the log
)

// ThrottleConfig holds the dependencies of a Throttle.
type ThrottleConfig struct {
	Log *slog.Logger     // default: slog.Default()
	Now func() time.Time // default: time.Now
}

// Throttle counts failed authentications by client address (an IPv6 /64 is one
// client), logs them at a limited rate, and reports when an address has failed too often.
//
// It must not be consulted for credentials that are proven: a caller first compares them
// with its cache ([Authenticator.Remembers]; the token of a cluster) and calls Allow only
// before a look-up. So an attacker behind a proxy cannot lock out the proxy's clients whose
// keys are in use. A key that this gateway has not seen in the last minutes competes with
// the attacker for 50 look-ups a second at an address that other callers have authenticated
// from, and for 1 a second elsewhere. The purpose is not to prevent guessing (a secret of 16
// random characters cannot be guessed at any rate) but to bound work and log lines.
//
// Memory is bounded. Safe for concurrent use.
type Throttle struct {
	cfg    ThrottleConfig
	failed atomic.Uint64

	mu       sync.Mutex // guards what follows
	clients  map[netip.Addr]*failures
	recent   list.List // of *failures, by last failure, oldest first
	lines    int       // logged in the minute that began at since
	since    time.Time
	unlogged int // failures of addresses that got no line, since the last line
}

// failures is the state of one address that failed.
type failures struct {
	client  netip.Addr
	place   *list.Element
	left    float64   // failures that are allowed now, as of at
	at      time.Time // when left was computed
	proven  time.Time // when a caller last authenticated from there; zero: never since the first failure
	count   int       // failures since the last log line
	warned  time.Time
	warning bool // a line was logged
}

// NewThrottle returns a Throttle without failures.
func NewThrottle(c ThrottleConfig) *Throttle {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Throttle{cfg: c, clients: map[netip.Addr]*failures{}}
}

// Failures is how many authentications have failed since the start.
func (t *Throttle) Failures() uint64 { return t.failed.Load() }

// Allow reports whether credentials from this address may be looked up now, and
// otherwise how long to wait. It changes nothing.
func (t *Throttle) Allow(addr netip.Addr) (retryAfter time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.clients[connlimit.Client(addr)]
	if f == nil {
		return 0, true
	}
	f.refill(t.cfg.Now())
	if f.left >= 1 {
		return 0, true
	}
	_, rate := f.limits(f.at)
	return max(time.Second, time.Duration((1-f.left)/rate*float64(time.Second))), false
}

// Failed counts a failed authentication. key is the access key of the request, never
// a secret; it is logged.
func (t *Throttle) Failed(addr netip.Addr, key string) {
	t.failed.Add(1)
	now, client := t.cfg.Now(), connlimit.Client(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.clients[client]
	if f == nil {
		f = t.add(client, now)
	}
	f.refill(now)
	f.left = max(0, f.left-1)
	f.count++
	t.recent.MoveToBack(f.place)
	t.warn(f, key, now)
}

// Succeeded records that a caller authenticated from this address. Earlier failures still count.
func (t *Throttle) Succeeded(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.clients[connlimit.Client(addr)]
	if f == nil {
		return // it has not failed recently
	}
	now := t.cfg.Now()
	f.refill(now)
	f.proven = now
}

// add creates the state of an address. The caller holds mu.
func (t *Throttle) add(client netip.Addr, now time.Time) *failures {
	if len(t.clients) >= maxThrottled {
		oldest := t.recent.Remove(t.recent.Front()).(*failures)
		delete(t.clients, oldest.client)
	}
	f := &failures{client: client, left: strangerBurst, at: now}
	f.place = t.recent.PushBack(f)
	t.clients[client] = f
	return f
}

// limits are the most failures at once and the failures a second that the address may have.
func (f *failures) limits(now time.Time) (burst, rate float64) {
	if !f.proven.IsZero() && now.Sub(f.proven) < sharedFor {
		return sharedBurst, sharedRate
	}
	return strangerBurst, strangerRate
}

// refill adds what the time since the last call allows.
func (f *failures) refill(now time.Time) {
	burst, rate := f.limits(now)
	if passed := now.Sub(f.at); passed > 0 {
		f.left += passed.Seconds() * rate
		f.at = now
	}
	f.left = min(f.left, burst)
}

// warn logs the failure, unless this address or all together reached their limit of lines. The caller holds mu.
func (t *Throttle) warn(f *failures, key string, now time.Time) {
	if now.Sub(t.since) >= time.Minute {
		t.since, t.lines = now, 0
	}
	if f.warning && now.Sub(f.warned) < warnEach || t.lines >= warnAll {
		t.unlogged++
		return
	}
	t.lines++
	t.cfg.Log.Warn("authentication failed", "client", f.client.String(), "key", key[:min(len(key), maxName)],
		"failures", f.count, "unlogged_elsewhere", max(0, t.unlogged-f.count+1), "since_start", t.failed.Load())
	f.warned, f.warning, f.count, t.unlogged = now, true, 0, 0
}
