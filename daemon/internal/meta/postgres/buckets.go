package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// CreateBucket implements store.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	v, err := bucketValues(store.EventBucketMade, b, caller)
	if err != nil {
		return err
	}
	_, err = s.clients.Exec(ctx, "CreateBucket", s.q.CreateBucket, s.q.Args(s.q.CreateBucket, v)...)
	return err
}

// bucketValues are the values of a statement that changes a bucket, and of its event.
func bucketValues(event string, b store.Bucket, caller string) (db.Values, error) {
	return db.Values{"name": string(b.Name), "survive": b.Survive}.WithEvent(eventof.Bucket(event, b.Name, caller))
}

// Bucket implements store.Buckets.
func (s *Store) Bucket(ctx context.Context, name store.BucketName) (b store.Bucket, err error) {
	err = s.clients.Read(ctx, "Bucket", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Bucket, string(name))
		if err != nil {
			return err
		}
		b, err = pgx.CollectExactlyOneRow(rows, scanBucket)
		if db.IsNoRows(err) {
			return store.ErrNoBucket(name)
		}
		return err
	})
	return b, err
}

// ListBuckets implements store.Buckets.
func (s *Store) ListBuckets(ctx context.Context) (all []store.Bucket, err error) {
	err = s.clients.List(ctx, "ListBuckets", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.ListBuckets)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanBucket)
		slices.SortFunc(all, func(a, b store.Bucket) int { return cmp.Compare(a.Name, b.Name) }) // the database's collation may differ
		return err
	})
	return all, err
}

// UpdateBucket implements store.Buckets.
func (s *Store) UpdateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	v, err := bucketValues(store.EventBucketSet, b, caller)
	if err != nil {
		return err
	}
	changed, err := s.clients.Exec(ctx, "UpdateBucket", s.q.UpdateBucket, s.q.Args(s.q.UpdateBucket, v)...)
	if err == nil && changed == 0 {
		return store.ErrNoBucket(b.Name)
	}
	return err
}

// DeleteBucket implements store.Buckets.
func (s *Store) DeleteBucket(ctx context.Context, name store.BucketName, caller string) error {
	v, err := bucketValues(store.EventBucketGone, store.Bucket{Name: name}, caller)
	if err != nil {
		return err
	}
	return s.clients.Write(ctx, "DeleteBucket", func(c *db.Conn) error {
		var there, kept bool
		b := &pgx.Batch{}
		b.Queue(s.q.ClaimBucket, string(name)).Exec(func(tag commandTag) error {
			there = tag.RowsAffected() > 0
			return nil
		})
		b.Queue(s.q.DropBucket, s.q.Args(s.q.DropBucket, v)...)
		b.Queue(s.q.KeepBucket, string(name)).Exec(func(tag commandTag) error {
			kept = tag.RowsAffected() > 0
			return nil
		})
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		switch {
		case !there:
			return store.ErrNoBucket(name)
		case kept:
			return store.Errorf(store.Conflict, "bucket %q is not empty", name).WithHint("Delete its files and end its uploads first.")
		}
		return nil
	})
}

func scanBucket(row pgx.CollectableRow) (b store.Bucket, err error) {
	err = row.Scan((*string)(&b.Name), &b.CreatedAt, &b.Survive)
	b.CreatedAt = b.CreatedAt.UTC()
	return b, err
}
