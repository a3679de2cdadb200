// Package repair reconstructs lost and damaged chunks from the other chunks of their parts.
//
// A task is the repair of a part. Its steps, each in its own function:
//
//	examine   which of its chunks are really lost where the metadata places them?  (examine.go)
//	choose    a node for each that can take it, by the rule of the ring            (place.go)
//	rebuild   all of them by one read of any K others, stripe by stripe            (package stripe)
//	announce  a delayed reclaim of each copy, in case this gateway ends before the move
//	commit    durable on the new nodes, their sums compared
//	move      the metadata places each there, unless another runner was faster; then a check that it is still present
//
// Nothing is deleted here: the copies that a move leaves behind are queued for reclaim.
//
// A chunk is never rebuilt on a node that has a chunk of that id already, because
// nodes take a second write of a chunk for a repetition and keep the first one, damaged or not.
// When such a node would be the better place, it gets the chunk in a second
// move, after its old copy was reclaimed.
package repair

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "repair"

// hold is how long tasks are claimed: longer than most parts take. Where one takes longer and another gateway
// starts to repair it too, the faster one wins.
const hold = 10 * time.Minute

// Meta is what the loop needs of the metadata store.
type Meta interface {
	store.Placements
	store.Queues
}

// Config is what the loop is made of. Zero values take the defaults named here.
type Config struct {
	Meta     Meta
	Fleet    upkeep.Fleet
	Parallel int           // parts that are repaired concurrently, each with up to 3 units of memory for each of the K chunks that are read and those that are written; default 4
	Stall    time.Duration // a node that makes no progress for so long is not used for that chunk; default 30 s
	Reclaim  func()        // called after chunks were put on the reclaim queue; may be nil
	Log      *slog.Logger  // default: slog.Default()
	Buffers  *bufpool.Pool // see stripe.Config
}

// Loop is the upkeep loop. Make it with New.
type Loop struct {
	cfg     Config
	claims  upkeep.Claims
	written atomic.Int64 // bytes of chunks moved to their places
	io      *stripe.IO
}

// New makes the loop.
func New(c Config) *Loop {
	c.Parallel = cmp.Or(c.Parallel, 4)
	c.Stall = cmp.Or(c.Stall, 30*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Reclaim == nil {
		c.Reclaim = func() {}
	}
	return &Loop{cfg: c, io: stripe.New(stripe.Config{
		Fleet: c.Fleet, Meta: c.Meta, Log: c.Log, Buffers: c.Buffers, Stall: c.Stall, SyncStall: c.Stall,
		Ahead: 1, HedgeFloor: c.Stall, // no client waits: rather a slow node than more load on the others
	})}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop. Until a lost chunk is repaired its part survives fewer failures, so the pauses are short.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: 5 * time.Second, Throttle: 0.5} }

// Step repairs a few parts concurrently.
func (l *Loop) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	tasks, err := l.claims.Claim(ctx, l.cfg.Meta, store.ClaimQuery{Kind: store.Repair, Limit: l.cfg.Parallel, Hold: hold, Term: term})
	if err != nil || len(tasks) == 0 {
		return upkeep.Outcome{State: upkeep.Idle}, err
	}
	before := l.written.Load()
	results := make([]upkeep.Result, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() { results[i] = upkeep.Result{Task: t, Err: l.repair(ctx, t)} })
	}
	wg.Wait()
	l.io.Wait() // for reports of damaged chunks
	done, err := l.claims.RecordOutcomes(ctx, l.cfg.Meta, results)
	return upkeep.Outcome{State: upkeep.Busy, Items: done, Bytes: l.written.Load() - before}, err
}

// partTask is the repair of one part.
type partTask struct {
	task  store.Task
	part  store.Part // with the placements as this task has changed them
	view  *cluster.View
	lost  store.ChunkSet         // chunks that cannot be read where the metadata places them
	plan  map[int]store.NodeID   // the nodes of chunks that are being placed
	avoid map[candidate]struct{} // nodes that cannot take a chunk in this step
}

// candidate is a node for a chunk.
type candidate struct {
	index int
	node  store.NodeID
}

