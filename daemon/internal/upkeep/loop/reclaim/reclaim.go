// Package reclaim deletes chunks that no metadata refers to any more.
//
// The tasks come from the metadata store itself: each step that removes a file, fails
// an upload or moves a chunk also queues them. A task waits until its node can be
// reached, so a node that was away gets its deletions when it returns.
package reclaim

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
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
	stepLimit = time.Minute

	// perCall is how many chunks one call to a node deletes, and callLimit how long it may take: each may be a file of its own.
	perCall   = 200
	callLimit = 20 * time.Second
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
	placed, lookup := l.lookUp(ctx, tasks)
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
			done, err := l.claims.RecordOutcomes(ctx, l.cfg.Meta, l.workNode(ctx, node, member, share, placed, lookup))
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

// lookUp looks up the parts of the tasks, of which there are at most as many as one call takes.
func (l *Loop) lookUp(ctx context.Context, tasks []store.Task) (placed map[store.PartID][]store.Placement, err error) {
	placed = map[store.PartID][]store.Placement{}
	for _, t := range tasks {
		placed[t.Chunk.Part] = nil
	}
	parts, err := l.cfg.Meta.PartsByID(ctx, slices.Collect(maps.Keys(placed)))
	for _, p := range parts {
		placed[p.ID] = p.Chunks
	}
	return placed, err
}

// inUse reports whether the metadata places the task's chunk on its node; chunks are those of its part, none where that does not exist any more.
func inUse(t store.Task, chunks []store.Placement) bool {
	return int(t.Chunk.Index) < len(chunks) && chunks[t.Chunk.Index].Node == t.Node
}

// workNode does the tasks of one node, whose parts were looked up with the error.
func (l *Loop) workNode(ctx context.Context, node store.NodeID, member bool, tasks []store.Task, placed map[store.PartID][]store.Placement, lookup error) []upkeep.Result {
	results := make([]upkeep.Result, len(tasks))
	var doomed []*upkeep.Result
	for i, t := range tasks {
		results[i] = upkeep.Result{Task: t, Err: lookup}
		switch {
		case lookup != nil:
		case inUse(t, placed[t.Chunk.Part]):
			l.cfg.Log.Warn("a chunk that is in use was queued for reclaim; it is kept", "chunk", t.Chunk, "node", node, "reason", t.Reason)
		case member:
			doomed = append(doomed, &results[i])
		}
	}
	var unreachable error
	for some := range slices.Chunk(doomed, perCall) {
		if unreachable == nil {
			unreachable = l.remove(ctx, node, some)
			continue
		}
		for _, r := range some {
			r.Err = unreachable
		}
	}
	return results
}

// remove deletes chunks on the node with one call, and records what became of each. It returns the error of a node that cannot be reached,
// so that its remaining tasks fail without a call.
func (l *Loop) remove(ctx context.Context, node store.NodeID, some []*upkeep.Result) (unreachable error) {
	ids := make([]store.ChunkID, len(some))
	for i, r := range some {
		ids[i] = r.Task.Chunk
	}
	for i, err := range l.delete(ctx, node, ids) {
		some[i].Err = err
		if err != nil && store.KindOf(err) == store.Unavailable {
			unreachable = err
		}
	}
	report := unreachable
	if report == nil {
		report = some[0].Err
	}
	l.cfg.Fleet.Report(node, report)
	return unreachable
}

func (l *Loop) delete(ctx context.Context, node store.NodeID, ids []store.ChunkID) []error {
	if err := ctx.Err(); err != nil {
		return chunk.AllFailed(ids, err)
	}
	chunks, err := l.cfg.Fleet.Chunks(node)
	if err != nil {
		return chunk.AllFailed(ids, err)
	}
	limited, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	results := chunk.DeleteMany(limited, chunks, ids)
	if ctx.Err() != nil || limited.Err() == nil {
		return results
	}
	for i, err := range results {
		if err != nil {
			results[i] = store.Errorf(store.Unavailable, "node %s did not answer for %s", node, callLimit)
		}
	}
	return results
}
