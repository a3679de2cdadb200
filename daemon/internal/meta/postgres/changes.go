package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// numberedAtOnce bounds how many changes one transaction numbers.
const numberedAtOnce = 5000

// ChangesAfter implements store.Changes.
func (s *Store) ChangesAfter(ctx context.Context, after store.Revision, limit int) (store.ChangePage, error) {
	if err := store.ValidChanges(limit); err != nil {
		return store.ChangePage{}, err
	}
	const op = "ChangesAfter"
	page, err := s.numberedChanges(ctx, op, after, limit)
	if err != nil {
		return store.ChangePage{}, err
	}
	page, err = page.Checked(after)
	return page, db.Translate(ctx, op, err)
}

// ChangeHead implements store.Changes.
func (s *Store) ChangeHead(ctx context.Context) (store.Revision, error) {
	page, err := s.numberedChanges(ctx, "ChangeHead", math.MaxInt64, 1)
	return page.Head, err
}

// numberedChanges reads a page, once all changes that were committed before the call have numbers. Where they have, which is so
// whenever nothing happens, it is one read.
func (s *Store) numberedChanges(ctx context.Context, op string, after store.Revision, limit int) (store.ChangePage, error) {
	page, complete, err := s.readChanges(ctx, op, after, limit)
	if err != nil || complete {
		return page, err
	}
	if err := s.number(ctx, op); err != nil {
		return store.ChangePage{}, err
	}
	page, _, err = s.readChanges(ctx, op, after, limit)
	return page, err
}

// readChanges reads a page; complete: all changes that were committed have numbers.
func (s *Store) readChanges(ctx context.Context, op string, after store.Revision, limit int) (page store.ChangePage, complete bool, err error) {
	err = s.clients.Read(ctx, op, func(c *db.Conn) error {
		page = store.ChangePage{}
		rows, err := c.Query(ctx, s.q.ChangesAfter, int64(min(after, math.MaxInt64)), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var pending bool
			if rows.RawValues()[2] == nil { // there are no changes
				err = rows.Scan(&page.Head, &pending, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil)
			} else {
				var change store.ObjectChange
				change, err = scanChange(rows, &page.Head, &pending)
				page.Changes = append(page.Changes, change)
			}
			if err != nil {
				return err
			}
			complete = !pending
		}
		return rows.Err()
	})
	return page, complete, err
}

// scanChange reads a row of ChangesAfter.
func scanChange(rows pgx.Rows, head *store.Revision, pending *bool) (c store.ObjectChange, err error) {
	var key []byte
	var kind int16
	err = rows.Scan(head, pending, &c.Revision, &kind, (*string)(&c.Bucket), &key, (*[16]byte)(&c.File), &c.Seq, (*[16]byte)(&c.Latest),
		&c.Bytes, &c.Files, &c.Caller, &c.At)
	c.Kind, c.Key, c.At = store.ChangeKind(kind), store.Key(key), c.At.UTC()
	return c, err
}

// number gives numbers to all changes that were committed before the call.
func (s *Store) number(ctx context.Context, op string) error {
	for n := numberedAtOnce; n == numberedAtOnce; {
		err := s.clients.Write(ctx, op, func(c *db.Conn) error {
			b := &pgx.Batch{}
			b.Queue(s.q.LockChangeHead)
			b.Queue(s.q.NumberChanges, numberedAtOnce).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
			return db.Pipeline(ctx, c, b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// TrimChanges implements store.Changes. It gives numbers to new changes first.
func (s *Store) TrimChanges(ctx context.Context, keep store.Retention, limit int) (int, error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	const op = "TrimChanges"
	if _, err := s.numberedChanges(ctx, op, math.MaxInt64, 1); err != nil {
		return 0, err
	}
	var age *time.Duration
	if keep.Age > 0 {
		age = &keep.Age
	}
	trimmed, err := s.clients.Exec(ctx, op, s.q.TrimChanges, limit, age, int64(keep.Count))
	return int(trimmed), err
}

// Usage implements store.Buckets.
func (s *Store) Usage(ctx context.Context, name store.BucketName) (u store.Usage, err error) {
	err = s.clients.Read(ctx, "Usage", func(c *db.Conn) error {
		err := c.QueryRow(ctx, s.q.Usage, string(name)).Scan(&u.Bytes, &u.Files)
		if db.IsNoRows(err) {
			return store.ErrNoBucket(name)
		}
		return err
	})
	return u, err
}

// Usages implements store.Buckets.
func (s *Store) Usages(ctx context.Context) (all map[store.BucketName]store.Usage, err error) {
	err = s.clients.List(ctx, "Usages", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Usages)
		if err != nil {
			return err
		}
		all = map[store.BucketName]store.Usage{}
		var name string
		var u store.Usage
		_, err = pgx.ForEachRow(rows, []any{&name, &u.Bytes, &u.Files}, func() error {
			all[store.BucketName(name)] = u
			return nil
		})
		return err
	})
	return all, err
}
