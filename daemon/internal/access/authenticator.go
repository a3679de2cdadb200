package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Principal is an authenticated caller.
type Principal struct {
	AccessKey string
}

// Config holds the dependencies and settings of an Authenticator. Zero durations take the defaults named here.
type Config struct {
	Credentials store.Credentials
	Master      *MasterKey

	Trust  time.Duration    // how long a key that was read is used without reading it again; default 15 s
	Absent time.Duration    // the same for an unknown key, and for a store that did not answer; default 1 s
	Outage time.Duration    // how long a key that was read stays valid while the store does not answer; default 10 min
	Lookup time.Duration    // time limit of one read of the store; default 5 s
	Now    func() time.Time // default time.Now
}

func (c Config) withDefaults() Config {
	def := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	def(&c.Trust, 15*time.Second)
	def(&c.Absent, time.Second)
	def(&c.Outage, 10*time.Minute)
	def(&c.Lookup, 5*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// maxCached bounds the memory that requests with invented access keys can fill.
const maxCached = 4096

// Authenticator checks access keys and secrets. It caches what it read for Config.Trust,
// so a key that was deleted or changed may stay valid on other gateways for that long.
// Safe for concurrent use.
type Authenticator struct {
	cfg    Config
	decoy  store.Credential // opened in place of an unknown key
	flight singleflight.Group

	mu    sync.RWMutex // guards what follows
	known map[string]entry
}

// entry is the cached state of one access key.
type entry struct {
	digest [sha256.Size]byte // of the secret; random for an unknown key
	exists bool
	err    error     // the key exists, but its secret cannot be opened
	read   time.Time // when the store last answered
	until  time.Time // valid without asking the store again
}

// NewAuthenticator returns an Authenticator.
func NewAuthenticator(c Config) *Authenticator {
	decoy := NewKeyPair()
	return &Authenticator{
		cfg:   c.withDefaults(),
		decoy: store.Credential{AccessKey: decoy.AccessKey, Sealed: c.Master.Seal(decoy.AccessKey, decoy.Secret)},
		known: map[string]entry{},
	}
}

// Cached authenticates the caller from the cache, without a look-up. It is false for a pair
// that is wrong, unknown, or not read within Config.Trust; then Check decides.
func (a *Authenticator) Cached(accessKey, secret string) (Principal, bool) {
	a.mu.RLock()
	e, ok := a.known[accessKey]
	a.mu.RUnlock()
	if !ok || !a.cfg.Now().Before(e.until) {
		return Principal{}, false
	}
	digest := sha256.Sum256([]byte(secret))
	same := subtle.ConstantTimeCompare(digest[:], e.digest[:]) == 1
	if !same || !e.exists || e.err != nil {
		return Principal{}, false
	}
	return Principal{AccessKey: accessKey}, true
}

// Remembers reports whether the cache proves this pair right, without a look-up: true for
// keys in use, which [Throttle] must not slow. Check must still be called.
func (a *Authenticator) Remembers(accessKey, secret string) bool {
	digest := sha256.Sum256([]byte(secret))
	a.mu.RLock()
	e, ok := a.known[accessKey]
	a.mu.RUnlock()
	same := subtle.ConstantTimeCompare(digest[:], e.digest[:]) == 1
	return ok && same && e.exists && e.err == nil && a.cfg.Now().Sub(e.read) <= a.cfg.Outage
}

// Check authenticates the caller. A wrong secret and an unknown access key are
// the same error.
//
// Its duration does not depend on the secret. It does distinguish a key that is in use on
// this gateway, which is cached, from one that must be looked up. That discloses the
// existence of a name to a caller who guessed its 90 random bits, and nothing more.
//
// Errors: Denied; Unavailable (the store does not answer, and the key was not
// read within Config.Outage); Canceled; Conflict and Corrupt (the secret cannot be opened, see MasterKey.Open).
func (a *Authenticator) Check(ctx context.Context, accessKey, secret string) (Principal, error) {
	digest := sha256.Sum256([]byte(secret))
	e, err := a.entry(ctx, accessKey)
	if err != nil {
		return Principal{}, err
	}
	same := subtle.ConstantTimeCompare(digest[:], e.digest[:]) == 1
	switch {
	case e.err != nil:
		return Principal{}, e.err
	case !same || !e.exists:
		return Principal{}, store.Errorf(store.Denied, "the access key is unknown or the secret is wrong").
			WithHint("Check the access key and secret; a new key is known everywhere within two seconds.")
	}
	return Principal{AccessKey: accessKey}, nil
}

// Forget drops an access key from the cache, after it was created, changed or deleted
// through this gateway.
func (a *Authenticator) Forget(accessKey string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, accessKey)
}

func (a *Authenticator) entry(ctx context.Context, accessKey string) (entry, error) {
	a.mu.RLock()
	e, ok := a.known[accessKey]
	a.mu.RUnlock()
	if ok && a.cfg.Now().Before(e.until) {
		return e, nil
	}
	if validAccessKey(accessKey) != nil {
		return entry{}, nil // cannot exist: no look-up needed
	}
	// One look-up for all callers that wait, with its own time limit: a caller that is
	// canceled must not fail the others.
	answer := a.flight.DoChan(accessKey, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Lookup)
		defer cancel()
		return a.lookup(ctx, accessKey)
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return entry{}, r.Err
		}
		return r.Val.(entry), nil
	case <-ctx.Done():
		return entry{}, &store.Error{Op: "access.Check", Kind: store.Canceled, Err: ctx.Err()}
	}
}

