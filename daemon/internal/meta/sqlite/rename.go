package sqlite

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// RenameFile implements store.Files.
func (s *Store) RenameFile(ctx context.Context, r store.Rename) (f store.File, previous store.FileID, err error) {
	err = s.db.Write(ctx, "RenameFile", func(t *db.Tx) error {
		if f, err = s.bareFile(t, noFile(r.File), s.db.Q.File, r.File[:]); err != nil {
			return err
		}
		to, err := s.bucketOf(t, r.Bucket)
		switch {
		case err != nil:
			return err
		case f.State == store.Deleted:
			return noFile(r.File)
		case !f.Latest || f.DeleteMarker:
			return store.Errorf(store.Conflict, "file %s is not the latest of its key", r.File)
		}
		if err := s.attempt(t, r.Attempt); err != nil {
			return err
		}
		if f.Bucket == r.Bucket && f.Key == r.Key {
			return r.If.Check(&f)
		}
		if f.Attributes.Lock.Ends().After(s.db.Now()) {
			return store.ErrLocked()
		}
		previous, err = s.move(t, &f, to, r)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	return f, previous, nil
}

// move makes the file latest under another key, and the newest complete file that is left latest under its old key. It sets the
// names of the file and its Seq.
func (s *Store) move(t *db.Tx, f *store.File, to int64, r store.Rename) (previous store.FileID, err error) {
	from, err := s.bucketOf(t, f.Bucket)
	if err != nil {
		return previous, err
	}
	if previous, err = s.replace(t, to, r.Key, r.Change); err != nil {
		return previous, err
	}
	was := *f
	f.Bucket, f.Key, f.ChangedBy = r.Bucket, r.Key, r.Caller
	if f.Seq, err = t.Count(to, f.Size, 1); err != nil {
		return previous, err
	}
	if _, err := t.Exec(s.db.Q.RenameFile, to, []byte(r.Key), r.Caller, int64(f.Seq), f.ID[:]); err != nil {
		return previous, err
	}
	heir, err := s.promote(t, from, string(was.Key))
	if err != nil {
		return previous, err
	}
	if err := s.recordRemoved(t, from, store.FileGone, was, heir, r.Caller); err != nil {
		return previous, err
	}
	return previous, s.recordAdded(t, to, store.FileRenamed, *f, r.Caller)
}
