package httpedge

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/access"
)

// Config holds the dependencies and settings of an edge. Zero values take the defaults named here.
type Config struct {
	Auth   *access.Authenticator
	Log    *slog.Logger // default: slog.Default(); one line per request at debug level
	Errors Errors       // default: Problems
	Public []string     // routes that require no key, as they are registered

	Failures       FailureLimit // limits failed authentications; *access.Throttle implements it; nil: no limit
	AllowedOrigins Origins      // origins of web pages that may change data, besides the gateway's own
	OpenSurface    OpenSurface  // the surface that pages of every origin may use; nil: none
	TrustedProxies Proxies      // whose forwarding headers are believed

	Idle time.Duration // a request is aborted when its client neither sends nor receives for this long; default 60 s
}

// Errors renders errors in the format of a surface. Implementations are safe for concurrent use.
type Errors interface {
	// WriteError writes the response for err. Nothing was written of the response before. An
	// error of its own means that the response did not reach the client.
	WriteError(c echo.Context, err error) error
	// Document returns the response for a request that never reached a handler.
	Document(err error) (status int, contentType string, body []byte)
}

const defaultIdle = time.Minute

// edge is the middleware of one router. It is one function with steps, because the router
// builds its chain of middleware again for each request.
type edge struct {
	cfg        Config
	ids        requestIDs
	protection *http.CrossOriginProtection
	public     map[string]bool
}

// New returns a router whose routes are served behind the edge.
func New(c Config) *echo.Echo {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Errors == nil {
		c.Errors = Problems{}
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	e := &edge{cfg: c, ids: newRequestIDs(), protection: c.AllowedOrigins.protection(), public: map[string]bool{}}
	for _, route := range c.Public {
		e.public[route] = true
	}
	router := echo.New()
	router.HTTPErrorHandler = func(err error, ec echo.Context) { e.fail(ec, err) }
	router.Use(e.observe)
	return router
}

// HeadWithGet registers HEAD with every GET; net/http discards the body.
type HeadWithGet struct{ *echo.Echo }

// GET registers a handler for GET and HEAD.
func (e HeadWithGet) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	e.HEAD(path, h, m...)
	return e.Echo.GET(path, h, m...)
}

// fail writes the response for err, unless the response was begun.
func (e *edge) fail(c echo.Context, err error) {
	if c.Response().Committed {
		return
	}
	if lost := e.cfg.Errors.WriteError(c, outOfTime(c, err)); lost != nil {
		e.cfg.Log.DebugContext(c.Request().Context(), "a response did not reach its client", "error", visibleError{lost})
	}
}

// statusError gives an error another HTTP status than its kind has.
type statusError struct {
	status int
	err    error
}

// WithStatus returns err with another HTTP status than its kind has.
func WithStatus(status int, err error) error { return &statusError{status, err} }

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// RequestID returns the id of the request; it is in the response since before the handler was called.
func RequestID(c echo.Context) string { return c.Response().Header().Get(headerRequestID) }

const headerRequestID = "X-Request-Id"

// secondsOf rounds up, because earlier would be too early.
func secondsOf(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

var _ Errors = Problems{}

// methodReads reports whether a method changes nothing.
func methodReads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