// repair executes one task. Nil: the task is finished.
func (l *Loop) repair(ctx context.Context, t store.Task) error {
	part, file, err := l.cfg.Meta.Part(ctx, t.Chunk.Part)
	if err != nil {
		if store.KindOf(err) == store.NotFound {
			return nil // the file was deleted
		}
		return err
	}
	if file.State == store.Failed || file.State == store.Deleted {
		return nil
	}
	p := &partTask{task: t, part: part, view: l.cfg.Fleet.View(), lost: part.Missing(), plan: map[int]store.NodeID{}, avoid: map[candidate]struct{}{}}
	var errs []error
	var intact []int
	for _, i := range t.Chunks.Indexes() {
		if i >= len(part.Chunks) || p.lost.Has(i) {
			continue
		}
		lost, err := l.examine(ctx, p, i)
		switch {
		case err != nil:
			errs = append(errs, err)
		case lost:
			p.lost |= store.NewChunkSet(i)
		default:
			intact = append(intact, i)
		}
	}
	errs = append(errs, l.replace(ctx, p))
	for _, i := range intact {
		errs = append(errs, l.improve(ctx, p, i))
	}
	return errors.Join(errs...)
}

// replace rebuilds the lost chunks on other nodes.
func (l *Loop) replace(ctx context.Context, p *partTask) error {
	for _, i := range p.lost.Indexes() {
		p.refuse(i, p.part.Chunks[i].Node)
	}
	moved, err := l.place(ctx, p, p.lost, anyNode)
	p.view = l.cfg.Fleet.View() // a node that returned meanwhile may have started a review that saw the part before these moves
	for _, c := range moved {
		l.cfg.Log.Info("a lost chunk was reconstructed", "chunk", p.part.ChunkID(c.Index), "was", c.From.Node, "now", c.To.Node, "reason", p.task.Reason)
		if better, ok := p.better(c.Index); ok {
			// Its old node is the better place, once the damaged copy was deleted there.
			err = errors.Join(err, l.again(ctx, p, c.Index, "to be moved to node "+better.String()+", which holds fewer chunks of its part"))
		}
	}
	return err
}

// improve moves an intact chunk if its node holds more chunks of the part
// than another node that can take it: repairs place several on one node when nodes are few.
func (l *Loop) improve(ctx context.Context, p *partTask, index int) error {
	if _, ok := p.better(index); !ok {
		return nil
	}
	moved, err := l.place(ctx, p, store.NewChunkSet(index), placement.FewerThan(p.part, index, p.part.Chunks[index].Node))
	for _, c := range moved {
		l.cfg.Log.Info("a chunk was moved to a node that held fewer of its part", "chunk", p.part.ChunkID(index), "was", c.From.Node, "now", c.To.Node)
	}
	return err
}

// better is the ring's choice for the chunk among the nodes that hold fewer of the part's other chunks than its own.
func (p *partTask) better(index int) (store.NodeID, bool) {
	return p.view.Next(p.part, index, placement.FewerThan(p.part, index, p.part.Chunks[index].Node))
}

// again queues one more repair of the chunk. While the task is claimed it gets the chunk again; otherwise there is a new task. Neither
// is finished with this step.
func (l *Loop) again(ctx context.Context, p *partTask, index int, why string) error {
	t := placement.Repair(p.part, p.lost, "chunk "+p.part.ChunkID(index).String()+": "+why)
	t.Chunks = store.NewChunkSet(index)
	return l.cfg.Meta.Enqueue(ctx, []store.Task{t})
}

// takeBack queues the target's copy for reclaim, unless the metadata places
// it there. It is safe where that cannot be looked up: reclaim looks again.
func (l *Loop) takeBack(ctx context.Context, p *partTask, index int, node store.NodeID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	now, _, err := l.cfg.Meta.Part(ctx, p.part.ID)
	if err == nil && now.Chunks[index].Node == node {
		return nil
	}
	defer l.cfg.Reclaim()
	return l.cfg.Meta.Enqueue(ctx, []store.Task{p.leftover(index, node)})
}

// leftover is the reclaim of a copy that the metadata does not place on the node.
func (p *partTask) leftover(index int, node store.NodeID) store.Task {
	return store.Task{Kind: store.Reclaim, Chunk: p.part.ChunkID(index), Node: node, Reason: "a repair that was not completed left it"}
}

// recordLimit bounds the calls that must be made although ctx has ended.
const recordLimit = 10 * time.Second
