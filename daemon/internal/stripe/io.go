// Package stripe is erasure-coded I/O: it reads and writes the chunks of one part on the nodes that hold them. All code that
// moves chunk bytes uses it. It knows chunk stores by their contract only: no disk, network or SQL.
//
// [Reader] returns a byte range of a part, or one of its chunks, from any K chunks: it reads ahead, replaces chunks that are
// missing, damaged or slow by parity, and reports them. [Writer] sends each chunk of a part to its node in a stream of its own,
// bounds how long a node may delay the others, and compares the checksum that the node computed with that of the sent bytes.
// [IO.Rebuild] joins the two: it writes chunks of a part to other nodes, whether they can be read or have to be reconstructed.
package stripe

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Fleet is the nodes as this package needs them; *cluster.Fleet implements it.
type Fleet interface {
	// View is the current snapshot of the nodes; it is never modified.
	View() *cluster.View
	// Chunks returns a node's chunk store. Unavailable when there is no connection to it.
	Chunks(id store.NodeID) (chunk.Store, error)
	// Report records the outcome of a call to the node; nil is a success.
	Report(id store.NodeID, err error)
}

// Meta is what a Reader needs of the metadata store.
type Meta interface {
	// Part returns the part with its current placements, and its file. NotFound.
	Part(ctx context.Context, id store.PartID) (store.Part, store.File, error)
	// Enqueue adds tasks to their queues.
	Enqueue(ctx context.Context, tasks []store.Task) error
}

// Config is what an IO is made of. Zero values take the defaults named here.
type Config struct {
	Fleet      Fleet
	Meta       Meta
	WakeRepair func()        // called after damaged chunks were queued for repair; may be nil
	Log        *slog.Logger  // default: slog.Default()
	Buffers    *bufpool.Pool // for reconstructed units; default: its own

	Window     int           // units that may wait for one node in a Writer; default 2
	Ahead      int           // units that a Reader reads ahead of each chunk while at most crowd readers are open; default 2
	Stall      time.Duration // a node that makes no progress for so long is not used further by that read or write; default 10 s
	SyncStall  time.Duration // the same while it makes a chunk durable; default 30 s
	Lag        time.Duration // how long one node may delay the others during a write that can do without it, and longer if the part is long; default 1 s
	HedgeFloor time.Duration // the shortest wait after which a unit counts as slow; default 250 ms
	LateFloor  time.Duration // the shortest wait of a commit for further chunks once the first is durable; default 100 ms
}

// IO reads and writes parts. It holds what its readers and writers share: measured latencies, codes and background work. Safe
// for concurrent use.
type IO struct {
	cfg        Config
	units      latency      // waits of readers for a unit
	smalls     latency      // writes of chunks of one unit
	lateSince  sync.Map     // store.NodeID -> time.Time: since when writes of the node were late, with none completed
	codes      sync.Map     // [2]int{k, m} -> *erasure.Code
	readers    atomic.Int64 // open now
	background crew
}

// New returns an IO. The caller keeps Fleet and Meta and closes them after Wait.
func New(c Config) *IO {
	if c.WakeRepair == nil {
		c.WakeRepair = func() {}
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	c.Window = cmp.Or(c.Window, 2)
	c.Ahead = cmp.Or(c.Ahead, 2)
	c.Stall = cmp.Or(c.Stall, 10*time.Second)
	c.SyncStall = cmp.Or(c.SyncStall, 30*time.Second)
	c.Lag = cmp.Or(c.Lag, time.Second)
	c.HedgeFloor = cmp.Or(c.HedgeFloor, 250*time.Millisecond)
	c.LateFloor = cmp.Or(c.LateFloor, 100*time.Millisecond)
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	return &IO{cfg: c}
}

// Wait returns when all background work has ended: calls to nodes that outlived their reader or writer, and reports. No
// reader or writer may be open or be opened meanwhile.
func (o *IO) Wait() { o.background.Wait() }

// Code returns the code of K+M chunks. It is made once. Errors: Invalid.
func (o *IO) Code(k, m int) (*erasure.Code, error) {
	id := [2]int{k, m}
	if c, ok := o.codes.Load(id); ok {
		return c.(*erasure.Code), nil
	}
	c, err := erasure.New(k, m)
	if err != nil {
		return nil, err
	}
	o.codes.Store(id, c)
	return c, nil
}

// reportLimit bounds the report of a damaged chunk.
const reportLimit = 15 * time.Second

// reportDamage queues a chunk of the part for repair, with the priority that the part has without the chunks that failed in this
// read. It works in the background: the reader does not wait for the metadata store.
func (o *IO) reportDamage(ctx context.Context, p store.Part, index int, failed store.ChunkSet, cause error) {
	id, node := p.ChunkID(index), p.Chunks[index].Node
	task := placement.Repair(p, failed, "chunk "+id.String()+" on node "+node.String()+": "+cause.Error())
	task.Chunks = store.NewChunkSet(index)
	o.cfg.Log.WarnContext(ctx, "a chunk cannot be read; it is reconstructed from the others and queued for repair", "chunk", id, "node", node, "error", cause)
	o.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportLimit)
		defer cancel()
		if err := o.cfg.Meta.Enqueue(ctx, []store.Task{task}); err != nil {
			o.cfg.Log.WarnContext(ctx, "a damaged chunk could not be queued for repair", "chunk", id, "node", node, "error", err)
			return
		}
		o.cfg.WakeRepair()
	})
}