// lookup reads the store and caches the result.
func (a *Authenticator) lookup(ctx context.Context, accessKey string) (entry, error) {
	c, err := a.cfg.Credentials.Credential(ctx, accessKey)
	now := a.cfg.Now()
	e := entry{read: now, until: now.Add(a.cfg.Trust)}
	switch {
	case err == nil:
		e.exists = true
		var secret string
		if secret, e.err = a.cfg.Master.Open(accessKey, c.Sealed); e.err == nil {
			e.digest = sha256.Sum256([]byte(secret))
		}
	case store.KindOf(err) == store.NotFound:
		if _, err := a.cfg.Master.Open(a.decoy.AccessKey, a.decoy.Sealed); err != nil {
			return entry{}, err
		}
		rand.Read(e.digest[:]) // never fails: crypto/rand ends the program instead
		e.until = now.Add(a.cfg.Absent)
	default:
		return a.outage(accessKey, now, err)
	}
	a.remember(accessKey, e)
	return e, nil
}

// outage uses the cached entry, so that clients are not refused while the database does
// not answer.
func (a *Authenticator) outage(accessKey string, now time.Time, cause error) (entry, error) {
	a.mu.RLock()
	e, ok := a.known[accessKey]
	a.mu.RUnlock()
	if !ok || !e.exists || now.Sub(e.read) > a.cfg.Outage {
		return entry{}, &store.Error{
			Op: "access.Check", Kind: store.Unavailable, Msg: "the access key cannot be looked up now", Err: cause,
			Hint: "Try again once the metadata store answers.",
		}
	}
	e.until = now.Add(a.cfg.Absent)
	a.remember(accessKey, e)
	return e, nil
}

func (a *Authenticator) remember(accessKey string, e entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxCached {
		a.evict(e.read)
	}
	a.known[accessKey] = e
}

// evict makes room: unknown keys and expired entries first, then any. The caller holds mu.
func (a *Authenticator) evict(now time.Time) {
	for key, e := range a.known {
		if !e.exists || now.After(e.read.Add(a.cfg.Outage)) {
			delete(a.known, key)
		}
	}
	for key := range a.known {
		if len(a.known) < maxCached {
			return
		}
		delete(a.known, key)
	}
}
