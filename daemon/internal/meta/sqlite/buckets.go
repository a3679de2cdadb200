package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// asker is a reader or a tx.
type asker interface {
	query(text string, args ...any) (*sql.Rows, error)
	row(text string, args ...any) rowScanner
}

// bucketID returns a bucket and the id of its row. NotFound.
func (s *Store) bucketID(a asker, name store.BucketName) (id int64, b store.Bucket, err error) {
	var created int64
	b.Name = name
	err = a.row(s.q.Bucket, string(name)).scan(&id, &created, &b.Survive)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, b, noBucket(name)
	}
	b.CreatedAt = fromMicros(created)
	return id, b, err
}

// CreateBucket implements store.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	err := s.write(ctx, "CreateBucket", func(t *tx) error {
		if _, err := t.exec(s.q.CreateBucket, string(b.Name), micros(s.now()), b.Survive); err != nil {
			return err
		}
		id, _, err := s.bucketID(t, b.Name)
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
	err = s.read(ctx, "Bucket", func(r *reader) (err error) {
		_, b, err = s.bucketID(r, name)
		return err
	})
	return b, err
}

// ListBuckets implements store.Buckets.
func (s *Store) ListBuckets(ctx context.Context) (all []store.Bucket, err error) {
	err = s.read(ctx, "ListBuckets", func(r *reader) error {
		rows, err := r.query(s.q.ListBuckets)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var b store.Bucket
			var name string
			var created int64
			err := rows.Scan(&name, &created, &b.Survive)
			b.Name, b.CreatedAt = store.BucketName(name), fromMicros(created)
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
	return s.write(ctx, "UpdateBucket", func(t *tx) error {
		id, _, err := s.bucketID(t, b.Name)
		if err != nil {
			return err
		}
		if _, err := t.exec(s.q.UpdateBucket, b.Survive, id); err != nil {
			return err
		}
		return s.recordBucket(t, id, store.EventBucketSet, b.Name, caller)
	})
}

// DeleteBucket implements store.Buckets.
func (s *Store) DeleteBucket(ctx context.Context, name store.BucketName, caller string) error {
	return s.write(ctx, "DeleteBucket", func(t *tx) error {
		id, _, err := s.bucketID(t, name)
		if err != nil {
			return err
		}
		var used bool
		if err := t.row(s.q.BucketInUse, id).scan(&used); err != nil {
			return err
		}
		if used {
			return store.Errorf(store.Conflict, "bucket %q is not empty", name).WithHint("Delete its files first, and complete or abort its uploads.")
		}
		if _, err := t.exec(s.q.DeleteFailed, micros(s.now()), id); err != nil {
			return err
		}
		if err := s.recordBucket(t, id, store.EventBucketGone, name, caller); err != nil {
			return err
		}
		_, err = t.exec(s.q.DropBucket, id)
		return err
	})
}
