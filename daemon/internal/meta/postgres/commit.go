package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

type commandTag = pgconn.CommandTag

// fileRow is a file as it will be stored. It shares nothing with the caller's
// File, because a commit may continue after its caller has returned.
type fileRow struct {
	file   store.File // without Meta, SHA256, Attributes and Parts
	change store.Change
	meta   []byte // JSON, nil when empty
	sha    []byte
	parts  []partRow
	marks  []byte // of a file with many parts, else nil

	attributes []byte    // nil when there are none
	locked     time.Time // until; zero: it is not
}

type partRow struct {
	part        store.Part // without Chunks and Checksums
	nodes, sums []byte
	checksums   []byte
	repair      store.Task // of the chunks that are not stored, if there are any
}

type objectName struct {
	bucket store.BucketName
	key    store.Key
}

func nameOf(r *fileRow) objectName { return objectName{r.file.Bucket, r.file.Key} }

func newFileRow(f store.File, c store.Change) (fileRow, error) {
	r := fileRow{file: f, change: c, sha: slices.Clone(f.SHA256)}
	var err error
	if r.meta, err = metaColumn(f.Meta); err != nil {
		return r, err
	}
	if err := valid.File(f); err != nil {
		return r, err
	}
	r.marks, r.attributes, r.locked = pack.Marks(store.MarksOf(f.Parts)), pack.Attributes(f.Attributes), f.Attributes.Lock.Ends()
	r.parts = make([]partRow, len(f.Parts))
	for i, p := range f.Parts {
		row := &r.parts[i]
		row.nodes, row.sums = pack.Pack(p.Chunks)
		row.checksums = pack.Checksums(p.Checksums)
		if missing := p.Missing(); missing != 0 {
			row.repair = placement.Repair(p, missing, "")
		}
		row.part = p
		row.part.Chunks, row.part.Checksums = nil, nil
	}
	r.file.Meta, r.file.SHA256, r.file.Parts, r.file.Attributes = nil, nil, nil, attr.Set{}
	return r, nil
}

// outcome is what became of one row of a commit.
type outcome struct {
	createdAt, completedAt time.Time
	seq                    uint64
	stored                 bool // false: the bucket is not there
	replaced               store.FileID
}

// BeginFile implements store.Files.
func (s *Store) BeginFile(ctx context.Context, f store.File) error {
	row, err := newFileRow(f, store.Change{})
	if err != nil {
		return err
	}
	for i := range row.parts {
		row.parts[i].repair = store.Task{} // planned, not lost
	}
	return s.clients.Write(ctx, "BeginFile", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.StoreFiles, s.q.Args(s.q.StoreFiles, storeValues(store.Uploading, []*fileRow{&row}))...)
		if err != nil {
			return err
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		if rows.CommandTag().RowsAffected() == 0 {
			return store.ErrNoBucket(f.Bucket)
		}
		return nil
	})
}

// CommitFile implements store.Files.
func (s *Store) CommitFile(ctx context.Context, c store.Commit) (store.File, store.FileID, error) {
	f := c.File
	row, err := newFileRow(f, c.Change)
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	var done outcome
	if c.Begun {
		err = s.clients.Write(ctx, "CommitFile", func(c *db.Conn) (err error) {
			done, err = s.commitUpload(ctx, c, &row)
			return err
		})
	} else {
		done, err = s.commitNew(ctx, &row)
		if err == nil && !done.stored {
			err = store.ErrNoBucket(f.Bucket)
		}
		err = s.unlessAbandoned(ctx, f.ID, db.Translate(ctx, "CommitFile", err))
	}
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	return storedFile(f, c.Change, done), done.replaced, nil
}

// commitNew stores a file that was not begun: in a group with others, or where it has a condition in a transaction of
// its own, so that a condition that does not hold fails no other commit.
func (s *Store) commitNew(ctx context.Context, row *fileRow) (outcome, error) {
	if row.change.If.IsZero() {
		return s.group.Commit(ctx, row)
	}
	outcomes, err := s.commitRows(ctx, []*fileRow{row})
	if err != nil {
		return outcome{}, err
	}
	return outcomes[0], nil
}

// unlessAbandoned turns Exists into Conflict where the id exists because the write of its file was abandoned.
func (s *Store) unlessAbandoned(ctx context.Context, id store.FileID, err error) error {
	if !errors.Is(err, store.Exists) {
		return err
	}
	f, lookup := s.File(ctx, id)
	if lookup == nil && (f.State == store.Failed || f.State == store.Deleted) {
		return &store.Error{Op: "postgres.CommitFile", Kind: store.Conflict, Msg: "the write of file " + id.String() + " was abandoned", Err: err}
	}
	return err
}

// storedFile is the file as File would return it, without parts.
func storedFile(f store.File, c store.Change, o outcome) store.File {
	f.State, f.Latest, f.Parts, f.Failure, f.ChangedBy = store.Complete, true, nil, "", c.Caller
	f.CreatedAt, f.CompletedAt, f.Seq = o.createdAt.UTC(), o.completedAt.UTC(), o.seq
	f.SHA256, f.Attributes = slices.Clone(f.SHA256), f.Attributes.Clone()
	meta := make(map[string]string, len(f.Meta))
	for k, v := range f.Meta {
		meta[k] = v
	}
	f.Meta = meta
	return f
}

