package httpedge

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// FailureLimit counts failed authentications by client address and reports when an
// address must wait. It is safe for concurrent use.
type FailureLimit interface {
	// Allow reports whether credentials from this address may be looked up now, and otherwise how long to wait.
	Allow(addr netip.Addr) (retryAfter time.Duration, ok bool)
	// Failed counts a failure. key is the access key of the request, escaped for the log.
	Failed(addr netip.Addr, key string)
	// Succeeded records that a look-up authenticated a caller.
	Succeeded(addr netip.Addr)
}

// Caller returns the caller that authenticate accepted; the zero Principal on public routes.
func Caller(c echo.Context) access.Principal {
	if g, ok := c.Response().Writer.(*guarded); ok {
		return g.caller
	}
	return access.Principal{}
}

// authenticate refuses requests without a valid key, on every route that is not public,
// and keeps the caller for the handler.
func (e *edge) authenticate(c echo.Context) (err error) {
	// A browser's preflight OPTIONS carries no key.
	if e.public[c.Path()] || c.Request().Method == http.MethodOptions {
		return nil
	}
	accessKey, secret, ok := c.Request().BasicAuth()
	if !ok {
		err := store.Errorf(store.Denied, "the request carries no access key").
			WithHint("Send the access key and secret by HTTP Basic.")
		return WithStatus(http.StatusUnauthorized, err)
	}
	guardedOf(c).caller, err = e.check(c.Request(), accessKey, secret)
	return err
}

// check compares a key. A key in use costs no look-up and is accepted however many
// authentications failed at the same address, so that clients behind a shared proxy cannot
// lock each other out. 401 for a wrong key, 429 after too many, and the errors of Check.
func (e *edge) check(r *http.Request, accessKey, secret string) (access.Principal, error) {
	if caller, ok := e.cfg.Auth.Cached(accessKey, secret); ok {
		return caller, nil
	}
	limit, addr := e.cfg.Failures, e.cfg.TrustedProxies.clientAddress(r)
	limited := limit != nil && !e.cfg.Auth.Remembers(accessKey, secret)
	if limited {
		if wait, ok := limit.Allow(addr); !ok {
			return access.Principal{}, WithStatus(http.StatusTooManyRequests, store.Errorf(store.Unavailable, "too many authentications failed at this address").
				WithLimit("failed_authentications", wait).WithHint("Wait, then check the access key and secret."))
		}
	}
	caller, err := e.cfg.Auth.Check(r.Context(), accessKey, secret)
	switch {
	case err == nil && limited:
		limit.Succeeded(addr)
	case err != nil && store.KindOf(err) == store.Denied:
		if limit != nil {
			limit.Failed(addr, visible(accessKey[:min(len(accessKey), maxClaimed)]))
		}
		return access.Principal{}, WithStatus(http.StatusUnauthorized, err)
	}
	return caller, err
}

// maxClaimed bounds how much of an unknown access key is logged, in bytes.
const maxClaimed = 64

// wellFormed refuses queries of which Go would silently drop a part.
func wellFormed(r *http.Request) error {
	if strings.ContainsAny(r.URL.RawQuery, "%;") {
		if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
			return store.Errorf(store.Invalid, "the query cannot be read: %w", err).
				WithHint("Write the characters %% ; & + # in values as %%25 %%3B %%26 %%2B %%23.")
		}
	}
	return nil
}
