package engine

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

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
	return e.fleet.View().Plan(wanted)
}
