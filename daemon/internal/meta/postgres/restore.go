package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/logrule"
)

// AdoptCluster implements store.MetadataLog.
func (s *Store) AdoptCluster(ctx context.Context, id store.ClusterID) error {
	changed, err := s.clients.Exec(ctx, "AdoptCluster", s.q.AdoptCluster, [16]byte(id))
	if err == nil && changed == 0 {
		return logrule.ErrOtherCluster(id)
	}
	return err
}

// Restore implements store.MetadataLog.
func (s *Store) Restore(ctx context.Context, records []store.LogRecord) error {
	return s.clients.Write(ctx, "Restore", func(c *db.Conn) error {
		b := &pgx.Batch{}
		var seq uint64
		for _, r := range records {
			seq = max(seq, r.File.Seq)
			if err := s.restore(b, r); err != nil {
				return err
			}
		}
		b.Queue(s.q.SkipSeq, int64(seq))
		return db.Pipeline(ctx, c, b)
	})
}

// restore adds the statements of a record to the batch.
func (s *Store) restore(b *pgx.Batch, r store.LogRecord) error {
	switch f := r.File; r.Kind {
	case store.FileStored:
		return s.restoreFile(b, f)
	case store.FileMoved:
		b.Queue(s.q.NeedBucketOfFile, string(f.Bucket), [16]byte(f.ID), int16(store.SurviveDefault))
		if f.Latest {
			b.Queue(s.q.HideOthersOfMoved, string(f.Bucket), []byte(f.Key), [16]byte(f.ID))
		}
		b.Queue(s.q.CountFile, [16]byte(f.ID), -1)
		b.Queue(s.q.MoveRestored, string(f.Bucket), []byte(f.Key), [16]byte(f.ID), f.Latest, f.ChangedBy, int64(f.Seq))
		b.Queue(s.q.CountFile, [16]byte(f.ID), 1)
	case store.FileShown:
		b.Queue(s.q.HideOthersOfShown, string(f.Bucket), []byte(f.Key), [16]byte(f.ID))
		b.Queue(s.q.ShowRestored, string(f.Bucket), []byte(f.Key), [16]byte(f.ID))
	case store.AttributesSet:
		until := f.Attributes.Lock.Ends()
		b.Queue(s.q.RestoreAttributes, [16]byte(f.ID), pack.Attributes(f.Attributes), db.TimeOrNull(&until))
	case store.KeyHidden:
		b.Queue(s.q.HideOthers, string(f.Bucket), []byte(f.Key), [16]byte{})
	case store.FileRemoved:
		s.eraseFile(b, f.ID)
	case store.BucketStored:
		b.Queue(s.q.RestoreBucket, string(r.Bucket.Name), r.Bucket.CreatedAt, int16(r.Bucket.Survive))
		b.Queue(s.q.EraseDocuments, string(r.Bucket.Name))
		for _, d := range r.Documents {
			b.Queue(s.q.RestoreDocument, string(r.Bucket.Name), string(d.Kind), int64(d.Revision), d.Body)
		}
	case store.BucketGone:
		b.Queue(s.q.EraseUsage, string(r.Bucket.Name))
		b.Queue(s.q.EraseDocuments, string(r.Bucket.Name))
		b.Queue(s.q.EraseBucket, string(r.Bucket.Name))
	}
	return nil
}

func (s *Store) restoreFile(b *pgx.Batch, f store.File) error {
	row, err := newFileRow(f, store.Change{Caller: f.ChangedBy})
	if err != nil {
		return err
	}
	s.eraseFile(b, f.ID)
	b.Queue(s.q.NeedBucket, string(f.Bucket), f.CreatedAt, int16(store.SurviveDefault))
	if f.Latest {
		b.Queue(s.q.HideOthers, string(f.Bucket), []byte(f.Key), [16]byte(f.ID))
	}
	v := fileValues(&row)
	v["latest"], v["completed"], v["seq"] = f.Latest, db.TimeOrNull(&f.CompletedAt), int64(f.Seq)
	b.Queue(s.q.RestoreFile, s.q.Args(s.q.RestoreFile, v)...)
	s.setMarks(b, &row, store.Complete)
	b.Queue(s.q.CountFile, [16]byte(f.ID), 1)
	if len(f.Parts) > 0 {
		b.Queue(s.q.RestoreParts, s.q.Args(s.q.RestoreParts, newPartArrays([]*fileRow{&row}).addTo(db.Values{}))...)
	}
	return nil
}

func (s *Store) eraseFile(b *pgx.Batch, id store.FileID) {
	b.Queue(s.q.CountFile, [16]byte(id), -1)
	b.Queue(s.q.EraseParts, [16]byte(id))
	b.Queue(s.q.EraseFile, [16]byte(id))
}
