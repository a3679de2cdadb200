package sqlite

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// bucketOf returns the id of the bucket's row, for a change that does not change buckets. NotFound.
func (s *Store) bucketOf(t *db.Tx, name store.BucketName) (int64, error) {
	return t.BucketID(string(name), func() (int64, error) {
		id, _, err := s.FindBucket(t, name)
		return id, err
	})
}

// CreateBucket implements store.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	err := s.db.Write(ctx, "CreateBucket", func(t *db.Tx) error {
		if _, err := t.Exec(s.db.Q.CreateBucket, string(b.Name), db.Micros(s.db.Now()), b.Survive); err != nil {
			return err
		}
		id, _, err := s.FindBucket(t, b.Name)
		if err != nil {
			return err
		}
		return s.recordBucket(t, id, store.EventBucketMade, b.Name, caller)
	})
	if errors.Is(err, store.Exists) {
		return store.Errorf(store.Exists, "bucket %q exists already", b.Name)
	}
	return err
}

// Bucket implements store.Buckets.
func (s *Store) Bucket(ctx context.Context, name store.BucketName) (b store.Bucket, err error) {
	err = s.db.Read(ctx, "Bucket", func(r *db.Reader) (err error) {
		_, b, err = s.FindBucket(r, name)
		return err
	})
	return b, err
}

// ListBuckets implements store.Buckets.
func (s *Store) ListBuckets(ctx context.Context) (all []store.Bucket, err error) {
	err = s.db.List(ctx, "ListBuckets", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.ListBuckets)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
			var b store.Bucket
			var name string
			var created int64
			err := rows.Scan(&name, &created, &b.Survive)
			b.Name, b.CreatedAt = store.BucketName(name), db.FromMicros(created)
			all = append(all, b)
			return err
		})
	})
	return all, err
}

// UpdateBucket implements store.Buckets.
func (s *Store) UpdateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return s.db.Write(ctx, "UpdateBucket", func(t *db.Tx) error {
		id, _, err := s.FindBucket(t, b.Name)
		if err != nil {
			return err
		}
		if _, err := t.Exec(s.db.Q.UpdateBucket, b.Survive, id); err != nil {
			return err
		}
		return s.recordBucket(t, id, store.EventBucketSet, b.Name, caller)
	})
}

// DeleteBucket implements store.Buckets.
func (s *Store) DeleteBucket(ctx context.Context, name store.BucketName, caller string) error {
	return s.db.Write(ctx, "DeleteBucket", func(t *db.Tx) error {
		id, _, err := s.FindBucket(t, name)
		if err != nil {
			return err
		}
		var used bool
		if err := t.FlushCounts(); err != nil {
			return err
		}
		if err := t.Row(s.db.Q.BucketInUse, id).Scan(&used); err != nil {
			return err
		}
		if used {
			return store.Errorf(store.Conflict, "bucket %q is not empty", name).WithHint("Delete its files first, and complete or abort its uploads.")
		}
		if _, err := t.Exec(s.db.Q.DeleteFailed, db.Micros(s.db.Now()), id); err != nil {
			return err
		}
		if err := s.recordBucket(t, id, store.EventBucketGone, name, caller); err != nil {
			return err
		}
		return all(t, []call{{s.db.Q.DropDocuments, []any{id}}, {s.db.Q.DropBucket, []any{id}}})
	})
}
