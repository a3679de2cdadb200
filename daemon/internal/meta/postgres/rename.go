package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// RenameFile implements store.Files.
func (s *Store) RenameFile(ctx context.Context, id store.FileID, bucket store.BucketName, key store.Key, attempt store.AttemptID) (f store.File, replaced store.FileID, err error) {
	err = s.write(ctx, "RenameFile", func(c *conn) (err error) {
		f, replaced, err = s.rename(ctx, c, id, bucket, key, attempt)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	return f, replaced, nil
}

// rename is one transaction. Its statements after the claim do nothing without it; the
// file, read at the end, shows the outcome.
func (s *Store) rename(ctx context.Context, c *conn, id store.FileID, bucket store.BucketName, key store.Key, attempt store.AttemptID) (f store.File, replaced store.FileID, err error) {
	file, name, to := [16]byte(id), string(bucket), []byte(key)
	there := &fileRow{file: store.File{Bucket: bucket, Key: key}}
	outcomes := make([]outcome, 1)
	var known bool
	var files []store.File
	b := &pgx.Batch{}
	b.Queue(s.q.LockNames, file, name, to)
	b.Queue(s.q.ClaimName, file, name, to)
	b.Queue(s.q.NoteAttempt, attemptOrNull(attempt), file)
	b.Queue(s.q.ReplaceLatest, []string{name}, pgtype.FlatArray[[]byte]{to}, file).
		Query(func(answer pgx.Rows) error { return readReplaced(answer, []*fileRow{there}, outcomes) })
	b.Queue(s.q.MoveName, file, name, to)
	b.Queue(s.q.Bucket, name).Query(func(rows pgx.Rows) error {
		known = rows.Next()
		rows.Close()
		return rows.Err()
	})
	b.Queue(s.q.BareFile, file).Query(func(rows pgx.Rows) (err error) {
		files, err = collectFiles(rows)
		return err
	})
	if err := pipeline(ctx, c, b); err != nil {
		return f, replaced, err
	}
	switch {
	case len(files) == 0:
		return f, replaced, noFile(id)
	case !known:
		return f, replaced, noBucket(bucket)
	}
	f = files[0]
	if !f.Latest || f.DeleteMarker || f.Bucket != bucket || f.Key != key {
		return f, replaced, store.Errorf(store.Conflict, "file %s is not what its key shows", id)
	}
	return f, outcomes[0].replaced, nil
}
