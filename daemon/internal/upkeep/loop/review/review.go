// Package review checks, after each change of the membership, that every part has what its policy requires.
//
// A part can be below its policy because nodes were away when it was written (holes), because the cluster was too
// small for the policy, or because a repair had to place several of its chunks on one node. Reads find
// only damage and repair none of these. So when nodes have joined, left or returned, however briefly they were away, and when the leader
// has changed, the loop visits all parts once, throttled: it widens parts that have too few chunks, and queues holes and chunks beyond their node's share for repair. Chunks on
// nodes that are temporarily away are not lost and are left alone.
package review

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "review"

const batch = store.MaxListLimit

// Meta is what the loop needs of the metadata store.
type Meta interface {
	Part(ctx context.Context, id store.PartID) (store.Part, store.File, error)
	PartsAfter(ctx context.Context, after store.PartID, limit int) ([]store.Part, error)
	WidenPart(ctx context.Context, id store.PartID, m int) error
	ListBuckets(ctx context.Context) ([]store.Bucket, error)
	Enqueue(ctx context.Context, tasks []store.Task) error
	Hasten(ctx context.Context, kind store.TaskKind) error
}

// Config is what the loop is made of.
type Config struct {
	Meta    Meta
	Fleet   upkeep.Fleet
	Survive int          // node failures that data survives where its bucket does not say
	Repair  func()       // called after chunks were put on the repair queue; may be nil
	Log     *slog.Logger // default: slog.Default()
}

// Loop is the upkeep loop. Make it with New.
type Loop struct {
	cfg  Config
	walk *walk // in progress; nil: none
	done state // for which a walk was completed
}

// state changes with everything that could improve a part's placement. It is no set of nodes: one that was away and returned between
// two steps has left parts below their policy, too. A term before this one may have left some that this gateway's view does not tell of.
type state struct {
	term  uint64 // at least 1
	epoch store.Epoch
	gains uint64
}

var _ upkeep.Loop = (*Loop)(nil)

// walk is one visit of all parts.
type walk struct {
	state    state
	after    store.PartID
	policies map[int]placement.Policy // by the number of failures that must be survived
	wanted   map[store.BucketName]int
	most     int // the highest of them: a part that meets it meets the policy of every bucket
	found    int
}

// New makes the loop.
func New(c Config) *Loop {
	if c.Repair == nil {
		c.Repair = func() {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Loop{cfg: c}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: 5 * time.Second, Throttle: 4} }

// Step checks a batch of parts, if the membership or the leader has changed since they were checked last.
func (l *Loop) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	view := l.cfg.Fleet.View()
	if now := (state{term, view.Epoch, view.Gains}); l.walk == nil && now == l.done {
		return upkeep.Outcome{State: upkeep.Idle}, nil
	} else if l.walk == nil || l.walk.state != now {
		if err := l.begin(ctx, view, now); err != nil {
			return upkeep.Outcome{}, err
		}
	}
	parts, err := l.cfg.Meta.PartsAfter(ctx, l.walk.after, batch)
	if err != nil {
		return upkeep.Outcome{}, err
	}
	var tasks []store.Task
	for _, p := range parts {
		found, err := l.look(ctx, view, p)
		if err != nil {
			return upkeep.Outcome{}, err
		}
		tasks = append(tasks, found...)
	}
	if err := l.queue(ctx, tasks); err != nil {
		return upkeep.Outcome{}, err
	}
	if len(parts) < batch {
		l.end()
	} else {
		l.walk.after = parts[len(parts)-1].ID
	}
	return upkeep.Outcome{State: upkeep.Busy, Items: int64(len(tasks))}, nil
}

// begin starts a walk, and makes postponed repairs due at once.
func (l *Loop) begin(ctx context.Context, view *cluster.View, now state) error {
	buckets, err := l.cfg.Meta.ListBuckets(ctx)
	if err != nil {
		return err
	}
	if err := l.cfg.Meta.Hasten(ctx, store.Repair); err != nil {
		return err
	}
	w := &walk{state: now, policies: map[int]placement.Policy{}, wanted: map[store.BucketName]int{}, most: l.cfg.Survive}
	for _, b := range buckets {
		wanted := b.Survive
		if wanted == store.SurviveDefault {
			wanted = l.cfg.Survive
		}
		w.wanted[b.Name] = wanted
		w.most = max(w.most, wanted)
	}
	w.wanted[""] = w.most // the metadata log survives what the data of every bucket does
	for f := range store.MaxSurvive + 1 {
		w.policies[f] = view.Policy(f)
	}
	l.walk = w
	l.cfg.Repair()
	return nil
}

func (l *Loop) end() {
	if l.walk.found > 0 {
		l.cfg.Log.Info("parts below their policy were queued for repair", "chunks", l.walk.found)
	}
	l.done, l.walk = l.walk.state, nil
}

// look returns the repairs that the part needs, and widens it where the members now allow what its policy requires.
func (l *Loop) look(ctx context.Context, view *cluster.View, p store.Part) ([]store.Task, error) {
	if enough(view, l.walk.policies[l.walk.most], p) {
		return nil, nil
	}
	_, f, err := l.cfg.Meta.Part(ctx, p.ID)
	if errors.Is(err, store.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	wanted, ok := l.walk.wanted[f.Bucket]
	if !ok {
		return nil, nil // its bucket was created after the walk started, so it has the current layout
	}
	policy := l.walk.policies[wanted]
	if m := policy.ParityOf(p.K); m > p.M {
		l.walk.found += m - p.M
		if err := l.cfg.Meta.WidenPart(ctx, p.ID, m); err != nil && !errors.Is(err, store.NotFound) {
			return nil, err
		}
		l.cfg.Repair()
	}
	return misplaced(view, policy, p), nil
}

// enough reports whether the part has all that the policy requires.
func enough(view *cluster.View, policy placement.Policy, p store.Part) bool {
	return p.M >= policy.ParityOf(p.K) && len(misplaced(view, policy, p)) == 0
}

// misplaced returns the repair of the part's holes, and of chunks beyond their node's share, if there are any.
func misplaced(view *cluster.View, policy placement.Policy, p store.Part) []store.Task {
	share, held, holes := policy.Share(len(p.Chunks)), map[store.NodeID]int{}, p.Missing()
	var beyond store.ChunkSet
	for i, c := range p.Chunks {
		held[c.Node]++
		if _, member := view.Member(c.Node); member && held[c.Node] > share {
			beyond |= store.NewChunkSet(i)
		}
	}
	if holes|beyond == 0 {
		return nil
	}
	reason := "it has chunks on no node"
	if holes == 0 {
		reason = "a node holds more than its share of it"
	}
	task := placement.Repair(p, holes, reason)
	task.Chunks |= beyond
	return []store.Task{task}
}

func (l *Loop) queue(ctx context.Context, tasks []store.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	if err := l.cfg.Meta.Enqueue(ctx, tasks); err != nil {
		return err
	}
	for _, t := range tasks {
		l.walk.found += len(t.Chunks.Indexes())
	}
	l.cfg.Repair()
	return nil
}