// commitRows makes files complete in one transaction. It is all or nothing but
// for files whose bucket is missing: their outcome is not stored.
func (s *Store) commitRows(ctx context.Context, rows []*fileRow) (outcomes []outcome, err error) {
	err = s.clients.UntilNoCollision(ctx, func(c *db.Conn) error {
		outcomes = make([]outcome, len(rows))
		b := &pgx.Batch{}
		if len(rows) == 1 {
			s.guard(b, rows[0])
		}
		b.Queue(s.q.ReplaceLatest, replaceArgs(nil, rows...)...).Query(func(answer pgx.Rows) error {
			return readReplaced(answer, rows, outcomes)
		})
		b.Queue(s.q.StoreFiles, s.q.Args(s.q.StoreFiles, storeValues(store.Complete, rows))...).Query(func(answer pgx.Rows) error {
			return readStored(answer, rows, outcomes)
		})
		if repairs := newRepairArrays(rows); len(repairs.parts) > 0 {
			b.Queue(s.q.QueueRepairs, repairs.parts, repairs.chunks, repairs.priorities)
		}
		for _, r := range rows {
			s.setMarks(b, r, store.Complete)
		}
		return db.Pipeline(ctx, c, b)
	})
	return outcomes, err
}

// guard queues the statement that fails the transaction unless the row's condition holds for its key.
func (s *Store) guard(b *pgx.Batch, r *fileRow) {
	if c := r.change.If; !c.IsZero() {
		b.Queue(s.q.Guard, guardArgs(c, r.file.Bucket, r.file.Key, store.FileID{})...)
	}
}

// claimed is the state of a file between the statements of the transaction that completes it.
const claimed store.FileState = 0

// setMarks queues the statement that stores the marks of a file of many parts, which has the state at this place of the transaction.
func (s *Store) setMarks(b *pgx.Batch, r *fileRow, state store.FileState) {
	if r.marks != nil {
		b.Queue(s.q.SetMarks, [16]byte(r.file.ID), r.marks, int16(state))
	}
}

// commitUpload completes a file that was begun, in one transaction.
func (s *Store) commitUpload(ctx context.Context, c *db.Conn, r *fileRow) (outcome, error) {
	rows, outcomes := []*fileRow{r}, make([]outcome, 1)
	f := &r.file
	var there bool
	var state *int16
	b := &pgx.Batch{}
	b.Queue(s.q.ClaimUpload, [16]byte(f.ID), string(f.Bucket), []byte(f.Key))
	s.guard(b, r)
	b.Queue(s.q.ReplaceLatest, replaceArgs([16]byte(f.ID), r)...).
		Query(func(answer pgx.Rows) error { return readReplaced(answer, rows, outcomes) })
	placed := placedChunks(r)
	b.Queue(s.q.DropPlanned, [16]byte(f.ID), placed.parts, placed.indexes, placed.nodes)
	s.setMarks(b, r, claimed)
	b.Queue(s.q.CompleteUpload, s.q.Args(s.q.CompleteUpload, newRepairArrays(rows).addTo(newPartArrays(rows).addTo(fileValues(r))))...).
		Query(func(answer pgx.Rows) error { return readStored(answer, rows, outcomes) })
	b.Queue(s.q.UploadState, [16]byte(f.ID), string(f.Bucket)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&there, &state) })
	if err := db.Pipeline(ctx, c, b); err != nil {
		return outcome{}, err
	}
	switch {
	case outcomes[0].stored:
		return outcomes[0], nil
	case !there:
		return outcome{}, store.ErrNoBucket(f.Bucket)
	case state == nil || store.FileState(*state) == store.Deleted:
		return outcome{}, noFile(f.ID)
	case store.FileState(*state) == store.Uploading:
		return outcome{}, store.Errorf(store.Conflict, "upload %s was begun for another name or bucket", f.ID)
	}
	return outcome{}, store.Errorf(store.Conflict, "upload %s is %s already", f.ID, store.FileState(*state)).
		WithHint("Upload the file again.")
}

// readReplaced reads which files ReplaceLatest deleted.
func readReplaced(answer pgx.Rows, rows []*fileRow, outcomes []outcome) error {
	var id [16]byte
	var bucket string
	var key []byte
	_, err := pgx.ForEachRow(answer, []any{&id, &bucket, &key}, func() error {
		for i, r := range rows {
			if string(r.file.Key) == string(key) && string(r.file.Bucket) == bucket {
				outcomes[i].replaced = id
			}
		}
		return nil
	})
	return err
}

// readStored reads which files StoreFiles or CompleteUpload stored.
func readStored(answer pgx.Rows, rows []*fileRow, outcomes []outcome) error {
	var id [16]byte
	var created time.Time
	var completed *time.Time // null of an upload that begins
	var seq uint64
	_, err := pgx.ForEachRow(answer, []any{&id, &created, &completed, &seq}, func() error {
		for i, r := range rows {
			if r.file.ID == id {
				outcomes[i] = outcome{created, *completed, seq, true, outcomes[i].replaced}
			}
		}
		return nil
	})
	return err
}
