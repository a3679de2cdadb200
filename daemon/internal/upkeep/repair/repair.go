// Package repair makes lost and corrupt chunks again from the other chunks of their parts.
//
// One task goes through five steps, each in its own function:
//
//	examine   is the chunk really lost, where the metadata has it?   (examine.go)
//	choose    a node that can take it, after the rule of the ring    (repair.go)
//	rebuild   stripe by stripe from any K others, in constant memory (rebuild.go, sources.go)
//	commit    durable on the new node, its sum compared
//	move      the metadata places it there, if nobody else was faster; then a last look that it is there
//
// Nothing is deleted here: what a move leaves behind goes to the reclaim queue.
//
// A chunk is never rebuilt onto a node that has a chunk of that id already, because
// nodes take the second copy of a chunk for a repeated write and keep the first, rotten or not.
// When such a node would be the better place, it gets the chunk in a second
// move, after its old copy has been reclaimed.
package repair

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the job's name.
const Name = "repair"

// hold is longer than most chunks take. Where one takes longer, and another gateway
// begins on it too, the faster one wins.
const hold = 10 * time.Minute

// Meta is what the job needs of the metadata store.
type Meta interface {
	store.Placements
	store.Queues
}

// Config is what the job is made of. Zero values take the defaults named here.
type Config struct {
	Meta     Meta
	Fleet    upkeep.Fleet
	Parallel int           // chunks repaired at the same time, each with up to 3(K+1) units of memory; default 4
	Stall    time.Duration // a node that gives or takes nothing for so long is given up; default 30 s
	Reclaim  func()        // called after chunks were put on the reclaim queue; may be nil
	Log      *slog.Logger  // default: slog.Default()
}

// Job is the upkeep job. Make it with New.
type Job struct {
	cfg     Config
	claims  upkeep.Claims
	written atomic.Int64 // bytes of chunks moved to their places
	buffers buffers
}

var _ upkeep.Job = (*Job)(nil)

