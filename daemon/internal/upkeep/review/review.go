// Package review checks, after each change of the membership, that every part has what its policy requires.
//
// A part can be below its policy because nodes were away when it was written (holes), because the cluster was too
// small for the policy, or because a repair had to place several of its chunks on one node. Reads find
// only damage and repair none of these. So when nodes have joined, left or returned, the job visits all parts once, throttled: it
// widens parts that have too few chunks, and queues holes and chunks beyond their node's share for repair. Chunks on
// nodes that are temporarily away are not lost and are left alone.
package review

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the job's name.
const Name = "review"

const batch = store.MaxListLimit

// Meta is what the job needs of the metadata store.
type Meta interface {
	Part(ctx context.Context, id store.PartID) (store.Part, store.File, error)
	PartsAfter(ctx context.Context, after store.PartID, limit int) ([]store.Part, error)
	WidenPart(ctx context.Context, id store.PartID, m int) error
	ListBuckets(ctx context.Context) ([]store.Bucket, error)
	Enqueue(ctx context.Context, tasks []store.Task) error
	Hasten(ctx context.Context, kind store.TaskKind) error
}

// Config is what the job is made of.
type Config struct {
	Meta    Meta
	Fleet   upkeep.Fleet
	Survive int          // node failures that data survives where its bucket does not say
	Repair  func()       // called after chunks were put on the repair queue; may be nil
	Log     *slog.Logger // default: slog.Default()
}

// Job is the upkeep job. Make it with New.
type Job struct {
	cfg  Config
	walk *walk  // in progress; nil: none
	done uint64 // signature of the membership for which a walk was completed
}

var _ upkeep.Job = (*Job)(nil)

// walk is one visit of all parts.
type walk struct {
	signature uint64
	after     store.PartID
	policies  map[int]placement.Policy // by the number of failures that must be survived
	wanted    map[store.BucketName]int
	most      int // the highest of them: a part that meets it meets the policy of every bucket
	found     int
}

// New makes the job.
func New(c Config) *Job {
	if c.Repair == nil {
		c.Repair = func() {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Job{cfg: c}
}

// Name implements upkeep.Job.
func (j *Job) Name() string { return Name }

// Pace implements upkeep.Job.
func (j *Job) Pace() upkeep.Pace { return upkeep.Pace{Every: 5 * time.Second, Throttle: 4} }

// Step checks a batch of parts, if the membership has changed since they were checked last.
func (j *Job) Step(ctx context.Context, _ uint64) (upkeep.Outcome, error) {
	view := j.cfg.Fleet.View()
	if now := signature(view); j.walk == nil && now == j.done {
		return upkeep.Outcome{State: upkeep.Idle}, nil
	} else if j.walk == nil || j.walk.signature != now {
		if err := j.begin(ctx, view, now); err != nil {
			return upkeep.Outcome{}, err
		}
	}
	parts, err := j.cfg.Meta.PartsAfter(ctx, j.walk.after, batch)
	if err != nil {
		return upkeep.Outcome{}, err
	}
	var tasks []store.Task
	for _, p := range parts {
		found, err := j.look(ctx, view, p)
		if err != nil {
			return upkeep.Outcome{}, err
		}
		tasks = append(tasks, found...)
	}
	if err := j.queue(ctx, tasks); err != nil {
		return upkeep.Outcome{}, err
	}
	if len(parts) < batch {
		j.end()
	} else {
		j.walk.after = parts[len(parts)-1].ID
	}
	return upkeep.Outcome{State: upkeep.Busy, Items: int64(len(tasks))}, nil
}

// signature changes with everything that could improve a part's placement: the members, and which of them take chunks.
func signature(v *cluster.View) uint64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, uint64(v.Epoch)+1)
	for _, m := range v.Members {
		if m.Writable() {
			h.Write(m.ID[:])
		}
	}
	return h.Sum64()
}

// begin starts a walk, and makes postponed repairs due at once.
func (j *Job) begin(ctx context.Context, view *cluster.View, now uint64) error {
	buckets, err := j.cfg.Meta.ListBuckets(ctx)
	if err != nil {
		return err
	}
	if err := j.cfg.Meta.Hasten(ctx, store.Repair); err != nil {
		return err
	}
	w := &walk{signature: now, policies: map[int]placement.Policy{}, wanted: map[store.BucketName]int{}, most: j.cfg.Survive}
	for _, b := range buckets {
		wanted := b.Survive
		if wanted == store.SurviveDefault {
			wanted = j.cfg.Survive
		}
		w.wanted[b.Name] = wanted
		w.most = max(w.most, wanted)
	}
	for f := range store.MaxSurvive + 1 {
		w.policies[f] = view.Policy(f)
	}
	j.walk = w
	j.cfg.Repair()
	return nil
}

func (j *Job) end() {
	if j.walk.found > 0 {
		j.cfg.Log.Info("parts below their policy were queued for repair", "chunks", j.walk.found)
	}
	j.done, j.walk = j.walk.signature, nil
}

// look returns the repairs that the part needs, and widens it where the members now allow what its policy requires.
func (j *Job) look(ctx context.Context, view *cluster.View, p store.Part) ([]store.Task, error) {
	if enough(view, j.walk.policies[j.walk.most], p) {
		return nil, nil
	}
	_, f, err := j.cfg.Meta.Part(ctx, p.ID)
	if errors.Is(err, store.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	wanted, ok := j.walk.wanted[f.Bucket]
	if !ok {
		return nil, nil // its bucket was created after the walk started, so it has the current layout
	}
	policy := j.walk.policies[wanted]
	if m := policy.ParityOf(p.K); m > p.M {
		j.walk.found += m - p.M
		if err := j.cfg.Meta.WidenPart(ctx, p.ID, m); err != nil && !errors.Is(err, store.NotFound) {
			return nil, err
		}
		j.cfg.Repair()
	}
	return misplaced(view, policy, p), nil
}

// enough reports whether the part has all that the policy requires.
func enough(view *cluster.View, policy placement.Policy, p store.Part) bool {
	return p.M >= policy.ParityOf(p.K) && len(misplaced(view, policy, p)) == 0
}

// misplaced returns the repairs of holes, and of chunks beyond their node's share.
func misplaced(view *cluster.View, policy placement.Policy, p store.Part) (tasks []store.Task) {
	share, held := policy.Share(len(p.Chunks)), map[store.NodeID]int{}
	for i, c := range p.Chunks {
		held[c.Node]++
		switch _, member := view.Member(c.Node); {
		case c.Node.IsZero():
			tasks = append(tasks, store.Task{Kind: store.Repair, Chunk: p.ChunkID(i), Reason: "it is on no node"})
		case member && held[c.Node] > share:
			tasks = append(tasks, store.Task{Kind: store.Repair, Chunk: p.ChunkID(i), Node: c.Node, Reason: "its node holds more than its share of the part"})
		}
	}
	return tasks
}

func (j *Job) queue(ctx context.Context, tasks []store.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	if err := j.cfg.Meta.Enqueue(ctx, tasks); err != nil {
		return err
	}
	j.walk.found += len(tasks)
	j.cfg.Repair()
	return nil
}
