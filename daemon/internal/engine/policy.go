package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// planner caches the plans for the current view, one for each number of failures,
// so that a small put does not visit all nodes.
type planner struct {
	now atomic.Pointer[planSet]
}

type planSet struct {
	view  *cluster.View
	plans [store.MaxSurvive + 1]atomic.Pointer[placement.Plan]
}

// get returns the plan for the view. Errors: those of placement.NewPlan.
func (p *planner) get(v *cluster.View, wanted int) (*placement.Plan, error) {
	set := p.now.Load()
	if set == nil || set.view != v {
		set = &planSet{view: v}
		p.now.Store(set)
	}
	if made := set.plans[wanted].Load(); made != nil {
		return made, nil
	}
	made, err := v.Plan(wanted)
	if err != nil {
		return nil, err
	}
	set.plans[wanted].Store(made)
	return made, nil
}

// bucketTTL is how long a bucket's policy is cached. CommitFile itself checks whether
// the bucket still exists.
const bucketTTL = 2 * time.Second

type cachedBucket struct {
	bucket store.Bucket
	at     time.Time
}

func (e *Engine) bucket(ctx context.Context, name store.BucketName) (store.Bucket, error) {
	if c, ok := e.buckets.Load(name); ok && time.Since(c.(cachedBucket).at) < bucketTTL {
		return c.(cachedBucket).bucket, nil
	}
	b, err := e.meta.Bucket(ctx, name)
	if err != nil {
		e.buckets.Delete(name)
		return store.Bucket{}, err
	}
	e.buckets.Store(name, cachedBucket{b, time.Now()})
	return b, nil
}

// planFor returns the layout of new data in the bucket. NotFound, and the errors of placement.NewPlan.
func (e *Engine) planFor(ctx context.Context, name store.BucketName) (*placement.Plan, error) {
	b, err := e.bucket(ctx, name)
	if err != nil {
		return nil, err
	}
	wanted := b.Survive
	if wanted == store.SurviveDefault {
		wanted = e.cfg.Survive
	}
	return e.plans.get(e.fleet.View(), wanted)
}
