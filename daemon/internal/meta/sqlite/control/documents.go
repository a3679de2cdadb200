package control

import (
	"bytes"
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// FindBucket returns a bucket and the id of its row. NotFound.
func (s *Store) FindBucket(a db.Asker, name store.BucketName) (id int64, b store.Bucket, err error) {
	var created int64
	b.Name = name
	err = a.Row(s.db.Q.Bucket, string(name)).Scan(&id, &created, &b.Survive)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, b, store.ErrNoBucket(name)
	}
	b.CreatedAt = db.FromMicros(created)
	return id, b, err
}

// Record stores a change in the bucket of that id. The store sets Revision, Bucket and At.
func (s *Store) Record(t *db.Tx, bucket int64, c store.ObjectChange) error {
	_, err := t.Exec(s.db.Q.Record, int64(c.Kind), bucket, []byte(c.Key), c.File[:], int64(c.Seq), c.Latest[:], c.Bytes, c.Files, c.Caller, db.Micros(s.db.Now()))
	return err
}

// SetDocument implements store.Documents.
func (s *Store) SetDocument(ctx context.Context, c store.DocumentChange) (stored attr.Document, err error) {
	if err := c.Validate(); err != nil {
		return stored, err
	}
	err = s.db.Write(ctx, "SetDocument", func(t *db.Tx) error {
		id, _, err := s.FindBucket(t, c.Bucket)
		if err != nil {
			return err
		}
		var revision uint64
		if err := t.Row(s.db.Q.DocumentRevision, id, string(c.Kind)).Scan(&revision); err != nil {
			return err
		}
		if c.If != nil && *c.If != revision || c.If == nil && c.Body == nil && revision == 0 {
			return c.Refused()
		}
		if err := s.Record(t, id, store.ObjectChange{Kind: store.BucketChanged, Caller: c.Caller}); err != nil {
			return err
		}
		if _, err := s.Tell(t, eventof.Document(c)); err != nil {
			return err
		}
		if c.Body == nil {
			_, err = t.Exec(s.db.Q.RemoveDocument, id, string(c.Kind))
			return err
		}
		stored = attr.Document{Kind: c.Kind, Revision: attr.NextRevision(revision, s.db.Now()), Body: bytes.Clone(c.Body)}
		return s.StoreDocument(t, id, stored)
	})
	if err != nil {
		return attr.Document{}, err
	}
	return stored, nil
}

// StoreDocument stores a document as it is.
func (s *Store) StoreDocument(t *db.Tx, bucket int64, d attr.Document) error {
	_, err := t.Exec(s.db.Q.SetDocument, bucket, string(d.Kind), int64(d.Revision), d.Body)
	return err
}

// Documents implements store.Documents.
func (s *Store) Documents(ctx context.Context, bucket store.BucketName) (all []attr.Document, err error) {
	err = s.db.Read(ctx, "Documents", func(r *db.Reader) error {
		all = nil
		id, _, err := s.FindBucket(r, bucket)
		if err != nil {
			return err
		}
		rows, err := r.Query(s.db.Q.Documents, id)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
			var d attr.Document
			err := rows.Scan((*string)(&d.Kind), &d.Revision, &d.Body)
			all = append(all, d)
			return err
		})
	})
	return all, err
}
