package sqlite

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// RenameFile implements store.Files.
func (s *Store) RenameFile(ctx context.Context, id store.FileID, bucket store.BucketName, key store.Key, attempt store.AttemptID) (f store.File, replaced store.FileID, err error) {
	err = s.write(ctx, "RenameFile", func(t *tx) error {
		if f, err = s.bareFile(t, noFile(id), s.q.File, id[:]); err != nil {
			return err
		}
		to, _, err := s.bucketID(t, bucket)
		switch {
		case err != nil:
			return err
		case f.State == store.Deleted:
			return noFile(id)
		case !f.Latest || f.DeleteMarker:
			return store.Errorf(store.Conflict, "file %s is not what its key shows", id)
		}
		if err := s.attempt(t, attempt); err != nil {
			return err
		}
		if f.Bucket == bucket && f.Key == key {
			return nil
		}
		replaced, err = s.move(t, f, to, key)
		f.Bucket, f.Key = bucket, key
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	return f, replaced, nil
}

// move makes the file latest under another key, and the newest complete file that is left latest under its old key.
func (s *Store) move(t *tx, f store.File, to int64, key store.Key) (replaced store.FileID, err error) {
	from, _, err := s.bucketID(t, f.Bucket)
	if err != nil {
		return replaced, err
	}
	if replaced, err = s.replace(t, to, key); err != nil {
		return replaced, err
	}
	if _, err := t.exec(s.q.RenameFile, to, []byte(key), f.ID[:]); err != nil {
		return replaced, err
	}
	return replaced, s.promote(t, from, string(f.Key))
}