// New makes the job.
func New(c Config) *Job {
	if c.Parallel == 0 {
		c.Parallel = 4
	}
	if c.Stall == 0 {
		c.Stall = 30 * time.Second
	}
	if c.Reclaim == nil {
		c.Reclaim = func() {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Job{cfg: c}
}

// Name implements upkeep.Job.
func (j *Job) Name() string { return Name }

// Pace implements upkeep.Job. What is lost is not safe yet, so the breaks are short.
func (j *Job) Pace() upkeep.Pace { return upkeep.Pace{Every: 5 * time.Second, Throttle: 0.5} }

// Step repairs a few chunks at the same time.
func (j *Job) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	tasks, err := j.claims.Claim(ctx, j.cfg.Meta, store.ClaimQuery{Kind: store.Repair, Limit: j.cfg.Parallel, Hold: hold, Term: term})
	if err != nil || len(tasks) == 0 {
		return upkeep.Outcome{State: upkeep.Idle}, err
	}
	before := j.written.Load()
	results := make([]upkeep.Result, len(tasks))
	byPart := map[store.PartID][]int{}
	for i, t := range tasks {
		byPart[t.Chunk.Part] = append(byPart[t.Chunk.Part], i)
	}
	var wg sync.WaitGroup
	for _, same := range byPart {
		wg.Go(func() {
			// One after the other: each must see where those before it went.
			for _, i := range same {
				results[i] = upkeep.Result{Task: tasks[i], Err: j.repair(ctx, tasks[i])}
			}
		})
	}
	wg.Wait()
	done, err := j.claims.Settle(ctx, j.cfg.Meta, results)
	return upkeep.Outcome{State: upkeep.Busy, Items: done, Bytes: j.written.Load() - before}, err
}

// patient is one chunk under repair.
type patient struct {
	task  store.Task
	part  store.Part
	index int
	at    store.Placement // where the metadata has it
	view  *cluster.View
	avoid map[store.NodeID]bool // nodes that cannot take it now
}

func (p *patient) id() store.ChunkID { return p.part.ChunkID(p.index) }

// repair does one task. Nil: there is nothing left to do for it.
func (j *Job) repair(ctx context.Context, t store.Task) error {
	part, file, err := j.cfg.Meta.Part(ctx, t.Chunk.Part)
	if err != nil {
		if store.KindOf(err) == store.NotFound {
			return nil // the file was deleted
		}
		return err
	}
	index := int(t.Chunk.Index)
	if index >= len(part.Chunks) || file.State == store.Failed || file.State == store.Deleted {
		return nil
	}
	p := &patient{task: t, part: part, index: index, at: part.Chunks[index], view: j.cfg.Fleet.View(), avoid: map[store.NodeID]bool{}}
	if !p.at.Node.IsZero() && p.at.Node != t.Node {
		return nil // it was lost there, or nowhere, and is elsewhere by now
	}
	lost, err := j.examine(ctx, p)
	switch {
	case err != nil:
		return err
	case lost:
		return j.replace(ctx, p)
	}
	return j.improve(ctx, p)
}

// replace puts a lost chunk in a new place.
func (j *Job) replace(ctx context.Context, p *patient) error {
	p.avoid[p.at.Node] = true
	target, err := j.place(ctx, p, p.others(), func(store.NodeID) bool { return true })
	if err != nil {
		return err
	}
	j.cfg.Log.Info("a lost chunk was made again", "chunk", p.id(), "was", p.at.Node, "now", target, "reason", p.task.Reason)
	if better, ok := p.better(target); ok {
		// Its old node is the better place, as soon as the bad copy is gone from it.
		return j.again(ctx, p, target, "to be moved to node "+better.String()+", which holds fewer chunks of its part")
	}
	return nil
}

// improve moves a chunk that is well, if its node holds more chunks of the part
// than one that is free to take it: repairs double them up when nodes are few.
func (j *Job) improve(ctx context.Context, p *patient) error {
	if _, ok := p.better(p.at.Node); !ok {
		return nil
	}
	p.avoid[p.at.Node] = true
	held := p.held()
	target, err := j.place(ctx, p, []int{p.index}, func(id store.NodeID) bool { return held[id] < held[p.at.Node] })
	if err != nil {
		return err
	}
	j.cfg.Log.Info("a chunk was moved to a node that held fewer of its part", "chunk", p.id(), "was", p.at.Node, "now", target)
	return nil
}

// better is the node where the ring would have the chunk, if that holds fewer of
// the part's other chunks than the given one.
func (p *patient) better(than store.NodeID) (store.NodeID, bool) {
	held := p.held()
	best, ok := p.next(func(store.NodeID) bool { return true })
	return best, ok && held[best] < held[than]
}

// held counts the part's other chunks by node.
func (p *patient) held() map[store.NodeID]int {
	count := map[store.NodeID]int{}
	for i, c := range p.part.Chunks {
		if i != p.index && !c.Node.IsZero() {
			count[c.Node]++
		}
	}
	return count
}

// others is the indexes of the part's other chunks.
func (p *patient) others() []int {
	var list []int
	for i := range p.part.Chunks {
		if i != p.index {
			list = append(list, i)
		}
	}
	return list
}

// next is the ring's choice among the nodes with room that pass the test.
func (p *patient) next(pass func(store.NodeID) bool) (store.NodeID, bool) {
	var elsewhere []store.NodeID
	for i, c := range p.part.Chunks {
		if i != p.index {
			elsewhere = append(elsewhere, c.Node)
		}
	}
	return p.view.Ring.Next(p.part.ID, elsewhere, func(id store.NodeID) bool {
		m, known := p.view.Member(id)
		return known && m.Writable() && m.Capacity.Free > p.part.ChunkSize() && pass(id)
	})
}

// place tries nodes, best first, until one has the chunk: rebuilt from the
// chunks of those indexes, durable, and written down. It returns the node.
func (j *Job) place(ctx context.Context, p *patient, from []int, pass func(store.NodeID) bool) (store.NodeID, error) {
	var last error
	for ctx.Err() == nil {
		target, ok := p.next(func(id store.NodeID) bool { return !p.avoid[id] && pass(id) })
		if !ok {
			if last == nil {
				last = store.Errorf(store.Unavailable, "no node can take chunk %s now", p.id())
			}
			return target, last
		}
		err := j.placeOn(ctx, p, from, target)
		var refused *refusal
		if !errors.As(err, &refused) {
			return target, err
		}
		last = refused.err
		p.avoid[target] = true
	}
	return store.NodeID{}, ctx.Err()
}

// refusal is an error of the target: another node may do.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

// placeOn makes the chunk on the target. The metadata decides: what it does not place there goes again.
func (j *Job) placeOn(ctx context.Context, p *patient, from []int, target store.NodeID) error {
	chunks, err := j.cfg.Fleet.Chunks(target)
	if err != nil {
		return &refusal{err}
	}
	if err := j.mustBeAbsent(ctx, p, chunks, target); err != nil {
		return err
	}
	sum, err := j.rebuild(ctx, p, from, chunks, target)
	if err != nil {
		return err
	}
	switch err := j.cfg.Meta.MoveChunk(ctx, p.id(), p.at, store.Placement{Node: target, Sum: sum}); {
	case err == nil:
		j.written.Add(p.part.ChunkSize())
		j.cfg.Reclaim()
		return j.mustBeThere(ctx, p, chunks, target)
	case store.KindOf(err) == store.NotFound:
		return j.takeBack(ctx, p, target) // the file was deleted meanwhile
	default:
		return errors.Join(err, j.takeBack(ctx, p, target))
	}
}

// mustBeAbsent refuses a target that has a chunk of that id. It is a leftover,
// of unknown condition, or of a repair that runs at the same time; the reclaim
// job finds out, and deletes it only if the metadata does not place it there.
func (j *Job) mustBeAbsent(ctx context.Context, p *patient, chunks store.Chunks, target store.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Stall)
	defer cancel()
	_, err := chunks.Stat(ctx, p.id())
	switch {
	case err == nil || store.KindOf(err) == store.Corrupt:
		err := store.Errorf(store.Conflict, "node %s has an old copy of chunk %s", target, p.id())
		return &refusal{errors.Join(err, j.takeBack(ctx, p, target))}
	case store.KindOf(err) == store.NotFound:
		return nil
	}
	j.cfg.Fleet.Report(target, err)
	return &refusal{err}
}

