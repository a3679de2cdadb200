package restapi

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const headerRequestID = "X-Request-Id"

// errBroken marks a response that was begun and cannot be finished: the connection must be
// closed, so that the client detects that the body is incomplete.
var errBroken = errors.New("the response ended early")

// observe assigns the request id, turns errors and panics into responses, and logs.
func (a *api) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		c.Response().Header().Set(headerRequestID, a.ids.of(c.Request()))
		err := a.recovered(next, c)
		if err != nil {
			a.fail(c, err)
		}
		a.log(c, began, err)
		if errors.Is(err, errBroken) {
			panic(http.ErrAbortHandler) // the server closes the connection without ending the body
		}
		return nil
	}
}

// recovered runs the handler; a panic in it becomes an error.
func (a *api) recovered(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.cfg.Log.Error("request panicked", "request", requestID(c), "panic", visible(fmt.Sprint(p)), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
			if c.Response().Committed {
				err = fmt.Errorf("%w: %w", errBroken, err)
			}
		}
	}()
	return next(c)
}

// log writes one line per request: errors that an operator must act on at warn or error
// level, others at debug level. Text from clients and nodes is escaped.
func (a *api) log(c echo.Context, began time.Time, err error) {
	level := slog.LevelDebug
	if status := c.Response().Status; err != nil && status >= 500 {
		level = slog.LevelWarn
		if status == http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	ctx := c.Request().Context()
	if !a.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", requestID(c)), slog.String("method", c.Request().Method), slog.String("path", visible(c.Request().URL.EscapedPath())),
		slog.Int("status", c.Response().Status), slog.Int64("bytes", c.Response().Size),
		slog.Duration("took", time.Since(began)), slog.String("client", a.cfg.TrustedProxies.clientAddress(c.Request()).String()),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", visibleError{err}))
	}
	a.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// public are the routes that require no key.
var public = map[string]bool{"/health": true, "/health/live": true, "/health/ready": true, "/openapi.json": true}

// authenticate refuses requests without a valid key, on every route that is not public.
func (a *api) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// A browser's preflight OPTIONS carries no key.
		if public[c.Path()] || c.Request().Method == http.MethodOptions {
			return next(c)
		}
		accessKey, secret, ok := c.Request().BasicAuth()
		if !ok {
			err := store.Errorf(store.Denied, "the request carries no access key").
				WithHint("Send the access key and secret by HTTP Basic.")
			return withStatus(http.StatusUnauthorized, err)
		}
		if err := a.check(c.Request(), accessKey, secret); err != nil {
			return err
		}
		return next(c)
	}
}

// check compares a key. A key in use costs no look-up and is accepted however many
// authentications failed at the same address, so that clients behind a shared proxy cannot
// lock each other out. 401 for a wrong key, 429 after too many, and the errors of Check.
func (a *api) check(r *http.Request, accessKey, secret string) error {
	guard, addr := a.cfg.Guard, a.cfg.TrustedProxies.clientAddress(r)
	guarded := guard != nil && !a.cfg.Auth.Remembers(accessKey, secret)
	if guarded {
		if wait, ok := guard.Allow(addr); !ok {
			return withStatus(http.StatusTooManyRequests, store.Errorf(store.Unavailable, "too many authentications failed at this address").
				WithLimit("failed_authentications", wait).WithHint("Wait, then check the access key and secret."))
		}
	}
	_, err := a.cfg.Auth.Check(r.Context(), accessKey, secret)
	switch {
	case err == nil && guarded:
		guard.Succeeded(addr)
	case err != nil && store.KindOf(err) == store.Denied:
		if guard != nil {
			guard.Failed(addr, visible(accessKey[:min(len(accessKey), maxClaimed)]))
		}
		return withStatus(http.StatusUnauthorized, err)
	}
	return err
}

// maxClaimed bounds how much of an unknown access key is logged, in bytes.
const maxClaimed = 64

// wellFormed refuses queries of which Go would silently drop a part, and conditions that
// would not be evaluated: a conditional request must not change anything unconditionally.
func wellFormed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := unconditional(c.Request()); err != nil {
			return err
		}
		query := c.Request().URL.RawQuery
		if strings.ContainsAny(query, "%;") {
			if _, err := url.ParseQuery(query); err != nil {
				return store.Errorf(store.Invalid, "the query cannot be read: %w", err).
					WithHint("Write the characters %% ; & + # in values as %%25 %%3B %%26 %%2B %%23.")
			}
		}
		return next(c)
	}
}

func unconditional(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return nil
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if r.Header.Get(name) != "" {
			return store.Errorf(store.Invalid, "%s is not evaluated for %s", name, r.Method).
				WithHint("Nothing was changed. Leave the header out, or look at the present state first.")
		}
	}
	return nil
}

func requestID(c echo.Context) string { return c.Response().Header().Get(headerRequestID) }

// requestIDs generates ids that are unique among processes and requests, without
// a system call for randomness each time.
type requestIDs struct {
	process string
	count   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var b [5]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return requestIDs{process: hex.EncodeToString(b[:]) + "-", count: &atomic.Uint64{}}
}

// of returns the id that a proxy or client sent, if it is valid, or a new one.
func (r requestIDs) of(req *http.Request) string {
	if given := req.Header.Get(headerRequestID); validRequestID(given) {
		return given
	}
	return r.process + strconv.FormatUint(r.count.Add(1), 10)
}

// validRequestID refuses ids that could forge a log line or are too long for one.
func validRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
