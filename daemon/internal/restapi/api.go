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

// Config is what the API is made of. Zero values take the defaults named here.
type Config struct {
	Engine *engine.Engine
	Auth   *access.Authenticator
	Nodes  Nodes        // *cluster.Fleet is one
	Log    *slog.Logger // default: slog.Default(); one line a request at debug level

	Guard          AuthGuard // slows who tries keys; *access.Throttle is one; nil: nothing is slowed
	AllowedOrigins Origins   // whose pages may change things, besides the gateway's own
	TrustedProxies Proxies   // who may say where a request comes from

	MaxFileSize int64         // bytes; the engine's own limit, to refuse by Content-Length alone; default 10 GiB
	Idle        time.Duration // a client that neither sends nor takes anything for so long is given up; default 60 s
}

// Nodes gives the present picture of the storage nodes.
type Nodes interface {
	View() *cluster.View
}

// AuthGuard counts failed authentications by client address, and says when an
// address must wait. It is safe for concurrent use.
type AuthGuard interface {
	// Allow reports whether credentials from this address may be looked up now, and if not, when to come back.
	Allow(addr netip.Addr) (retryAfter time.Duration, ok bool)
	// Failed counts a failure. key is the access key that was claimed, fit for a log.
	Failed(addr netip.Addr, key string)
	// Succeeded notes that a caller proved itself by a look-up.
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

// New makes the handler of the whole API. It holds nothing that must be closed.
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
		Engine: c.Engine, Body: bodyOf, BreakOff: breakOff, Caller: callerOf, SetLocation: setLocation, WithStatus: withStatus, ValidType: validContentType,
	})
	return e
}

// alsoHead answers HEAD wherever a GET is registered: net/http leaves the body away.
type alsoHead struct{ *echo.Echo }

// GET registers a handler for GET and HEAD.
func (e alsoHead) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	e.HEAD(path, h, m...)
	return e.Echo.GET(path, h, m...)
}
