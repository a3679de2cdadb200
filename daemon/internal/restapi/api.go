package restapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/restapi/tus"
	"github.com/ringstore/ringstore/proto/rest/server"
)

// Config holds the dependencies and settings of the API. Zero values take the defaults named here.
type Config struct {
	Engine *engine.Engine
	Auth   *access.Authenticator
	Nodes  Nodes        // *cluster.Fleet implements it
	Log    *slog.Logger // default: slog.Default(); one line per request at debug level

	Guard          AuthGuard // limits failed authentications; *access.Throttle implements it; nil: no limit
	AllowedOrigins Origins   // origins of web pages that may change data, besides the gateway's own
	TrustedProxies Proxies   // whose forwarding headers are believed

	MaxFileSize int64         // bytes; the engine's own limit, checked here against Content-Length before the body is read; default 10 GiB
	Idle        time.Duration // a request is aborted when its client neither sends nor receives for this long; default 60 s
}

// Nodes returns the current view of the storage nodes.
type Nodes interface {
	View() *cluster.View
}

// AuthGuard counts failed authentications by client address and reports when an
// address must wait. It is safe for concurrent use.
type AuthGuard interface {
	// Allow reports whether credentials from this address may be looked up now, and otherwise how long to wait.
	Allow(addr netip.Addr) (retryAfter time.Duration, ok bool)
	// Failed counts a failure. key is the access key of the request, escaped for the log.
	Failed(addr netip.Addr, key string)
	// Succeeded records that a look-up authenticated a caller.
	Succeeded(addr netip.Addr)
}

const (
	defaultMaxFileSize = 10 << 30
	defaultIdle        = time.Minute
)

// api implements the generated server interface.
type api struct {
	cfg     Config
	ids     requestIDs
	health  healthCache
	buffers sync.Pool // *bufio.Reader for forms
}

var _ server.ServerInterface = (*api)(nil)

// New returns the handler of the whole API. It holds nothing that must be closed.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.MaxFileSize == 0 {
		c.MaxFileSize = defaultMaxFileSize
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	a := &api{cfg: c, ids: newRequestIDs()}
	e := echo.New()
	e.HTTPErrorHandler = func(err error, ec echo.Context) { a.fail(ec, err) }
	e.Use(a.observe, a.guard, a.crossOrigin, a.authenticate, wellFormed)
	server.RegisterHandlers(alsoHead{e}, a)
	tus.Mount(e, tus.Config{
		Engine: c.Engine, Body: bodyOf, Interrupt: interrupt, Caller: callerOf, SetLocation: setLocation, WithStatus: withStatus, ValidType: validContentType,
	})
	return e
}

// alsoHead registers HEAD with every GET; net/http discards the body.
type alsoHead struct{ *echo.Echo }

// GET registers a handler for GET and HEAD.
func (e alsoHead) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	e.HEAD(path, h, m...)
	return e.Echo.GET(path, h, m...)
}
