package engine

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ListObjects lists the latest files of a bucket by key; see store.Files. Invalid, NotFound.
func (e *Engine) ListObjects(ctx context.Context, q store.ObjectQuery) (store.ObjectPage, error) {
	if err := q.Bucket.Validate(); err != nil {
		return store.ObjectPage{}, err
	}
	return e.meta.ListObjects(ctx, q)
}

// ListFiles lists files of one state by time of creation; see store.Files. Invalid, NotFound.
func (e *Engine) ListFiles(ctx context.Context, q store.FileQuery) (store.FilePage, error) {
	return e.meta.ListFiles(ctx, q)
}

// CreateBucket adds a bucket. The caller, here and below, is the client's access key, or "". Invalid, Exists.
func (e *Engine) CreateBucket(ctx context.Context, b store.Bucket, caller string) error {
	return e.meta.CreateBucket(ctx, b, caller)
}

// Bucket looks a bucket up. NotFound.
func (e *Engine) Bucket(ctx context.Context, name store.BucketName) (store.Bucket, error) {
	return e.meta.Bucket(ctx, name)
}

// ListBuckets returns all buckets by name.
func (e *Engine) ListBuckets(ctx context.Context) ([]store.Bucket, error) {
	return e.meta.ListBuckets(ctx)
}

// Usage returns what the complete files of a bucket take, exactly; see store.Buckets. NotFound.
func (e *Engine) Usage(ctx context.Context, name store.BucketName) (store.Usage, error) {
	return e.meta.Usage(ctx, name)
}

// Usages returns the usage of every bucket, in one query.
func (e *Engine) Usages(ctx context.Context) (map[store.BucketName]store.Usage, error) {
	return e.meta.Usages(ctx)
}

// UpdateBucket changes a bucket's policies. They apply to new data within a few seconds
// on every gateway. Invalid, NotFound.
func (e *Engine) UpdateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := e.meta.UpdateBucket(ctx, b, caller); err != nil {
		return err
	}
	e.buckets.Delete(b.Name)
	return nil
}

// DeleteBucket removes an empty bucket. NotFound, Conflict.
func (e *Engine) DeleteBucket(ctx context.Context, name store.BucketName, caller string) error {
	if err := e.meta.DeleteBucket(ctx, name, caller); err != nil {
		return err
	}
	e.buckets.Delete(name)
	return nil
}