// mustBeThere looks once more, now that the metadata places the chunk on the
// target and no reclaim can take it. Between commit and move one could:
// another gateway that repairs the same chunk takes our copy for a leftover, queues it, and
// has it deleted in time for our move to succeed. Then it is to be repaired again.
func (j *Job) mustBeThere(ctx context.Context, p *patient, chunks store.Chunks, target store.NodeID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asideLimit)
	defer cancel()
	_, err := chunks.Stat(ctx, p.id())
	if err == nil {
		return nil
	}
	j.cfg.Fleet.Report(target, err)
	return j.again(ctx, p, target, "it was repaired, but could not be found afterwards: "+err.Error())
}

// again queues one more repair of the chunk, where it is now. The move before has
// finished the task that we hold; where the new one has the same identity, to
// end well would finish that too, so it is an error, which puts the new one off.
func (j *Job) again(ctx context.Context, p *patient, at store.NodeID, why string) error {
	err := j.enqueue(ctx, store.Task{Kind: store.Repair, Chunk: p.id(), Node: at, Reason: why})
	if err == nil && at == p.task.Node {
		return store.Errorf(store.Conflict, "%s", why)
	}
	return err
}

// takeBack queues the target's copy to be reclaimed, unless the metadata places
// it there. It is safe where that cannot be known: reclaim looks again.
func (j *Job) takeBack(ctx context.Context, p *patient, target store.NodeID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asideLimit)
	defer cancel()
	now, _, err := j.cfg.Meta.Part(ctx, p.part.ID)
	if err == nil && now.Chunks[p.index].Node == target {
		return nil
	}
	return j.enqueue(ctx, store.Task{Kind: store.Reclaim, Chunk: p.id(), Node: target, Reason: "a repair that did not come to its end left it"})
}

// asideLimit bounds what must be written down although ctx has ended.
const asideLimit = 10 * time.Second

func (j *Job) enqueue(ctx context.Context, t store.Task) error {
	if err := j.cfg.Meta.Enqueue(ctx, []store.Task{t}); err != nil {
		return err
	}
	if t.Kind == store.Reclaim {
		j.cfg.Reclaim()
	}
	return nil
}
