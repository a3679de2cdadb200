package sqlite

import (
	"context"
	"math"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/meta/listing"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// File implements store.Files.
func (s *Store) File(ctx context.Context, id store.FileID) (store.File, error) {
	return s.wholeFile(ctx, "File", noFile(id), s.db.Q.File, id[:])
}

// LatestFile implements store.Files.
func (s *Store) LatestFile(ctx context.Context, bucket store.BucketName, key store.Key) (store.File, error) {
	return s.wholeFile(ctx, "LatestFile", noObject(bucket, key), s.db.Q.LatestFile, string(bucket), []byte(key))
}

// wholeFile reads a file with its first parts. Where it has one part at most, a single statement does.
func (s *Store) wholeFile(ctx context.Context, op string, none error, text string, args ...any) (f store.File, err error) {
	var more bool
	err = s.db.ReadOnce(ctx, op, func(r *db.Reader) (err error) {
		f, more, err = s.oneFile(r, none, text, args...)
		return err
	})
	if err == nil && more {
		err = s.db.Read(ctx, op, func(r *db.Reader) (err error) {
			if f, _, err = s.oneFile(r, none, text, args...); err == nil {
				f.Parts, err = s.partsPage(r, f.ID, 0)
			}
			return err
		})
	}
	if err != nil {
		return store.File{}, err
	}
	return f, nil
}

// oneFile reads a file with its first part. more: it has others.
func (s *Store) oneFile(a db.Asker, none error, text string, args ...any) (f store.File, more bool, err error) {
	rows, err := a.Query(text, args...)
	if err != nil {
		return f, false, err
	}
	n := 0
	err = db.Each(rows, func() (err error) {
		if n++; n == 1 {
			f, err = scan.FileAndPart(rows)
		}
		return err
	})
	if err == nil && n == 0 {
		err = none
	}
	return f, n > 1, err
}

// bareFile reads a file without its parts.
func (s *Store) bareFile(a db.Asker, none error, text string, args ...any) (store.File, error) {
	f, _, err := s.oneFile(a, none, text, args...)
	f.Parts = nil
	return f, err
}

func (s *Store) partsPage(r *db.Reader, id store.FileID, number int) ([]store.Part, error) {
	rows, err := r.Query(s.db.Q.PartsPage, id[:], number)
	if err != nil {
		return nil, err
	}
	return scan.Parts(rows)
}

// Parts implements store.FileReader.
func (s *Store) Parts(ctx context.Context, id store.FileID, number int) (parts []store.Part, err error) {
	err = s.db.Read(ctx, "Parts", func(r *db.Reader) (err error) {
		parts, err = s.partsPage(r, id, number)
		return err
	})
	return parts, err
}

// ListObjects implements store.Files.
func (s *Store) ListObjects(ctx context.Context, q store.ObjectQuery) (page store.ObjectPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = s.db.List(ctx, "ListObjects", func(r *db.Reader) error {
		bucket, _, err := s.FindBucket(r, q.Bucket)
		if err != nil {
			return err
		}
		page.Entries, err = s.entries(r, bucket, q)
		return err
	})
	if err != nil {
		return store.ObjectPage{}, err
	}
	if len(page.Entries) > q.Limit {
		page.Entries, page.More = page.Entries[:q.Limit], true
		page.Next = page.Entries[q.Limit-1].Name
	}
	return page, nil
}

// entries lists one entry more than the limit, if there is one. It reads along the
// index until it finds a common prefix, and then continues after that prefix's last key:
// the keys below a common prefix are not read.
func (s *Store) entries(r *db.Reader, bucket int64, q store.ObjectQuery) (all []store.Entry, err error) {
	from, to := listing.Range(q)
	for from != nil && len(all) <= q.Limit {
		if from, err = s.run(r, bucket, q, from, to, &all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// run reads from a key up to and including the next common prefix, and returns
// the key to continue from; nil at the end.
func (s *Store) run(r *db.Reader, bucket int64, q store.ObjectQuery, from, to []byte, all *[]store.Entry) (next []byte, err error) {
	rows, err := r.Query(s.db.Q.ListObjects, bucket, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for len(*all) <= q.Limit && rows.Next() {
		f, err := scan.Listed(rows, q.Bucket)
		if err != nil {
			return nil, err
		}
		if prefix, next, ok := listing.CommonPrefix(q, string(f.Key)); ok {
			*all = append(*all, store.Entry{Name: prefix})
			return next, rows.Close()
		}
		*all = append(*all, store.Entry{Name: string(f.Key), File: f})
	}
	return nil, rows.Err()
}

// ListFiles implements store.Files.
func (s *Store) ListFiles(ctx context.Context, q store.FileQuery) (page store.FilePage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	if q.State == 0 {
		q.State = store.Complete
	}
	err = s.db.List(ctx, "ListFiles", func(r *db.Reader) error {
		var bucket any // nil: any
		if q.Bucket != "" {
			id, _, err := s.FindBucket(r, q.Bucket)
			if err != nil {
				return err
			}
			bucket = id
		}
		files, err := s.listFiles(r, q, bucket)
		page = store.NewFilePage(files, q.Limit)
		return err
	})
	return page, err
}

// listFiles answers q with one file more than its limit.
func (s *Store) listFiles(r *db.Reader, q store.FileQuery, bucket any) ([]store.File, error) {
	text := s.db.Q.ListFiles
	if q.Bucket != "" {
		text = s.db.Q.ListFilesOfBucket
	}
	from, to, some := listing.KeyRange(q)
	if !some {
		return nil, nil
	}
	if from != nil {
		var n int
		if err := r.Row(s.db.Q.CountByKey, bucket, from, to, store.MaxSorted+1).Scan(&n); err != nil {
			return nil, err
		}
		if n > store.MaxSorted {
			return nil, q.TooMany()
		}
		text = s.db.Q.ListFilesByKey
	}
	after, id := afterFile(q)
	if q.Descending {
		text = newestFirst(text)
	}
	rows, err := r.Query(text, int64(q.State), bucket, from, to, after, id, q.Limit+1, q.Offset)
	if err != nil {
		return nil, err
	}
	return scan.Files(rows)
}

// newestFirst is the statement in the other order.
func newestFirst(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, " ASC", " DESC"), "> (?", "< (?")
}

// afterFile is the place after which the query lists, in its order.
func afterFile(q store.FileQuery) (createdAt int64, id []byte) {
	switch {
	case q.After != store.FileCursor{}:
		return db.Micros(q.After.CreatedAt), q.After.ID[:]
	case q.Descending:
		return math.MaxInt64, []byte{0xff}
	}
	return math.MinInt64, []byte{}
}
