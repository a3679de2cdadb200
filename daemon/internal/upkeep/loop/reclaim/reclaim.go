// Package reclaim deletes chunks that no metadata refers to any more.
//
// The tasks come from the metadata store itself: each step that removes a file, fails
// an upload or moves a chunk also queues them. A task waits until its node can be
// reached, so a node that was away gets its deletions when it returns.
package reclaim

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "reclaim"

const (
	batch = store.MaxListLimit
	hold  = 5 * time.Minute

	// stepLimit ends a step long before its claims expire: see package upkeep.
	stepLimit   = time.Minute
	deleteLimit = 10 * time.Second

	lookups = 8  // concurrent lookups of parts
	perNode = 16 // concurrent deletions on one node
)

// Meta is what the loop needs of the metadata store.
type Meta interface {
	store.Placements
	store.Queues
}

// Config is what the loop is made of.
type Config struct {
	Meta  Meta
	Fleet upkeep.Fleet
	Grace time.Duration // how long deleted or replaced files stay readable for reads that started before; none where space is short
	Log   *slog.Logger  // default: slog.Default()
}

// Loop is the upkeep loop. Make it with New.
type Loop struct {
	cfg    Config
	claims upkeep.Claims
}

var _ upkeep.Loop = (*Loop)(nil)

// New makes the loop.
func New(c Config) *Loop {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Loop{cfg: c}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop. Space should be free again soon, and deletions are cheap.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: 2 * time.Second, Throttle: 0.2} }

// shortOfSpace is the share of a node's space below which deleted files get no grace: 1/shortOfSpace.
const shortOfSpace = 10

// grace is how long ago a file must have been deleted to be swept now.
func (l *Loop) grace(v *cluster.View) time.Duration {
	for _, m := range v.Members {
		if m.State == store.NodeActive && m.Capacity.Free < m.Capacity.Total/shortOfSpace {
			return 0
		}
	}
	return l.cfg.Grace
}

// Step queues the chunks of files whose grace is over, claims a batch of tasks and works on all nodes' shares of it concurrently.
func (l *Loop) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	view := l.cfg.Fleet.View()
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	swept, err := l.cfg.Meta.SweepDeleted(ctx, l.grace(view), batch)
	if err != nil {
		return upkeep.Outcome{State: upkeep.Idle}, err
	}
	out, err := l.work(ctx, view, term)
	if err == nil && swept > 0 {
		out.State = upkeep.Busy // there may be more to sweep
	}
	return out, err
}

// work claims a batch of tasks and does them.
func (l *Loop) work(ctx context.Context, view *cluster.View, term uint64) (upkeep.Outcome, error) {
	nodes := reachable(view)
	if len(nodes) == 0 {
		return upkeep.Outcome{State: upkeep.Idle}, nil
	}
	tasks, err := l.claims.Claim(ctx, l.cfg.Meta, store.ClaimQuery{Kind: store.Reclaim, Nodes: nodes, Limit: batch, Hold: hold, Term: term})
	if err != nil || len(tasks) == 0 {
		return upkeep.Outcome{State: upkeep.Idle}, err
	}
	placed := l.lookUp(ctx, tasks)
	byNode := map[store.NodeID][]store.Task{}
	for _, t := range tasks {
		byNode[t.Node] = append(byNode[t.Node], t)
	}
	out := upkeep.Outcome{State: upkeep.Busy}
	var mu sync.Mutex // guards out.Items
	var g errgroup.Group
	for node, share := range byNode {
		_, member := view.Member(node)
		g.Go(func() error {
			// Each node's share is settled on its own, so that a slow node delays no other.
			done, err := l.claims.RecordOutcomes(ctx, l.cfg.Meta, l.workNode(ctx, node, member, share, placed))
			mu.Lock()
			defer mu.Unlock()
			out.Items += done
			return err
		})
	}
	return out, g.Wait()
}

// reachable returns the nodes whose tasks can be done now: those that answer, and those
// that were removed from the cluster, which have nothing left to delete.
func reachable(v *cluster.View) []store.NodeID {
	nodes := append([]store.NodeID(nil), v.Removed...)
	for _, m := range v.Members {
		if m.Readable() {
			nodes = append(nodes, m.ID)
		}
	}
	return nodes
}

// placement is where the metadata has a part's chunks now.
type placement struct {
	chunks []store.Placement // none when the part does not exist any more
	err    error             // of the lookup
}

// has reports whether the metadata places the chunk on the task's node.
func (p placement) has(t store.Task) bool {
	return int(t.Chunk.Index) < len(p.chunks) && p.chunks[t.Chunk.Index].Node == t.Node
}

// lookUp looks up the parts of the tasks, each once.
func (l *Loop) lookUp(ctx context.Context, tasks []store.Task) map[store.PartID]placement {
	placed := map[store.PartID]placement{}
	for _, t := range tasks {
		placed[t.Chunk.Part] = placement{}
	}
	var mu sync.Mutex // guards placed
	var g errgroup.Group
	g.SetLimit(lookups)
	parts := make([]store.PartID, 0, len(placed))
	for id := range placed {
		parts = append(parts, id)
	}
	for _, id := range parts {
		g.Go(func() error {
			part, _, err := l.cfg.Meta.Part(ctx, id)
			if err != nil && store.KindOf(err) == store.NotFound {
				err = nil
			}
			mu.Lock()
			defer mu.Unlock()
			placed[id] = placement{chunks: part.Chunks, err: err}
			return nil
		})
	}
	_ = g.Wait() // errors are recorded with their parts
	return placed
}

// workNode does the tasks of one node.
func (l *Loop) workNode(ctx context.Context, node store.NodeID, member bool, tasks []store.Task, placed map[store.PartID]placement) []upkeep.Result {
	results := make([]upkeep.Result, len(tasks))
	var g errgroup.Group
	g.SetLimit(perNode)
	unreachable := &failure{}
	for i, t := range tasks {
		results[i].Task = t
		where := placed[t.Chunk.Part]
		switch {
		case where.err != nil:
			results[i].Err = where.err
		case where.has(t):
			l.cfg.Log.Warn("a chunk that is in use was queued for reclaim; it is kept", "chunk", t.Chunk, "node", node, "reason", t.Reason)
		case member:
			g.Go(func() error {
				results[i].Err = l.remove(ctx, t, unreachable)
				return nil
			})
		}
	}
	_ = g.Wait() // errors are recorded with their tasks
	return results
}

// failure records that a node cannot be reached, so that its remaining tasks fail without a call each.
type failure struct {
	mu  sync.Mutex // guards err
	err error
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (l *Loop) remove(ctx context.Context, t store.Task, unreachable *failure) error {
	if err := unreachable.get(); err != nil {
		return err
	}
	err := l.delete(ctx, t)
	l.cfg.Fleet.Report(t.Node, err)
	if err != nil && store.KindOf(err) == store.Unavailable {
		unreachable.set(err)
	}
	return err
}

func (l *Loop) delete(ctx context.Context, t store.Task) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	chunks, err := l.cfg.Fleet.Chunks(t.Node)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	err = chunks.Delete(limited, t.Chunk)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return store.Errorf(store.Unavailable, "node %s did not answer for %s", t.Node, deleteLimit)
	}
	return err
}
