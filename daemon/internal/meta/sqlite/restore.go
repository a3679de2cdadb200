package sqlite

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
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

// call is a statement with its arguments.
type call struct {
	text string
	args []any
}

func (s *Store) restore(t *tx, r store.LogRecord) error {
	f, b := r.File, r.Bucket
	id, key, bucket := f.ID[:], []byte(f.Key), string(f.Bucket)
	shown := []call{{s.q.HideOthers, []any{bucket, key, id}}, {s.q.ShowRestored, []any{bucket, key, id}}}
	switch r.Kind {
	case store.FileStored:
		return s.restoreFile(t, f, shown)
	case store.FileMoved:
		moved := []call{
			{s.q.NeedBucketOf, []any{bucket, id, store.SurviveDefault}}, {s.q.CountFile, []any{id, -1}},
			{s.q.MoveRestored, []any{bucket, key, f.ChangedBy, int64(f.Seq), id}}, {s.q.CountFile, []any{id, 1}}, {s.q.SkipSeq, []any{int64(f.Seq), bucket}},
		}
		if f.Latest {
			moved = append(moved, shown...)
		}
		return t.all(moved)
	case store.FileShown:
		return t.all(shown)
	case store.KeyHidden:
		return t.all([]call{{s.q.HideKey, []any{bucket, key}}})
	case store.FileRemoved:
		return t.all(s.erasure(f.ID))
	case store.BucketStored:
		return t.all([]call{{s.q.RestoreBucket, []any{string(b.Name), micros(b.CreatedAt), b.Survive}}})
	case store.BucketGone:
		return t.all([]call{{s.q.EraseBucket, []any{string(b.Name)}}})
	}
	return nil
}

// restoreFile stores the file in place of what there is of its id. Where it is latest, it is shown last.
func (s *Store) restoreFile(t *tx, f store.File, shown []call) error {
	err := t.all(append(s.erasure(f.ID), call{s.q.NeedBucket, []any{string(f.Bucket), micros(f.CreatedAt), store.SurviveDefault}}))
	if err != nil {
		return err
	}
	bucket, _, err := s.bucketID(t, f.Bucket)
	if err != nil {
		return err
	}
	latest := f.Latest
	f.State, f.Latest = store.Complete, false
	if err := s.insert(t, bucket, f); err != nil {
		return err
	}
	after := []call{{s.q.SetMarks, []any{pack.Marks(store.MarksOf(f.Parts)), f.ID[:]}}, {s.q.CountFile, []any{f.ID[:], 1}}, {s.q.SkipSeq, []any{int64(f.Seq), string(f.Bucket)}}}
	if latest {
		after = append(after, shown...)
	}
	return t.all(after)
}

// erasure removes a file and its parts, without a trace.
func (s *Store) erasure(id store.FileID) []call {
	return []call{{s.q.CountFile, []any{id[:], -1}}, {s.q.EraseParts, []any{id[:]}}, {s.q.RemoveFile, []any{id[:]}}}
}

func (t *tx) all(calls []call) error {
	for _, c := range calls {
		if _, err := t.exec(c.text, c.args...); err != nil {
			return err
		}
	}
	return nil
}
