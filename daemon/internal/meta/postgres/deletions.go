package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// removal is what became of one deletion of a group.
type removal int

const (
	missing  removal = iota // there is no such file or object
	noBucket                // of that name
	removed                 // the file is Deleted
	alone                   // nothing was changed: it needs a transaction of its own
)

// deletionName is what a deletion is found by: the id of the file, or the name of the object.
type deletionName struct {
	file   store.FileID
	object objectName
}

func nameOfDeletion(d *store.Deletion) deletionName {
	return deletionName{d.File, objectName{d.Bucket, d.Key}}
}

// DeleteFile implements store.Files. Deletions that arrive at the same time share a transaction. One with a condition has its
// own, so that a condition that does not hold fails no other, and so has that of a file with versions behind it, one of which becomes latest.
func (s *Store) DeleteFile(ctx context.Context, d store.Deletion) error {
	const op = "DeleteFile"
	if d.If.IsZero() {
		switch outcome, err := s.deletions.Commit(ctx, &d); {
		case err != nil:
			return db.Translate(ctx, op, err)
		case outcome == removed:
			return nil
		case outcome == noBucket:
			return db.Translate(ctx, op, store.ErrNoBucket(d.Bucket))
		case outcome == missing && d.File.IsZero():
			return db.Translate(ctx, op, noObject(d.Bucket, d.Key))
		case outcome == missing:
			return db.Translate(ctx, op, noFile(d.File))
		}
	}
	return s.clients.Write(ctx, op, func(c *db.Conn) error {
		if d.File.IsZero() {
			return s.deleteObject(ctx, c, d)
		}
		return s.deleteFile(ctx, c, d)
	})
}

// deletionArrays are some deletions, one array per column; index is the place of each in the group.
type deletionArrays struct {
	index           []int
	files, attempts [][16]byte
	buckets         []string
	keys            pgtype.FlatArray[[]byte]
	callers         []string
}

// newDeletionArrays splits a group into the deletions of files and those of objects.
func newDeletionArrays(group []*store.Deletion) (files, objects *deletionArrays) {
	empty := func() *deletionArrays {
		return &deletionArrays{files: [][16]byte{}, attempts: [][16]byte{}, buckets: []string{}, keys: pgtype.FlatArray[[]byte]{}, callers: []string{}}
	}
	files, objects = empty(), empty()
	for i, d := range group {
		a := files
		if d.File.IsZero() {
			a = objects
			a.buckets, a.keys = append(a.buckets, string(d.Bucket)), append(a.keys, []byte(d.Key))
		} else {
			a.files = append(a.files, d.File)
		}
		a.index, a.attempts, a.callers = append(a.index, i), append(a.attempts, d.Attempt), append(a.callers, d.Caller)
	}
	return files, objects
}

// deleteGroup makes deletions without conditions, each of another name, in one transaction.
func (s *Store) deleteGroup(ctx context.Context, group []*store.Deletion) (outcomes []removal, err error) {
	files, objects := newDeletionArrays(group)
	err = s.clients.UntilNoCollision(ctx, func(c *db.Conn) error {
		outcomes = make([]removal, len(group))
		b := &pgx.Batch{}
		b.Queue(s.q.LockDoomed, files.files, objects.buckets, objects.keys)
		if len(files.index) > 0 {
			b.Queue(s.q.DeleteFiles, files.files, files.attempts, files.callers).Query(func(answer pgx.Rows) error {
				return readDeletedFiles(answer, files, outcomes)
			})
		}
		if len(objects.index) > 0 {
			b.Queue(s.q.DeleteObjects, objects.buckets, objects.keys, objects.attempts, objects.callers).Query(func(answer pgx.Rows) error {
				return readDeletedObjects(answer, objects, outcomes)
			})
		}
		return db.Pipeline(ctx, c, b)
	})
	return outcomes, err
}

// readDeletedFiles reads what DeleteFiles found and deleted.
func readDeletedFiles(answer pgx.Rows, files *deletionArrays, outcomes []removal) error {
	var n int
	var deleted bool
	_, err := pgx.ForEachRow(answer, []any{&n, &deleted}, func() error {
		outcomes[files.index[n-1]] = alone
		if deleted {
			outcomes[files.index[n-1]] = removed
		}
		return nil
	})
	return err
}

// readDeletedObjects reads what DeleteObjects found and deleted.
func readDeletedObjects(answer pgx.Rows, objects *deletionArrays, outcomes []removal) error {
	var n int
	var known, seen, deleted bool
	_, err := pgx.ForEachRow(answer, []any{&n, &known, &seen, &deleted}, func() error {
		at := &outcomes[objects.index[n-1]]
		switch {
		case deleted:
			*at = removed
		case seen: // it was replaced in the meantime
			*at = alone
		case !known:
			*at = noBucket
		}
		return nil
	})
	return err
}

// deleteFile deletes a file by its id.
func (s *Store) deleteFile(ctx context.Context, c *db.Conn, d store.Deletion) error {
	var deleted bool
	b := &pgx.Batch{}
	b.Queue(s.q.LockFile, [16]byte(d.File))
	if !d.If.IsZero() {
		b.Queue(s.q.Guard, guardArgs(d.If, "", "", d.File)...)
	}
	b.Queue(s.q.DeleteFile, [16]byte(d.File), attemptOrNull(d.Attempt), d.Caller).Query(func(rows pgx.Rows) error {
		deleted = rows.Next()
		rows.Close()
		return rows.Err()
	})
	if err := db.Pipeline(ctx, c, b); err != nil {
		return err
	}
	if !deleted {
		return noFile(d.File)
	}
	return nil
}

// deleteObject deletes the object of a key.
func (s *Store) deleteObject(ctx context.Context, c *db.Conn, d store.Deletion) error {
	var known bool
	var seen, deleted int
	b := &pgx.Batch{}
	if !d.If.IsZero() {
		b.Queue(s.q.Guard, guardArgs(d.If, d.Bucket, d.Key, store.FileID{})...)
	}
	b.Queue(s.q.DeleteObject, string(d.Bucket), []byte(d.Key), attemptOrNull(d.Attempt), d.Caller, d.If.Absent, d.If.NoETags).
		QueryRow(func(row pgx.Row) error { return row.Scan(&known, &seen, &deleted) })
	if err := db.Pipeline(ctx, c, b); err != nil {
		return err
	}
	switch {
	case !known:
		return store.ErrNoBucket(d.Bucket)
	case seen == 0:
		return noObject(d.Bucket, d.Key)
	case deleted == 0:
		return db.ErrReplaced
	}
	return nil
}
