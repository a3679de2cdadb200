package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/connlimit"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
	"github.com/ringstore/ringstore/daemon/internal/meta/watch"
	"github.com/ringstore/ringstore/daemon/internal/restapi"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/changes"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/expire"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/logwriter"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/reclaim"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/repair"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/review"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/trim"
)

// Parts are the dependencies of a Core that differ between a gateway process and standalone.
type Parts struct {
	Meta    *watch.Store
	Master  *access.MasterKey
	Name    string                                           // unique to this process, from ProcessName: under which it holds leases and is listed among the gateways
	Connect func(store.Node) (chunk.Store, io.Closer, error) // to a node's chunks; see cluster.Config
	Log     *slog.Logger
	Buffers *bufpool.Pool // of the process
}

// Core is a gateway without its metadata store and its nodes: the view of the
// nodes, the engine, the upkeep, and the REST API.
type Core struct {
	Root     access.KeyPair // the key created or given at this start; zero if keys existed
	Listener net.Listener   // of the REST API, with its limits; open since New
	Throttle *access.Throttle
	fleet    *cluster.Fleet
	engine   *engine.Engine
	upkeep   *upkeep.Runner
	server   *httpedge.Server
	announce lifecycle.Service
	settings Settings
	log      *slog.Logger
}

// NewCore opens the port, so that a second process on it fails before it changes
// anything, ensures the root key, and wires the parts. The caller adds its services to a
// group with AddTo, and calls Close after the group has ended.
func NewCore(ctx context.Context, s Settings, p Parts) (_ *Core, err error) {
	c := &Core{settings: s, log: p.Log, Throttle: access.NewThrottle(access.ThrottleConfig{Log: p.Log}), announce: announce(p)}
	plain, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, store.Errorf(store.Unavailable, "--listen %s: %w", s.Listen, err).
			WithHint("Choose another address with --listen, or stop what uses this one.")
	}
	c.Listener = connlimit.New(plain, connlimit.Config{Total: s.Connections, PerAddress: s.Connections / 4, FreeLoopback: true, Log: p.Log})
	given := access.KeyPair{AccessKey: s.RootAccessKey, Secret: s.RootSecretKey.Reveal()}
	if c.Root, _, err = access.EnsureRoot(ctx, p.Meta, p.Master, given); err != nil {
		return nil, errors.Join(err, c.Listener.Close())
	}
	c.fleet = cluster.NewFleet(cluster.Config{Meta: p.Meta, WriteFailure: p.Meta.WriteFailure, Connect: p.Connect, Heartbeat: s.Heartbeat, Log: p.Log})
	c.upkeep = c.newUpkeep(p)
	c.engine = engine.New(engine.Config{
		Meta: p.Meta, Fleet: c.fleet, Log: p.Log, Buffers: p.Buffers,
		Survive: s.Survive, MaxFileSize: int64(s.MaxFileSize), WriteBudget: int64(s.WriteMemory), SessionTTL: s.SessionTTL,
		SessionLimits: store.SessionLimits{PerOwner: s.KeySessions, PerBucket: s.MaxSessions},
		WakeReclaim:   c.wakeReclaim(),
		WakeRepair:    func() { c.upkeep.Kick(repair.Name) },
	})
	api, err := c.newAPI(s, p)
	if err != nil {
		return nil, errors.Join(err, c.Listener.Close())
	}
	c.server = httpedge.NewServer(api, httpedge.Problems{}, p.Log)
	return c, nil
}

// wakeReclaim is nil where deleted files are kept for a grace period: none of them is due yet,
// and a steady stream of deletes and overwrites would make the job query the database without
// a pause. Its own interval suffices then.
func (c *Core) wakeReclaim() func() {
	if c.settings.DeleteGrace > 0 {
		return nil
	}
	return func() { c.upkeep.Kick(reclaim.Name) }
}

