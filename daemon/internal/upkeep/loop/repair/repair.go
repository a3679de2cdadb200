// Package repair reconstructs lost and damaged chunks from the other chunks of their parts.
//
// A task has five steps, each in its own function:
//
//	examine   is the chunk really lost where the metadata places it?  (examine.go)
//	choose    a node that can take it, by the rule of the ring        (repair.go)
//	rebuild   stripe by stripe from any K others, in constant memory  (rebuild.go, package stripe)
//	commit    durable on the new node, its sum compared
//	move      the metadata places it there, unless another runner was faster; then a check that it is still present
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

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "repair"

// hold is how long tasks are claimed: longer than most chunks take. Where one takes longer and another gateway
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
	Parallel int           // chunks that are repaired concurrently, each with up to 3(K+1) units of memory; default 4
	Stall    time.Duration // a node that makes no progress for so long is not used for that chunk; default 30 s
	Reclaim  func()        // called after chunks were put on the reclaim queue; may be nil
	Log      *slog.Logger  // default: slog.Default()
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
		Fleet: c.Fleet, Meta: c.Meta, Log: c.Log, Stall: c.Stall, SyncStall: c.Stall,
		Ahead: 1, HedgeFloor: c.Stall, // no client waits: rather a slow node than more load on the others
	})}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop. Until a lost chunk is repaired its part survives fewer failures, so the pauses are short.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: 5 * time.Second, Throttle: 0.5} }

// Step repairs a few chunks concurrently.
func (l *Loop) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	tasks, err := l.claims.Claim(ctx, l.cfg.Meta, store.ClaimQuery{Kind: store.Repair, Limit: l.cfg.Parallel, Hold: hold, Term: term})
	if err != nil || len(tasks) == 0 {
		return upkeep.Outcome{State: upkeep.Idle}, err
	}
	before := l.written.Load()
	results := make([]upkeep.Result, len(tasks))
	byPart := map[store.PartID][]int{}
	for i, t := range tasks {
		byPart[t.Chunk.Part] = append(byPart[t.Chunk.Part], i)
	}
	var wg sync.WaitGroup
	for _, same := range byPart {
		wg.Go(func() {
			// One after the other: each must see the placements of those before it.
			for _, i := range same {
				results[i] = upkeep.Result{Task: tasks[i], Err: l.repair(ctx, tasks[i])}
			}
		})
	}
	wg.Wait()
	l.io.Wait() // for reports of damaged chunks
	done, err := l.claims.Settle(ctx, l.cfg.Meta, results)
	return upkeep.Outcome{State: upkeep.Busy, Items: done, Bytes: l.written.Load() - before}, err
}

// chunkTask is the repair of one chunk.
type chunkTask struct {
	task  store.Task
	part  store.Part
	index int
	at    store.Placement // where the metadata places it
	view  *cluster.View
	avoid map[store.NodeID]bool // nodes that cannot take it in this step
}

func (p *chunkTask) id() store.ChunkID { return p.part.ChunkID(p.index) }

// repair executes one task. Nil: the task is finished.
func (l *Loop) repair(ctx context.Context, t store.Task) error {
	part, file, err := l.cfg.Meta.Part(ctx, t.Chunk.Part)
	if err != nil {
		if store.KindOf(err) == store.NotFound {
			return nil // the file was deleted
		}
		return err
	}
	if int(t.Chunk.Index) >= len(part.Chunks) || file.State == store.Failed || file.State == store.Deleted {
		return nil
	}
	p := &chunkTask{task: t, part: part, index: int(t.Chunk.Index), at: part.Chunks[t.Chunk.Index], view: l.cfg.Fleet.View(), avoid: map[store.NodeID]bool{}}
	if !p.at.Node.IsZero() && p.at.Node != t.Node {
		return nil // it is on another node by now
	}
	lost, err := l.examine(ctx, p)
	switch {
	case err != nil:
		return err
	case lost:
		return l.replace(ctx, p)
	}
	return l.improve(ctx, p)
}

func anyNode(store.NodeID) bool { return true }

// replace rebuilds a lost chunk on another node.
func (l *Loop) replace(ctx context.Context, p *chunkTask) error {
	p.avoid[p.at.Node] = true
	target, err := l.place(ctx, p, true, anyNode)
	if err != nil {
		return err
	}
	l.cfg.Log.Info("a lost chunk was reconstructed", "chunk", p.id(), "was", p.at.Node, "now", target, "reason", p.task.Reason)
	if better, ok := p.better(target); ok {
		// Its old node is the better place, once the damaged copy was deleted there.
		return l.again(ctx, p, target, "to be moved to node "+better.String()+", which holds fewer chunks of its part")
	}
	return nil
}

// improve moves an intact chunk if its node holds more chunks of the part
// than another node that can take it: repairs place several on one node when nodes are few.
func (l *Loop) improve(ctx context.Context, p *chunkTask) error {
	if _, ok := p.better(p.at.Node); !ok {
		return nil
	}
	p.avoid[p.at.Node] = true
	held := p.held()
	target, err := l.place(ctx, p, false, func(id store.NodeID) bool { return held[id] < held[p.at.Node] })
	if err != nil {
		return err
	}
	l.cfg.Log.Info("a chunk was moved to a node that held fewer of its part", "chunk", p.id(), "was", p.at.Node, "now", target)
	return nil
}

// better is the node where the ring would place the chunk, if that holds fewer of
// the part's other chunks than the given node.
func (p *chunkTask) better(than store.NodeID) (store.NodeID, bool) {
	held := p.held()
	best, ok := p.next(anyNode)
	return best, ok && held[best] < held[than]
}

