// Package engine is what put, get, list and delete mean. It knows no disk,
// network or SQL: it works on the contracts of package store, and runs whole on store/mem.
//
// # The data path
//
// A put reads top to bottom in put.go and part.go: plan (policy.go), encode (package
// erasure), send (spread.go for striped parts, copies.go for small ones), commit (commit.go). A
// write becomes durable when every node it counts on has answered Commit, and visible
// in the one line of commit.go that calls CommitFile.
//
// A resumable upload is a session (session.go) whose parts take the same path one by
// one (sessionpart.go), and become visible in the one line of complete.go that calls CompleteSession.
//
// A get is one metadata query and then range.go: only the data units that cover the
// range are read, ahead of the writer; what is missing, corrupt or slow is replaced by parity.
//
// # Memory
//
// A put holds at most one stripe that it fills, unit by unit as its bytes arrive, and those that nodes
// have not taken yet, at most Config.Window units a chunk. All puts together stay under Config.WriteBudget: they wait, and
// fail when that takes too long (package writemem). A get holds the stripe it writes out and at most two units ahead a chunk.
package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/writemem"
)

// Fleet is the nodes as the engine needs them; *cluster.Fleet is one.
type Fleet interface {
	// View is the present picture of the nodes; it is not changed afterwards.
	View() *cluster.View
	// Chunks gives a node's chunk store. Unavailable when there is no way to it.
	Chunks(id store.NodeID) (store.Chunks, error)
	// Report tells how a call to the node went.
	Report(id store.NodeID, err error)
}

// Config is what an Engine is made of. Zero values take the defaults named here.
type Config struct {
	Meta  store.Metadata
	Fleet Fleet
	Log   *slog.Logger // default: slog.Default()

	Survive     int   // node failures that data survives where the bucket does not say; as given, 0 is 0
	MaxFileSize int64 // bytes of a file in one piece; default 10 GiB
	UnitSize    int   // bytes; default store.DefaultUnitSize
	CopyBelow   int64 // parts up to so many bytes are whole copies; default UnitSize
	WriteBudget int64 // bytes of stripes in all puts together; default 128 MiB
	Window      int   // units that may wait for one node; default 2

	WriteWait time.Duration // a put waits for write memory so long at most; default 10 s
	MinRate   int64         // bytes per second that a client must send while others wait for memory; default 16 KiB
	MaxLag    time.Duration // how far behind MinRate it may be; default 30 s

	SessionLimits  store.SessionLimits // open sessions; zero: no limit
	SessionTTL     time.Duration       // a session ends by itself when nothing has arrived for so long; default 7 days
	MaxSessionFile int64               // bytes of a file in parts; default store.MaxFileBytes
	MaxPartSize    int64               // bytes; default 5 GiB

	Stall      time.Duration // a node that takes nothing for so long is given up for this write; default 10 s
	SyncStall  time.Duration // the same while it makes a chunk durable; default 30 s
	HedgeFloor time.Duration // a unit is never called slow before; default 250 ms

	WakeReclaim func() // called after files were deleted or chunks put on the reclaim queue; may be nil
	WakeRepair  func() // called after chunks were put on the repair queue; may be nil
}

func (c Config) withDefaults() Config {
	def := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.MaxFileSize == 0 {
		c.MaxFileSize = 10 << 30
	}
	if c.UnitSize == 0 {
		c.UnitSize = store.DefaultUnitSize
	}
	if c.CopyBelow == 0 {
		c.CopyBelow = int64(c.UnitSize)
	}
	if c.WriteBudget == 0 {
		c.WriteBudget = 128 << 20
	}
	if c.Window == 0 {
		c.Window = 2
	}
	if c.MaxSessionFile == 0 {
		c.MaxSessionFile = store.MaxFileBytes
	}
	if c.MaxPartSize == 0 {
		c.MaxPartSize = 5 << 30
	}
	def(&c.SessionTTL, 7*24*time.Hour)
	def(&c.Stall, 10*time.Second)
	def(&c.SyncStall, 30*time.Second)
	def(&c.HedgeFloor, 250*time.Millisecond)
	if c.WakeReclaim == nil {
		c.WakeReclaim = func() {}
	}
	if c.WakeRepair == nil {
		c.WakeRepair = func() {}
	}
	return c
}

// Engine does what clients ask for. Safe for concurrent use.
type Engine struct {
	cfg      Config
	meta     store.Metadata
	fleet    Fleet
	pool     *writemem.Pool
	plans    planner
	buckets  bucketCache
	sessions sessionFacts
	latency  latency
	reading  atomic.Int64 // gets under way
	codes    sync.Map     // [2]int{k, m} -> *erasure.Code

	background sync.WaitGroup  // work that outlives its request: reports, fences
	closing    context.Context // ended by Close: work that could take long ends
	close      context.CancelFunc
}

// New makes an engine. The caller keeps Meta and Fleet and closes them after Close.
func New(cfg Config) *Engine {
	cfg = cfg.withDefaults()
	pool := writemem.New(writemem.Config{
		Budget: cfg.WriteBudget, Unit: cfg.UnitSize, Largest: erasure.MaxMemory(cfg.UnitSize),
		Wait: cfg.WriteWait, MinRate: cfg.MinRate, Lag: cfg.MaxLag,
	})
	e := &Engine{cfg: cfg, meta: cfg.Meta, fleet: cfg.Fleet, pool: pool}
	e.closing, e.close = context.WithCancel(context.Background())
	return e
}

// Close waits for the work that outlived its request, and ends fences that wait for the metadata store. Requests must
// have ended. It may be called more than once.
func (e *Engine) Close() {
	e.close()
	e.background.Wait()
}

// WriteMemory tells how many bytes of stripes are lent to puts now, and the most there can be.
func (e *Engine) WriteMemory() (used, budget int64) { return e.pool.Used(), e.pool.Budget() }

func (e *Engine) code(k, m int) (*erasure.Code, error) {
	id := [2]int{k, m}
	if c, ok := e.codes.Load(id); ok {
		return c.(*erasure.Code), nil
	}
	c, err := erasure.New(k, m)
	if err != nil {
		return nil, err
	}
	e.codes.Store(id, c)
	return c, nil
}

// backgroundLimit bounds each piece of work that outlives its request.
const backgroundLimit = 15 * time.Second

// inBackground runs f with a context of its own, because the request's may have ended.
func (e *Engine) inBackground(f func(ctx context.Context)) {
	e.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), backgroundLimit)
		defer cancel()
		f(ctx)
	})
}
