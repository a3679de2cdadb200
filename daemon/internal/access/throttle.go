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

// What a client address may fail at, and what is remembered.
const (
	maxThrottled = 4096 // addresses; the one that failed longest ago is forgotten for a new one

	strangerBurst = 20 // failures at once
	strangerRate  = 1  // failures a second after that

	// An address from which a caller proved itself lately may be a proxy or a
	// whole office: it gets more, so that one bad client there does not block the others.
	sharedBurst = 200
	sharedRate  = 50
	sharedFor   = 10 * time.Minute

	warnEach = time.Minute // between two log lines about one address
	warnAll  = 20          // log lines a minute about all addresses
	maxName  = 64          // bytes of a claimed access key in the log
)

// ThrottleConfig is what a Throttle is made of.
type ThrottleConfig struct {
	Log *slog.Logger     // default: slog.Default()
	Now func() time.Time // default: time.Now
}

// Throttle counts failed authentications by client address (an IPv6 /64 is one
// client), logs them at a limited rate, and says when an address has failed too often.
//
// It slows failures and must not be asked about credentials that are proven: a
// caller first compares with what it has in memory ([Authenticator.Remembers]; the
// token of a cluster), lets that pass, and calls Allow only before it looks
// anything up. So an attacker behind a proxy locks out none of the proxy's clients whose
// keys are in use. A key that this gateway has not seen in the last minutes competes with the
// attacker for 50 lookups a second at an address that others have proven themselves from, and
// for 1 a second elsewhere. Guessing is not what this prevents (a secret of 16 random
// characters cannot be guessed at any rate); it bounds the work and the log that strangers cause.
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

// failures is what is known of one address that failed.
type failures struct {
	client  netip.Addr
	place   *list.Element
	left    float64   // failures that are allowed now, as of at
	at      time.Time // when left was computed
	proven  time.Time // when a caller last proved itself from there; zero: never since the first failure
	count   int       // failures since the last log line
	warned  time.Time
	warning bool // a line was logged
}

// NewThrottle makes a Throttle that knows no failures.
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
// if not, when to come back. It changes nothing.
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

// Failed counts a failed authentication. key is the name that was claimed, never
// a secret; it goes to the log.
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

// Succeeded notes that a caller proved itself from this address. It forgives no failures.
func (t *Throttle) Succeeded(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.clients[connlimit.Client(addr)]
	if f == nil {
		return // it has not failed lately
	}
	now := t.cfg.Now()
	f.refill(now)
	f.proven = now
}

// add begins to count an address. The caller holds mu.
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

// warn logs the failure, unless this address or all together had enough lines. The caller holds mu.
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
