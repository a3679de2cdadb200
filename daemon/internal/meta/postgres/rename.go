package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// RenameFile implements store.Files.
func (s *Store) RenameFile(ctx context.Context, r store.Rename) (f store.File, replaced store.FileID, err error) {
	err = s.clients.Write(ctx, "RenameFile", func(c *db.Conn) (err error) {
		f, replaced, err = s.rename(ctx, c, r)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	return f, replaced, nil
}

// rename is one transaction. Its statements after the claim do nothing without it; the
// file, read at the end, shows the outcome.
func (s *Store) rename(ctx context.Context, c *db.Conn, r store.Rename) (f store.File, replaced store.FileID, err error) {
	file, name, to := [16]byte(r.File), string(r.Bucket), []byte(r.Key)
	there := &fileRow{file: store.File{Bucket: r.Bucket, Key: r.Key}, change: r.Change}
	outcomes := make([]outcome, 1)
	var known bool
	var files []store.File
	b := &pgx.Batch{}
	b.Queue(s.q.LockNames, file, name, to)
	s.guard(b, there)
	b.Queue(s.q.ClaimName, file, name, to)
	b.Queue(s.q.NoteAttempt, attemptOrNull(r.Attempt), file)
	b.Queue(s.q.ReplaceLatest, replaceArgs(file, there)...).
		Query(func(answer pgx.Rows) error { return readReplaced(answer, []*fileRow{there}, outcomes) })
	b.Queue(s.q.MoveName, file, name, to, r.Caller)
	b.Queue(s.q.Bucket, name).Query(func(rows pgx.Rows) error {
		known = rows.Next()
		rows.Close()
		return rows.Err()
	})
	b.Queue(s.q.BareFile, file).Query(func(rows pgx.Rows) (err error) {
		files, err = scan.Files(rows)
		return err
	})
	if err := db.Pipeline(ctx, c, b); err != nil {
		return f, replaced, err
	}
	switch {
	case len(files) == 0:
		return f, replaced, noFile(r.File)
	case !known:
		return f, replaced, store.ErrNoBucket(r.Bucket)
	}
	f = files[0]
	switch {
	case !f.Latest || f.DeleteMarker:
		return f, replaced, store.Errorf(store.Conflict, "file %s is not the latest of its key", r.File)
	case f.Bucket != r.Bucket || f.Key != r.Key:
		return f, replaced, store.ErrLocked() // all else that ClaimName requires holds
	}
	return f, outcomes[0].replaced, nil
}