// held counts the part's other chunks by node. Holes count under the zero node, which the ring does not have.
func (p *chunkTask) held() map[store.NodeID]int {
	count := map[store.NodeID]int{}
	for _, id := range p.others() {
		count[id]++
	}
	return count
}

// others returns the nodes of the part's other chunks.
func (p *chunkTask) others() (nodes []store.NodeID) {
	for i, c := range p.part.Chunks {
		if i != p.index {
			nodes = append(nodes, c.Node)
		}
	}
	return nodes
}

// next is the ring's choice among the nodes with room for which pass is true.
func (p *chunkTask) next(pass func(store.NodeID) bool) (store.NodeID, bool) {
	return p.view.Ring.Next(p.part.ID, p.others(), func(id store.NodeID) bool {
		m, known := p.view.Member(id)
		return known && m.Writable() && m.Capacity.Free > p.part.ChunkSize() && pass(id)
	})
}

// place tries nodes, in the order of the ring, until one has the chunk: rebuilt, durable, and recorded
// in the metadata. It returns the node.
func (l *Loop) place(ctx context.Context, p *chunkTask, lost bool, pass func(store.NodeID) bool) (store.NodeID, error) {
	var last error
	for ctx.Err() == nil {
		target, ok := p.next(func(id store.NodeID) bool { return !p.avoid[id] && pass(id) })
		if !ok {
			if last == nil {
				last = store.Errorf(store.Unavailable, "no node can take chunk %s now", p.id())
			}
			return target, last
		}
		err := l.placeOn(ctx, p, lost, target)
		var refused *refusal
		if !errors.As(err, &refused) {
			return target, err
		}
		last = refused.err
		p.avoid[target] = true
	}
	return store.NodeID{}, ctx.Err()
}

// refusal is an error of the target node: another node may take the chunk.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

// placeOn rebuilds the chunk on the target. The metadata decides: a copy that it does not place there is reclaimed.
func (l *Loop) placeOn(ctx context.Context, p *chunkTask, lost bool, target store.NodeID) error {
	chunks, err := l.cfg.Fleet.Chunks(target)
	if err != nil {
		return &refusal{err}
	}
	if err := l.mustBeAbsent(ctx, p, chunks, target); err != nil {
		return err
	}
	sum, err := l.rebuild(ctx, p, lost, target)
	if err != nil {
		return err
	}
	switch err := l.cfg.Meta.MoveChunk(ctx, p.id(), p.at, store.Placement{Node: target, Sum: sum}); {
	case err == nil:
		l.written.Add(p.part.ChunkSize())
		l.cfg.Reclaim()
		return l.mustBePresent(ctx, p, chunks, target)
	case store.KindOf(err) == store.NotFound:
		return l.takeBack(ctx, p, target) // the file was deleted meanwhile
	default:
		return errors.Join(err, l.takeBack(ctx, p, target))
	}
}

// mustBeAbsent refuses a target that has a chunk of that id. That is a leftover
// of unknown condition, or the copy of a repair that runs at the same time; the reclaim
// loop deletes it unless the metadata places it there.
func (l *Loop) mustBeAbsent(ctx context.Context, p *chunkTask, chunks chunk.Store, target store.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Stall)
	defer cancel()
	_, err := chunks.Stat(ctx, p.id())
	switch {
	case err == nil || store.KindOf(err) == store.Corrupt:
		err := store.Errorf(store.Conflict, "node %s has an old copy of chunk %s", target, p.id())
		return &refusal{errors.Join(err, l.takeBack(ctx, p, target))}
	case store.KindOf(err) == store.NotFound:
		return nil
	}
	l.cfg.Fleet.Report(target, err)
	return &refusal{err}
}

// mustBePresent checks that the target still has the chunk, now that the metadata places the chunk
// there and no reclaim can delete it. Between commit and move one could:
// another gateway that repairs the same chunk takes this copy for a leftover, queues it, and
// it is deleted before the move. Then the chunk is to be repaired again.
func (l *Loop) mustBePresent(ctx context.Context, p *chunkTask, chunks chunk.Store, target store.NodeID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	_, err := chunks.Stat(ctx, p.id())
	if err == nil {
		return nil
	}
	l.cfg.Fleet.Report(target, err)
	return l.again(ctx, p, target, "it was repaired, but could not be found afterwards: "+err.Error())
}

// again queues one more repair of the chunk, on the node where it is now. The move has
// finished the claimed task; where the new one has the same identity, a nil result
// would finish that too, so the result is an error, which postpones it.
func (l *Loop) again(ctx context.Context, p *chunkTask, at store.NodeID, why string) error {
	err := l.cfg.Meta.Enqueue(ctx, []store.Task{{Kind: store.Repair, Chunk: p.id(), Node: at, Reason: why}})
	if err == nil && at == p.task.Node {
		return store.Errorf(store.Conflict, "%s", why)
	}
	return err
}

// takeBack queues the target's copy for reclaim, unless the metadata places
// it there. It is safe where that cannot be looked up: reclaim looks again.
func (l *Loop) takeBack(ctx context.Context, p *chunkTask, target store.NodeID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	now, _, err := l.cfg.Meta.Part(ctx, p.part.ID)
	if err == nil && now.Chunks[p.index].Node == target {
		return nil
	}
	defer l.cfg.Reclaim()
	return l.cfg.Meta.Enqueue(ctx, []store.Task{{Kind: store.Reclaim, Chunk: p.id(), Node: target, Reason: "a repair that was not completed left it"}})
}

// recordLimit bounds the calls that must be made although ctx has ended.
const recordLimit = 10 * time.Second
