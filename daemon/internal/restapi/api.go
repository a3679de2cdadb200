package restapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/restapi/tus"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest/server"
)

// Config holds the dependencies and settings of the API. Zero values take the defaults named here.
type Config struct {
	Engine *engine.Engine
	Auth   *access.Authenticator
	Nodes  Nodes        // *cluster.Fleet implements it
	Upkeep Upkeep       // any store.Metadata implements it; nil: the health has no upkeep, and no gateway is listed
	Log    *slog.Logger // as httpedge.Config

	Failures       httpedge.FailureLimit // limits failed authentications; *access.Throttle implements it; nil: no limit
	AllowedOrigins httpedge.Origins      // origins of web pages that may change data, besides the gateway's own
	TrustedProxies httpedge.Proxies      // whose forwarding headers are believed

	MaxFileSize int64         // bytes; the engine's own limit, checked here against Content-Length before the body is read; default 10 GiB
	Idle        time.Duration // as httpedge.Config
}

// Nodes is the storage nodes as this gateway knows them.
type Nodes interface {
	View() *cluster.View
	Refresh(ctx context.Context) error
	SetDesired(ctx context.Context, id store.NodeID, d store.Desired, caller string) error
}

// Upkeep returns what is known of the cluster's background work.
type Upkeep interface {
	LoggedTo(ctx context.Context) (store.Revision, error)
	ChangesAfter(ctx context.Context, after store.Revision, limit int) (store.ChangePage, error)
	Members(ctx context.Context) (store.Membership, error)
	LoopReport(ctx context.Context) (store.LoopReport, error)
	ListGateways(ctx context.Context) ([]store.Gateway, error)
	ListJobs(ctx context.Context, q store.JobQuery) (store.JobPage, error)
	Depth(ctx context.Context, kind store.TaskKind) (store.QueueDepth, error)
}

const defaultMaxFileSize = 10 << 30

// public are the routes that require no key.
var public = []string{"/health", "/health/live", "/health/ready", "/openapi.json"}

// api implements the generated server interface.
type api struct {
	cfg     Config
	health  healthCache
	buffers sync.Pool // *bufio.Reader for forms
}

var _ server.ServerInterface = (*api)(nil)

// New returns the handler of the whole API. It holds nothing that must be closed.
func New(c Config) http.Handler {
	if c.MaxFileSize == 0 {
		c.MaxFileSize = defaultMaxFileSize
	}
	a := &api{cfg: c}
	router := httpedge.New(httpedge.Config{
		Auth: c.Auth, Log: c.Log, Public: public, Failures: c.Failures,
		AllowedOrigins: c.AllowedOrigins, OpenSurface: tus.Surface{}, TrustedProxies: c.TrustedProxies, Idle: c.Idle,
	})
	router.Use(unconditional)
	server.RegisterHandlers(httpedge.HeadWithGet{Echo: router}, a)
	tus.Mount(router, tus.Config{Engine: c.Engine})
	return router
}

// conditional are the routes that evaluate If-Match and If-None-Match for the object that they change.
var conditional = map[string]bool{
	"POST /files": true, "DELETE /files/:file_id": true, "DELETE /files/by-name": true, "POST /files/:file_id/copy": true, "POST /files/:file_id/rename": true,
	"POST /sessions/:session_id/complete": true,
}

// unconditional refuses conditions on other routes that change something: a conditional
// request must not change anything unconditionally.
func unconditional(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions || conditional[r.Method+" "+c.Path()] {
			return next(c)
		}
		for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
			if r.Header.Get(name) != "" {
				return store.Errorf(store.Invalid, "%s is not evaluated for %s %s", name, r.Method, c.Path()).
					WithHint("Nothing was changed. Leave the header out. For an upload in parts, send it when the session is completed.")
			}
		}
		return next(c)
	}
}

// changeOf returns who asks for a change of an object, and under which condition. Invalid.
func changeOf(c echo.Context) (store.Change, error) {
	condition, err := httpedge.ConditionOf(c.Request().Header)
	return store.Change{If: condition, Caller: httpedge.Caller(c).AccessKey}, err
}
