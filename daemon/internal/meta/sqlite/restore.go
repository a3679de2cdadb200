package sqlite

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Restore implements store.MetadataLog.
func (s *Store) Restore(ctx context.Context, records []store.LogRecord) error {
	return s.write(ctx, "Restore", func(t *tx) error {
		for _, r := range records {
			if err := s.restore(t, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) restore(t *tx, r store.LogRecord) (err error) {
	switch r.Kind {
	case store.FileStored:
		return s.restoreFile(t, r.File)
	case store.FileMoved:
		return s.moveRestored(t, r.File)
	case store.FileShown:
		return s.showRestored(t, r.File)
	case store.KeyHidden:
		return s.hideKey(t, r.File)
	case store.FileRemoved:
		return s.eraseFile(t, r.File.ID)
	case store.BucketStored:
		_, err = t.exec(s.q.RestoreBucket, string(r.Bucket.Name), micros(r.Bucket.CreatedAt), r.Bucket.Survive)
	case store.BucketGone:
		var used bool
		if err = t.row(s.q.BucketHasFiles, string(r.Bucket.Name)).scan(&used); err == nil && !used {
			_, err = t.exec(s.q.EraseBucket, string(r.Bucket.Name))
		}
	}
	return err
}

func (s *Store) restoreFile(t *tx, f store.File) error {
	if err := s.eraseFile(t, f.ID); err != nil {
		return err
	}
	bucket, err := s.needBucket(t, f)
	if err != nil {
		return err
	}
	f.State = store.Complete
	return s.insert(t, bucket, f)
}

// needBucket returns the id of the file's bucket, which it creates if needed, and makes room for the file in its key.
func (s *Store) needBucket(t *tx, f store.File) (bucket int64, err error) {
	if _, err := t.exec(s.q.NeedBucket, string(f.Bucket), micros(f.CreatedAt), store.SurviveDefault); err != nil {
		return 0, err
	}
	if _, err := t.exec(s.q.SkipSeq, int64(f.Seq), string(f.Bucket)); err != nil {
		return 0, err
	}
	if bucket, _, err = s.bucketID(t, f.Bucket); err != nil || !f.Latest {
		return bucket, err
	}
	_, err = t.exec(s.q.HideOthers, bucket, []byte(f.Key), f.ID[:])
	return bucket, err
}

func (s *Store) moveRestored(t *tx, f store.File) error {
	was, err := s.bareFile(t, noFile(f.ID), s.q.File, f.ID[:])
	if err != nil {
		return ignoreMissing(err)
	}
	f.CreatedAt = was.CreatedAt
	bucket, err := s.needBucket(t, f)
	if err != nil {
		return err
	}
	_, err = t.exec(s.q.MoveRestored, bucket, []byte(f.Key), f.Latest, f.ChangedBy, int64(f.Seq), f.ID[:])
	return err
}

func (s *Store) showRestored(t *tx, f store.File) error {
	was, err := s.bareFile(t, noFile(f.ID), s.q.File, f.ID[:])
	if err != nil || was.Bucket != f.Bucket || was.Key != f.Key {
		return ignoreMissing(err)
	}
	was.Latest = true
	if _, err := s.needBucket(t, was); err != nil {
		return err
	}
	_, err = t.exec(s.q.Show, f.ID[:])
	return err
}

func (s *Store) hideKey(t *tx, of store.File) error {
	bucket, _, err := s.bucketID(t, of.Bucket)
	if err != nil {
		return ignoreMissing(err)
	}
	_, err = t.exec(s.q.HideOthers, bucket, []byte(of.Key), make([]byte, len(store.FileID{})))
	return err
}

func (s *Store) eraseFile(t *tx, id store.FileID) error {
	if _, err := s.takeParts(t, id); err != nil {
		return err
	}
	_, err := t.exec(s.q.RemoveFile, id[:])
	return err
}

func ignoreMissing(err error) error {
	if err != nil && store.KindOf(err) == store.NotFound {
		return nil
	}
	return err
}
