package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// recordAdded records that the file was added to its key, as latest. It is counted already.
func (s *Store) recordAdded(t *db.Tx, bucket int64, kind store.ChangeKind, f store.File, caller string) error {
	return s.Record(t, bucket, store.ObjectChange{Kind: kind, Key: f.Key, File: f.ID, Seq: f.Seq, Latest: f.ID, Bytes: f.Size, Files: 1, Caller: caller})
}

// recordRemoved counts and records that the file was removed from its key, where heir becomes latest.
func (s *Store) recordRemoved(t *db.Tx, bucket int64, kind store.ChangeKind, f store.File, heir store.FileID, caller string) error {
	if _, err := t.Count(bucket, -f.Size, -1); err != nil {
		return err
	}
	return s.Record(t, bucket, store.ObjectChange{Kind: kind, Key: f.Key, File: f.ID, Latest: heir, Bytes: -f.Size, Files: -1, Caller: caller})
}

// recordBucket stores a change of the bucket itself, and its event.
func (s *Store) recordBucket(t *db.Tx, bucket int64, event string, name store.BucketName, caller string) error {
	if err := s.Record(t, bucket, store.ObjectChange{Kind: store.BucketChanged, Caller: caller}); err != nil {
		return err
	}
	_, err := s.Tell(t, eventof.Bucket(event, name, caller))
	return err
}

// ChangesAfter implements store.Changes.
func (s *Store) ChangesAfter(ctx context.Context, after store.Revision, limit int) (page store.ChangePage, err error) {
	if err := store.ValidChanges(limit); err != nil {
		return page, err
	}
	err = s.db.Read(ctx, "ChangesAfter", func(r *db.Reader) error {
		page = store.ChangePage{}
		if err := r.Row(s.db.Q.ChangeHead).Scan(&page.Head); err != nil {
			return err
		}
		rows, err := r.Query(s.db.Q.ChangesAfter, int64(min(after, math.MaxInt64)), limit)
		if err != nil {
			return err
		}
		if page.Changes, err = scanChanges(rows); err != nil {
			return err
		}
		page, err = page.Checked(after)
		return err
	})
	return page, err
}

func scanChanges(rows *sql.Rows) (changes []store.ObjectChange, err error) {
	err = db.Each(rows, func() error {
		var c store.ObjectChange
		var key, file, latest []byte
		var at int64
		err := rows.Scan(&c.Revision, &c.Kind, (*string)(&c.Bucket), &key, &file, &c.Seq, &latest, &c.Bytes, &c.Files, &c.Caller, &at)
		if err == nil {
			c.Key, c.File, c.Latest, c.At = store.Key(key), store.FileID(file), store.FileID(latest), db.FromMicros(at)
			changes = append(changes, c)
		}
		return err
	})
	return changes, err
}

// ChangeHead implements store.Changes.
func (s *Store) ChangeHead(ctx context.Context) (head store.Revision, err error) {
	err = s.db.Read(ctx, "ChangeHead", func(r *db.Reader) error { return r.Row(s.db.Q.ChangeHead).Scan(&head) })
	return head, err
}

// TrimChanges implements store.Changes.
func (s *Store) TrimChanges(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	const op = "TrimChanges"
	var upTo sql.NullInt64
	err = s.db.Read(ctx, op, func(r *db.Reader) error {
		var head, oldest, surplus int64
		if err := r.Row(s.db.Q.ChangeHead).Scan(&head); err != nil {
			return err
		}
		if keep.Age > 0 {
			oldest = db.Micros(s.db.Now().Add(-keep.Age))
		}
		if keep.Count > 0 {
			surplus = head - int64(keep.Count)
		}
		return r.Row(s.db.Q.DueChanges, limit, oldest, surplus).Scan(&upTo)
	})
	if err != nil || !upTo.Valid {
		return 0, err // no write, which would keep the log from being moved into the database
	}
	err = s.db.Write(ctx, op, func(t *db.Tx) error {
		n, err := t.Exec(s.db.Q.TrimChanges, upTo.Int64)
		trimmed = int(n)
		return err
	})
	return trimmed, err
}

// Usage implements store.Buckets.
func (s *Store) Usage(ctx context.Context, name store.BucketName) (u store.Usage, err error) {
	err = s.db.Read(ctx, "Usage", func(r *db.Reader) error {
		err := r.Row(s.db.Q.Usage, string(name)).Scan(&u.Bytes, &u.Files)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNoBucket(name)
		}
		return err
	})
	return u, err
}

// Usages implements store.Buckets.
func (s *Store) Usages(ctx context.Context) (all map[store.BucketName]store.Usage, err error) {
	all = map[store.BucketName]store.Usage{}
	err = s.db.List(ctx, "Usages", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.Usages)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
			var name string
			var u store.Usage
			err := rows.Scan(&name, &u.Bytes, &u.Files)
			all[store.BucketName(name)] = u
			return err
		})
	})
	return all, err
}
