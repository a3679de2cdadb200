package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/listing"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// FailFile implements store.Files.
func (s *Store) FailFile(ctx context.Context, f store.File, reason string, attempted []store.Part) error {
	chunks := newChunkArrays()
	for _, p := range attempted {
		for i, c := range p.Chunks {
			chunks.add(p.ID, i, c.Node)
		}
	}
	return s.clients.Write(ctx, "FailFile", func(c *db.Conn) error {
		var state int16
		id := [16]byte(f.ID)
		b := &pgx.Batch{}
		b.Queue(s.q.FenceFile, id, string(f.Bucket), []byte(f.Key), f.Size, db.TimeOrNull(&f.CreatedAt), reason)
		b.Queue(s.q.FailFile, id, reason, chunks.parts, chunks.indexes, chunks.nodes)
		b.Queue(s.q.FileState, id).QueryRow(func(row pgx.Row) error { return row.Scan(&state) })
		err := db.Pipeline(ctx, c, b)
		if err == nil && store.FileState(state) == store.Complete {
			return store.Errorf(store.Conflict, "file %s is complete", f.ID)
		}
		return err
	})
}

// File implements store.Files.
func (s *Store) File(ctx context.Context, id store.FileID) (f store.File, err error) {
	err = s.clients.Read(ctx, "File", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.File, [16]byte(id))
		if err != nil {
			return err
		}
		f, err = scan.OneFile(rows)
		if db.IsNoRows(err) {
			return noFile(id)
		}
		return err
	})
	return f, err
}

// LatestFile implements store.Files.
func (s *Store) LatestFile(ctx context.Context, bucket store.BucketName, key store.Key) (f store.File, err error) {
	err = s.clients.Read(ctx, "LatestFile", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.LatestFile, string(bucket), []byte(key))
		if err != nil {
			return err
		}
		f, err = scan.OneFile(rows)
		if db.IsNoRows(err) {
			return noObject(bucket, key)
		}
		return err
	})
	return f, err
}

// Parts implements store.FileReader.
func (s *Store) Parts(ctx context.Context, id store.FileID, number int) (parts []store.Part, err error) {
	err = s.clients.Read(ctx, "Parts", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Parts, [16]byte(id), number)
		if err != nil {
			return err
		}
		parts, err = pgx.CollectRows(rows, scan.ReadPart)
		return err
	})
	return parts, err
}

func noObject(bucket store.BucketName, key store.Key) error {
	return store.Errorf(store.NotFound, "bucket %q has no object %q", bucket, key)
}

// ListFiles implements store.Files.
func (s *Store) ListFiles(ctx context.Context, q store.FileQuery) (page store.FilePage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	from, to, some := listing.KeyRange(q)
	err = s.clients.List(ctx, "ListFiles", func(c *db.Conn) error {
		var files []store.File
		known, matching := q.Bucket == "", 0
		b := &pgx.Batch{}
		b.Queue(s.q.Bucket, string(q.Bucket)).Query(func(rows pgx.Rows) error {
			known = known || rows.Next()
			rows.Close()
			return rows.Err()
		})
		if some && from != nil {
			b.Queue(s.q.CountByKey, bucketOrNull(q.Bucket), from, to, store.MaxSorted+1).
				QueryRow(func(row pgx.Row) error { return row.Scan(&matching) })
		}
		if some {
			sql, args := s.listFiles(q, from, to)
			b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
				files, err = scan.Files(rows)
				return err
			})
		}
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		switch {
		case !known:
			return store.ErrNoBucket(q.Bucket)
		case matching > store.MaxSorted:
			return q.TooMany()
		}
		page = store.NewFilePage(files, q.Limit)
		return nil
	})
	return page, err
}

// listFiles chooses the statement: by key where the query has a range of keys. It sorts at most as many files as CountByKey counts.
func (s *Store) listFiles(q store.FileQuery, from, to []byte) (sql string, args []any) {
	state := q.State
	if state == 0 {
		state = store.Complete
	}
	after, id := afterFile(q)
	args = []any{bucketOrNull(q.Bucket), int16(state), int64(q.Offset), int64(q.Limit) + 1, after, id}
	if from == nil {
		return choose(q.Descending, s.q.ListFilesByTimeDown, s.q.ListFilesByTime), args
	}
	return choose(q.Descending, s.q.ListFilesByKeyDown, s.q.ListFilesByKey), append(args, from, to)
}

func bucketOrNull(name store.BucketName) any {
	if name == "" {
		return nil
	}
	return string(name)
}

// afterFile is the place after which the query lists, in its order.
func afterFile(q store.FileQuery) (time.Time, [16]byte) {
	switch {
	case q.After != store.FileCursor{}:
		return q.After.CreatedAt, q.After.ID
	case q.Descending:
		return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), [16]byte{}
	}
	return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), [16]byte{}
}

func choose(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func noFile(id store.FileID) error {
	return store.Errorf(store.NotFound, "file %s does not exist", id)
}
