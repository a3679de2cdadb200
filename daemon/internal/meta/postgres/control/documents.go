package control

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// SetDocument implements store.Documents. The bucket's row is locked first, so that no other change of its documents comes between.
func (s *Store) SetDocument(ctx context.Context, c store.DocumentChange) (stored attr.Document, err error) {
	if err := c.Validate(); err != nil {
		return stored, err
	}
	v := db.Values{"bucket": string(c.Bucket), "kind": string(c.Kind), "if": c.If}
	text := s.q.RemoveDocument
	if c.Body != nil {
		v["body"], text = c.Body, s.q.SetDocument
	}
	if v, err = v.WithEvent(eventof.Document(c)); err != nil {
		return stored, err
	}
	err = s.calls.Write(ctx, "SetDocument", func(on *db.Conn) error {
		var there, done bool
		b := &pgx.Batch{}
		b.Queue(s.q.LockBucket, string(c.Bucket)).Exec(func(tag pgconn.CommandTag) error {
			there = tag.RowsAffected() > 0
			return nil
		})
		b.Queue(text, s.q.Args(text, v)...).Query(func(rows pgx.Rows) (err error) {
			stored, err = pgx.CollectExactlyOneRow(rows, scanDocument)
			if done = err == nil; errors.Is(err, pgx.ErrNoRows) {
				err = nil
			}
			return err
		})
		if err := db.Pipeline(ctx, on, b); err != nil {
			return err
		}
		switch {
		case !there:
			return store.ErrNoBucket(c.Bucket)
		case !done:
			return c.Refused()
		}
		return nil
	})
	if err != nil || c.Body == nil {
		return attr.Document{}, err
	}
	return stored, nil
}

// Documents implements store.Documents.
func (s *Store) Documents(ctx context.Context, bucket store.BucketName) (all []attr.Document, err error) {
	err = s.calls.Read(ctx, "Documents", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Documents, string(bucket))
		if err != nil {
			return err
		}
		if all, err = pgx.CollectRows(rows, scanDocument); err == nil && len(all) == 0 {
			return store.ErrNoBucket(bucket)
		}
		all = slices.DeleteFunc(all, func(d attr.Document) bool { return d.Kind == "" }) // the row of a bucket without documents
		slices.SortFunc(all, func(a, b attr.Document) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
		return err
	})
	return all, err
}

func scanDocument(row pgx.CollectableRow) (d attr.Document, err error) {
	var revision int64
	err = row.Scan((*string)(&d.Kind), &revision, &d.Body)
	d.Revision = uint64(revision)
	return d, err
}
