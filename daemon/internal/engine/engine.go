// Package engine defines what put, get, list, delete, copy and sessions mean. It knows no disk,
// network or SQL: it works on the contracts of package store, and its tests run on store/mem.
//
// # The data path
//
// Engine.Put is the data path in one function: plan, encode (package erasure), send (package stripe),
// verify, commit. A write becomes durable in the line of part.go that calls Writer.Commit, and visible
// in the line of commit.go that calls CommitFile.
//
// A resumable upload is a session (session.go). Each of its parts takes the same path
// (sessionpart.go). They become visible in the line of complete.go that calls CompleteSession.
//
// A get is one metadata query and then a stripe.Reader for each part: only the data units that cover the
// range are read, ahead of the client; chunks that are missing, damaged or slow are replaced by parity.
//
// # Memory
//
// A put holds at most one stripe that is being filled, unit by unit as its bytes arrive, and at most Config.Window units
// a chunk that nodes have not taken yet. The sum over all puts stays below Config.WriteBudget: they wait for memory, and
// fail when that takes too long (package writemem). A get holds the stripe that it delivers and at most two more units a chunk.
package engine

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/writemem"
)

// Fleet is the nodes as the engine needs them; *cluster.Fleet implements it.
type Fleet = stripe.Fleet

// Config is what an Engine is made of. Zero values take the defaults named here.
type Config struct {
	Meta    store.Metadata
	Fleet   Fleet
	Log     *slog.Logger  // default: slog.Default()
	Buffers *bufpool.Pool // see stripe.Config

	Survive     int   // node failures that data survives in buckets without a policy of their own; no default
	MaxFileSize int64 // bytes of a file that is put in one request; default 10 GiB
	UnitSize    int   // bytes; default chunk.DefaultUnitSize
	CopyBelow   int64 // bytes up to which a part is stored as whole copies; default UnitSize
	WriteBudget int64 // bytes of stripes, the sum over all puts; default 128 MiB
	Window      int   // units that may wait for one node; default 2

	WriteWait time.Duration // a put waits for write memory at most so long; default 10 s
	MinRate   int64         // bytes per second that a client must send while others wait for write memory; default 16 KiB
	MaxLag    time.Duration // how far behind MinRate a client may be; default 30 s

	SessionLimits  store.SessionLimits // open sessions; zero: no limit
	SessionTTL     time.Duration       // a session expires when no part has arrived for so long; default 7 days
	MaxSessionFile int64               // bytes of a file that is made of a session; default store.MaxFileBytes
	MaxPartSize    int64               // bytes; default 5 GiB

	Stall      time.Duration // see stripe.Config
	SyncStall  time.Duration // see stripe.Config
	HedgeFloor time.Duration // see stripe.Config
	LateFloor  time.Duration // see stripe.Config

	WakeReclaim func() // called after files were deleted or chunks put on the reclaim queue; may be nil
	WakeRepair  func() // called after chunks were put on the repair queue; may be nil
}

func (c Config) withDefaults() Config {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.MaxFileSize = cmp.Or(c.MaxFileSize, 10<<30)
	c.UnitSize = cmp.Or(c.UnitSize, chunk.DefaultUnitSize)
	c.CopyBelow = cmp.Or(c.CopyBelow, int64(c.UnitSize))
	c.WriteBudget = cmp.Or(c.WriteBudget, 128<<20)
	c.MaxSessionFile = cmp.Or(c.MaxSessionFile, store.MaxFileBytes)
	c.MaxPartSize = cmp.Or(c.MaxPartSize, 5<<30)
	c.SessionTTL = cmp.Or(c.SessionTTL, 7*24*time.Hour)
	if c.WakeReclaim == nil {
		c.WakeReclaim = func() {}
	}
	if c.WakeRepair == nil {
		c.WakeRepair = func() {}
	}
	return c
}

// Engine executes what clients request. Safe for concurrent use.
type Engine struct {
	cfg      Config
	meta     store.Metadata
	fleet    Fleet
	pool     *writemem.Pool
	buckets  sync.Map // store.BucketName -> cachedBucket
	sessions sessionCache
	io       *stripe.IO

	background sync.WaitGroup  // work that outlives its request: fences, reclaims of failed uploads
	closing    context.Context // ended by Close: retries in the background end
	close      context.CancelFunc
}

// New returns an engine. The caller keeps Meta and Fleet and closes them after Close.
func New(cfg Config) *Engine {
	cfg = cfg.withDefaults()
	pool := writemem.New(writemem.Config{
		Budget: cfg.WriteBudget, Unit: cfg.UnitSize, Largest: erasure.MaxMemory(cfg.UnitSize),
		Wait: cfg.WriteWait, MinRate: cfg.MinRate, Lag: cfg.MaxLag,
	})
	e := &Engine{cfg: cfg, meta: cfg.Meta, fleet: cfg.Fleet, pool: pool}
	e.io = stripe.New(stripe.Config{
		Fleet: cfg.Fleet, Meta: cfg.Meta, WakeRepair: cfg.WakeRepair, Log: cfg.Log, Buffers: cfg.Buffers,
		Window: cfg.Window, Stall: cfg.Stall, SyncStall: cfg.SyncStall, HedgeFloor: cfg.HedgeFloor, LateFloor: cfg.LateFloor,
	})
	e.closing, e.close = context.WithCancel(context.Background())
	return e
}

// Close waits for the work that outlived its request, and ends retries that wait for the metadata store. All requests must
// have ended. It may be called more than once.
func (e *Engine) Close() {
	e.close()
	e.background.Wait()
	e.io.Wait()
}

// WriteMemory returns the bytes of stripes that are lent to puts now, and the limit.
func (e *Engine) WriteMemory() (used, budget int64) { return e.pool.Used(), e.pool.Budget() }

// backgroundLimit bounds each call of work that outlives its request.
const backgroundLimit = 15 * time.Second