// newAPI returns the REST API of the engine.
func (c *Core) newAPI(s Settings, p Parts) (http.Handler, error) {
	origins, err := httpedge.ParseOrigins(s.Origins)
	if err != nil {
		return nil, err
	}
	proxies, err := httpedge.ParseProxies(s.Proxies)
	if err != nil {
		return nil, err
	}
	return restapi.New(restapi.Config{
		Engine: c.engine, Nodes: c.fleet, Upkeep: p.Meta, Log: p.Log, MaxFileSize: int64(s.MaxFileSize),
		Auth:           access.NewAuthenticator(access.Config{Credentials: p.Meta, Master: p.Master}),
		Failures:       c.Throttle,
		AllowedOrigins: origins, TrustedProxies: proxies,
	}), nil
}

func (c *Core) newUpkeep(p Parts) *upkeep.Runner {
	kick := func() { c.upkeep.Kick(reclaim.Name) }
	return upkeep.NewRunner(upkeep.Config{
		Meta: p.Meta, Owner: p.Name, Log: p.Log,
		Loops: []upkeep.Loop{
			reclaim.New(reclaim.Config{Meta: p.Meta, Fleet: c.fleet, Grace: c.settings.DeleteGrace, Log: p.Log}),
			repair.New(repair.Config{Meta: p.Meta, Fleet: c.fleet, Reclaim: kick, Log: p.Log, Buffers: p.Buffers}),
			review.New(review.Config{Meta: p.Meta, Fleet: c.fleet, Survive: c.settings.Survive, Repair: func() { c.upkeep.Kick(repair.Name) }, Log: p.Log}),
			expire.New(expire.Config{Meta: p.Meta, Reclaim: kick, Log: p.Log}),
			expire.NewSessions(expire.SessionsConfig{Meta: p.Meta, Every: min(time.Minute, c.settings.SessionTTL/4), Reclaim: kick, Log: p.Log}),
			trim.New(trim.Config{Meta: p.Meta}),
			logwriter.New(logwriter.Config{Meta: p.Meta, Fleet: c.fleet, Survive: c.settings.Survive, Reclaim: kick, Log: p.Log, Buffers: p.Buffers}),
			changes.New(changes.Config{Meta: p.Meta, Keep: store.Retention{Age: c.settings.ChangeAge, Count: c.settings.ChangeCount}}),
		},
	})
}

// ProcessName returns a name that is unique to this process; each call returns another.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "-" + rand.Text()[:8]
}

// AddTo adds the core's services to a group, after the services that they depend on.
// ready is called once requests are accepted.
func (c *Core) AddTo(g *lifecycle.Group, ready func()) {
	g.Add(c.announce)
	g.Add(lifecycle.ReturnMemory())
	g.Add(lifecycle.Service{
		Name:  "membership view",
		Start: c.fleet.Refresh,
		Run:   c.fleet.Run,
	})
	g.Add(lifecycle.Service{
		Name: "upkeep",
		Run:  c.upkeep.Run,
	})
	if c.settings.Profile != "" {
		g.Add(c.profiles())
	}
	g.Add(lifecycle.Service{
		Name:  "REST API",
		Start: func(context.Context) error { ready(); return nil },
		Run:   func(context.Context) error { return c.server.Serve(c.Listener) },
		Stop:  c.server.Shutdown,
		Limit: c.settings.Grace,
	})
}

// Close releases the core's resources, after the group has ended.
func (c *Core) Close() error {
	err := c.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // the server closed it
	}
	c.engine.Close()
	return errors.Join(err, c.fleet.Close())
}

// profiles serves Go's profiles on a separate address, without keys.
func (c *Core) profiles() lifecycle.Service {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := httpedge.NewServer(mux, httpedge.Problems{}, c.log)
	return lifecycle.Service{
		Name: "profiles",
		Run: func(context.Context) error {
			l, err := net.Listen("tcp", c.settings.Profile)
			if err != nil {
				return err
			}
			return server.Serve(l)
		},
		Stop: server.Shutdown,
	}
}
