package logwriter

import (
	"context"
	"errors"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// mostPages bounds the changes of a tail segment, and so the memory of a step: to so many pages of them.
const mostPages = 4

// read returns the changes after the last logged one, with the rows that they name. more: others follow. Where they do, the
// changes end where they can be recorded on their own. NotFound when changes are missing.
func (l *Loop) read(ctx context.Context) (changes []store.ObjectChange, rows metalog.Rows, more bool, err error) {
	rows = metalog.Rows{Files: map[store.FileID]store.File{}, Buckets: map[store.BucketName]store.LogRecord{}}
	after, parts := l.logged, 0
	for range mostPages {
		page, err := l.cfg.Meta.ChangesAfter(ctx, after, store.MaxListLimit)
		if err != nil {
			return nil, rows, false, err
		}
		if len(page.Changes) == 0 {
			return changes, rows, false, nil
		}
		changes = append(changes, page.Changes...)
		n, err := l.readRows(ctx, page.Changes, rows)
		if err != nil {
			return nil, rows, false, err
		}
		after, parts = page.Changes[len(page.Changes)-1].Revision, parts+n
		if after >= page.Head {
			return changes, rows, false, nil
		}
		if parts > store.BatchParts {
			break
		}
	}
	return changes[:metalog.CompletePrefix(changes, rows)], rows, true, nil
}

// readRows adds the rows that the changes name, and returns how many parts they have.
func (l *Loop) readRows(ctx context.Context, changes []store.ObjectChange, rows metalog.Rows) (parts int, err error) {
	ids, names := metalog.Needed(changes)
	for _, name := range names {
		b, err := l.cfg.Meta.Bucket(ctx, name)
		if err == nil {
			rows.Buckets[name], err = l.bucket(ctx, b)
		}
		if errors.Is(err, store.NotFound) {
			rows.Buckets[name], err = store.LogRecord{Kind: store.BucketGone, Bucket: store.Bucket{Name: name}}, nil
		}
		if err != nil {
			return 0, err
		}
	}
	slices.SortFunc(ids, compareIDs)
	for len(ids) > 0 {
		batch, err := l.cfg.Meta.FilesByID(ctx, ids)
		if err != nil {
			return 0, err
		}
		for _, f := range batch.Files {
			rows.Files[f.ID] = f
			parts += len(f.Parts)
		}
		if !batch.More {
			return parts, nil
		}
		last := batch.Files[len(batch.Files)-1].ID
		ids = slices.DeleteFunc(ids, func(id store.FileID) bool { return compareIDs(id, last) <= 0 })
	}
	return parts, nil
}

func compareIDs(a, b store.FileID) int { return slices.Compare(a[:], b[:]) }

// writeTail stores the changes as a segment, or as many of the first as fit into one. The first segment of a log has all buckets, because the
// default bucket is there before any change.
func (l *Loop) writeTail(ctx context.Context, changes []store.ObjectChange, rows metalog.Rows, out *upkeep.Outcome) error {
	records, missing := metalog.Derive(changes, rows)
	if l.logged == 0 {
		buckets, err := l.buckets(ctx)
		if err != nil {
			return err
		}
		records = append(buckets, records...)
	}
	last := changes[len(changes)-1].Revision
	done, err := l.store(ctx, segment{kind: store.TailSegment, first: l.logged, last: last, records: records})
	if errors.Is(err, errTooLarge) && len(changes) > 1 {
		l.looked = l.looked.Add(-l.cfg.Every) // the rest follows at once
		return l.writeTail(ctx, changes[:metalog.CompletePrefix(changes[:len(changes)/2], rows)], rows, out)
	}
	if err != nil {
		return err
	}
	if missing > 0 {
		l.cfg.Log.Info("files were removed before they were logged", "files", missing)
	}
	l.logged = last
	out.Items += int64(len(changes))
	out.Bytes += done.Part.Size
	return nil
}

func (l *Loop) buckets(ctx context.Context) (records []store.LogRecord, err error) {
	all, err := l.cfg.Meta.ListBuckets(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		r, err := l.bucket(ctx, b)
		if errors.Is(err, store.NotFound) {
			continue // its deletion is a change that follows
		}
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// bucket returns the record of a bucket with its documents. NotFound.
func (l *Loop) bucket(ctx context.Context, b store.Bucket) (r store.LogRecord, err error) {
	r = store.LogRecord{Kind: store.BucketStored, Bucket: b}
	r.Documents, err = l.cfg.Meta.Documents(ctx, b.Name)
	return r, err
}
