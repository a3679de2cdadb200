package sqlite

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/logrule"
)

// AdoptCluster implements store.MetadataLog.
func (s *Store) AdoptCluster(ctx context.Context, id store.ClusterID) error {
	return s.db.Write(ctx, "AdoptCluster", func(t *db.Tx) error {
		changed, err := t.Exec(s.db.Q.AdoptCluster, id[:])
		if err == nil && changed == 0 {
			return logrule.ErrOtherCluster(id)
		}
		return err
	})
}

// Restore implements store.MetadataLog.
func (s *Store) Restore(ctx context.Context, records []store.LogRecord) error {
	return s.db.Write(ctx, "Restore", func(t *db.Tx) error {
		if err := t.FlushCounts(); err != nil {
			return err
		}
		for _, r := range records {
			if err := s.restore(t, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// call is a statement with its arguments.
type call struct {
	text string
	args []any
}

func (s *Store) restore(t *db.Tx, r store.LogRecord) error {
	f, b := r.File, r.Bucket
	id, key, bucket := f.ID[:], []byte(f.Key), string(f.Bucket)
	shown := []call{{s.db.Q.HideOthers, []any{bucket, key, id}}, {s.db.Q.ShowRestored, []any{bucket, key, id}}}
	switch r.Kind {
	case store.FileStored:
		return s.restoreFile(t, f, shown)
	case store.FileMoved:
		moved := []call{
			{s.db.Q.NeedBucketOf, []any{bucket, id, store.SurviveDefault}},
			{s.db.Q.CountFile, []any{id, -1}},
			{s.db.Q.MoveRestored, []any{bucket, key, f.ChangedBy, int64(f.Seq), id}},
			{s.db.Q.CountFile, []any{id, 1}},
			{s.db.Q.SkipSeq, []any{int64(f.Seq), bucket}},
		}
		if f.Latest {
			moved = append(moved, shown...)
		}
		return all(t, moved)
	case store.FileShown:
		return all(t, shown)
	case store.AttributesSet:
		f.State = store.Complete
		return all(t, []call{{s.db.Q.SetAttributes, []any{pack.Attributes(f.Attributes), lockOf(f), id}}})
	case store.KeyHidden:
		return all(t, []call{{s.db.Q.HideKey, []any{bucket, key}}})
	case store.FileRemoved:
		return all(t, s.erasure(f.ID))
	case store.BucketStored:
		return s.restoreBucket(t, r)
	case store.BucketGone:
		return all(t, []call{{s.db.Q.EraseDocuments, []any{string(b.Name)}}, {s.db.Q.EraseBucket, []any{string(b.Name)}}})
	}
	return nil
}

// restoreBucket stores the bucket and its documents in place of what there is of its name.
func (s *Store) restoreBucket(t *db.Tx, r store.LogRecord) error {
	name := string(r.Bucket.Name)
	err := all(t, []call{{s.db.Q.RestoreBucket, []any{name, db.Micros(r.Bucket.CreatedAt), r.Bucket.Survive}}, {s.db.Q.EraseDocuments, []any{name}}})
	if err != nil {
		return err
	}
	id, _, err := s.FindBucket(t, r.Bucket.Name)
	for _, d := range r.Documents {
		if err == nil {
			err = s.StoreDocument(t, id, d)
		}
	}
	return err
}

// restoreFile stores the file in place of what there is of its id. Where it is latest, it is shown last.
func (s *Store) restoreFile(t *db.Tx, f store.File, shown []call) error {
	err := all(t, append(s.erasure(f.ID), call{s.db.Q.NeedBucket, []any{string(f.Bucket), db.Micros(f.CreatedAt), store.SurviveDefault}}))
	if err != nil {
		return err
	}
	bucket, _, err := s.FindBucket(t, f.Bucket)
	if err != nil {
		return err
	}
	latest := f.Latest
	f.State, f.Latest = store.Complete, false
	if err := s.insert(t, bucket, f); err != nil {
		return err
	}
	after := []call{{s.db.Q.SetMarks, []any{pack.Marks(store.MarksOf(f.Parts)), f.ID[:]}}, {s.db.Q.CountFile, []any{f.ID[:], 1}}, {s.db.Q.SkipSeq, []any{int64(f.Seq), string(f.Bucket)}}}
	if latest {
		after = append(after, shown...)
	}
	return all(t, after)
}

// erasure removes a file and its parts, without a trace.
func (s *Store) erasure(id store.FileID) []call {
	return []call{{s.db.Q.CountFile, []any{id[:], -1}}, {s.db.Q.EraseParts, []any{id[:]}}, {s.db.Q.RemoveFile, []any{id[:]}}}
}

// all runs the calls, up to the first that fails.
func all(t *db.Tx, calls []call) error {
	for _, c := range calls {
		if _, err := t.Exec(c.text, c.args...); err != nil {
			return err
		}
	}
	return nil
}
