package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// BeginFile implements store.Files.
func (s *Store) BeginFile(ctx context.Context, f store.File) error {
	if err := valid.File(f); err != nil {
		return err
	}
	f.State, f.Latest, f.CompletedAt, f.Seq = store.Uploading, false, time.Time{}, 0
	f.CreatedAt = cmp.Or(f.CreatedAt, s.db.Now())
	err := s.db.Write(ctx, "BeginFile", func(t *db.Tx) error {
		bucket, err := s.bucketOf(t, f.Bucket)
		if err != nil {
			return err
		}
		return s.insert(t, bucket, f)
	})
	return existing(f, err)
}

// existing gives the violation of a unique id a message.
func existing(f store.File, err error) error {
	if errors.Is(err, store.Exists) {
		return store.Errorf(store.Exists, "file %s, or one of its parts, exists already", f.ID)
	}
	return err
}

// insert stores a file and its parts.
func (s *Store) insert(t *db.Tx, bucket int64, f store.File) error {
	meta, err := db.Document(f.Meta)
	if err != nil {
		return err
	}
	_, err = t.Exec(s.db.Q.InsertFile, f.ID[:], bucket, []byte(f.Key), f.Size, f.ContentType, int64(f.State), f.Latest, f.DeleteMarker,
		db.Micros(f.CreatedAt), db.Micros(f.CompletedAt), int64(f.CRC64), f.SHA256, f.ETag, meta, f.ChangedBy, int64(f.Seq), pack.Attributes(f.Attributes), lockOf(f))
	if err != nil {
		return err
	}
	return s.insertParts(t, f.ID, partStored, f.Parts)
}

// lockOf is when the file's lock ends. An upload has none yet, so that it can be abandoned.
func lockOf(f store.File) int64 {
	if f.State != store.Complete {
		return 0
	}
	return db.Micros(f.Attributes.Lock.Ends())
}

// The states of a part's row.
const (
	partBegun   = iota + 1 // of a session: its chunks are being written
	partStored             // of a session or a file
	partDropped            // a fence: no part of that id can be stored any more
)

func (s *Store) insertParts(t *db.Tx, owner store.FileID, state int, parts []store.Part) error {
	numbers := map[int]bool{}
	for _, p := range parts {
		if err := s.insertPart(t, owner, state, p); err != nil {
			return err
		}
		numbers[p.Number] = true
	}
	if len(numbers) < len(parts) {
		return store.Errorf(store.Invalid, "two parts of the file have the same number")
	}
	return nil
}

func (s *Store) insertPart(t *db.Tx, owner store.FileID, state int, p store.Part) error {
	nodes, sums := pack.Pack(p.Chunks)
	_, err := t.Exec(s.db.Q.InsertPart, owner[:], p.Number, p.ID[:], state, p.Size, p.K, p.M, p.UnitSize, int64(p.CRC64), nodes, sums, pack.Checksums(p.Checksums), db.Micros(s.db.Now()))
	return err
}

// CommitFile implements store.Files.
func (s *Store) CommitFile(ctx context.Context, c store.Commit) (store.File, store.FileID, error) {
	f := c.File
	var previous store.FileID
	if err := valid.File(f); err != nil {
		return store.File{}, previous, err
	}
	err := s.db.Write(ctx, "CommitFile", func(t *db.Tx) (err error) {
		bucket, err := s.bucketOf(t, f.Bucket)
		if err != nil {
			return err
		}
		if c.Begun {
			if err := s.takeOver(t, bucket, &f); err != nil {
				return err
			}
		}
		if previous, err = s.show(t, bucket, &f, c.Change); err != nil {
			return err
		}
		if err := s.insertParts(t, f.ID, partStored, f.Parts); err != nil {
			return err
		}
		return s.queueRepairs(t, f.Parts)
	})
	if err != nil {
		return store.File{}, store.FileID{}, s.unlessAbandoned(ctx, f, err)
	}
	f.Parts = nil
	return asStored(f), previous, nil
}

// show stores the file, without its parts, as complete and latest, if the condition of the change holds.
func (s *Store) show(t *db.Tx, bucket int64, f *store.File, c store.Change) (previous store.FileID, err error) {
	if previous, err = s.replace(t, bucket, f.Key, c); err != nil {
		return previous, err
	}
	if f.Seq, err = t.Count(bucket, f.Size, 1); err != nil {
		return previous, err
	}
	f.State, f.Latest, f.CompletedAt, f.ChangedBy = store.Complete, true, s.db.Completed(), c.Caller
	f.CreatedAt = cmp.Or(f.CreatedAt, f.CompletedAt)
	bare := *f
	bare.Parts = nil
	if err := s.insert(t, bucket, bare); err != nil {
		return previous, err
	}
	if marks := pack.Marks(store.MarksOf(f.Parts)); marks != nil {
		if _, err := t.Exec(s.db.Q.SetMarks, marks, f.ID[:]); err != nil {
			return previous, err
		}
	}
	return previous, s.recordAdded(t, bucket, store.FilePut, bare, c.Caller)
}

// unlessAbandoned turns Exists into Conflict where the id exists because the write of its file was abandoned.
func (s *Store) unlessAbandoned(ctx context.Context, f store.File, err error) error {
	if !errors.Is(err, store.Exists) {
		return err
	}
	there, lookup := s.File(ctx, f.ID)
	if lookup == nil && (there.State == store.Failed || there.State == store.Deleted) {
		return store.Errorf(store.Conflict, "the write of file %s was abandoned", f.ID)
	}
	return existing(f, err)
}

// asStored is the file as it would be read; it shares only Parts with the argument.
func asStored(f store.File) store.File {
	f.Failure = ""
	f.SHA256, f.Meta, f.Attributes = bytes.Clone(f.SHA256), maps.Clone(f.Meta), f.Attributes.Clone()
	f.CreatedAt = db.FromMicros(db.Micros(f.CreatedAt))
	return f
}

// takeOver checks the upload that the commit ends, queues the planned chunks
// that the commit does not have, and removes its rows: the commit inserts them again.
func (s *Store) takeOver(t *db.Tx, bucket int64, f *store.File) error {
	state, err := s.fileState(t, f.ID)
	switch {
	case err != nil:
		return err
	case state.state == store.Deleted:
		return noFile(f.ID)
	case state.state != store.Uploading:
		return store.Errorf(store.Conflict, "upload %s is %s already", f.ID, state.state).WithHint("Upload the file again.")
	case state.bucket != bucket || state.key != string(f.Key):
		return store.Errorf(store.Conflict, "upload %s was begun for another name or bucket", f.ID)
	}
	f.CreatedAt = cmp.Or(f.CreatedAt, db.FromMicros(state.created))
	planned, err := s.takeParts(t, f.ID)
	if err != nil {
		return err
	}
	if err := s.reclaimPlanned(t, planned, f.Parts); err != nil {
		return err
	}
	_, err = t.Exec(s.db.Q.RemoveFile, f.ID[:])
	return err
}

// reclaimPlanned queues the chunks that are not where they were planned.
func (s *Store) reclaimPlanned(t *db.Tx, planned, parts []store.Part) error {
	has := map[store.Task]bool{}
	for _, task := range reclaims(parts, "") {
		has[task] = true
	}
	for _, task := range reclaims(planned, "") {
		if !has[task] {
			task.Reason = "planned there, stored elsewhere"
			if err := s.enqueue(t, task); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowState is the state of a file's row.
type rowState struct {
	state         store.FileState
	bucket        int64
	key           string
	latest        bool
	size, created int64
}

func (s *Store) fileState(t *db.Tx, id store.FileID) (r rowState, err error) {
	var key []byte
	err = t.Row(s.db.Q.FileState, id[:]).Scan(&r.state, &r.bucket, &key, &r.latest, &r.size, &r.created)
	if errors.Is(err, sql.ErrNoRows) {
		return r, noFile(id)
	}
	if err != nil {
		return r, err
	}
	r.key = string(key)
	return r, nil
}

// takeParts removes a file's parts and returns their ids and nodes.
func (s *Store) takeParts(t *db.Tx, id store.FileID) ([]store.Part, error) {
	return s.takeNodes(t, s.db.Q.RemoveParts, id[:])
}

// takeNodes runs a statement that removes parts, and returns their ids and nodes.
func (s *Store) takeNodes(t *db.Tx, text string, args ...any) (parts []store.Part, err error) {
	rows, err := t.Query(text, args...)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func() error {
		var part, nodes []byte
		if err := rows.Scan(&part, &nodes); err != nil {
			return err
		}
		chunks, err := pack.Unpack(nodes, make([]byte, len(nodes)/pack.NodeBytes*pack.SumBytes))
		parts = append(parts, store.Part{ID: store.PartID(part), Chunks: chunks})
		return err
	})
	return parts, err
}

// latest returns the latest file of the key with its Key, ID, Size, ETag and DeleteMarker, or nil.
func (s *Store) latest(t *db.Tx, bucket int64, key store.Key) (*store.File, error) {
	var id []byte
	var f store.File
	err := t.Row(s.db.Q.Shown, bucket, []byte(key)).Scan(&id, &f.Size, &f.ETag, &f.DeleteMarker)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	f.ID, f.Key = store.FileID(id), key
	return &f, nil
}

// replace checks the condition of the change, ends the latest file of the key being latest as the change says, and
// returns its id, or the zero id.
func (s *Store) replace(t *db.Tx, bucket int64, key store.Key, c store.Change) (store.FileID, error) {
	f, err := s.latest(t, bucket, key)
	if err != nil {
		return store.FileID{}, err
	}
	if err := c.If.Check(f); err != nil || f == nil {
		return store.FileID{}, err
	}
	if c.Before == store.KeepBefore {
		_, err := t.Exec(s.db.Q.Hide, f.ID[:])
		return f.ID, err
	}
	if err := s.remove(t, f.ID, c.Caller); err != nil {
		return f.ID, err
	}
	return f.ID, s.recordRemoved(t, bucket, store.FileReplaced, *f, store.FileID{}, c.Caller)
}

// remove makes a file Deleted, unless it is locked. Its parts stay until they are swept.
func (s *Store) remove(t *db.Tx, id store.FileID, caller string) error {
	changed, err := t.Exec(s.db.Q.MarkDeleted, db.Micros(s.db.Now()), caller, id[:])
	if err == nil && changed == 0 {
		return store.ErrLocked()
	}
	return err
}

// reclaims are the tasks that delete the parts' chunks from their nodes.
func reclaims(parts []store.Part, reason string) (tasks []store.Task) {
	for _, p := range parts {
		for i, c := range p.Chunks {
			if !c.Node.IsZero() {
				tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(i), Node: c.Node, Reason: reason})
			}
		}
	}
	return tasks
}

func (s *Store) queueRepairs(t *db.Tx, parts []store.Part) error {
	for _, p := range parts {
		if err := s.queueRepair(t, p, p.Missing(), "not written"); err != nil {
			return err
		}
	}
	return nil
}

// FailFile implements store.Files.
func (s *Store) FailFile(ctx context.Context, f store.File, reason string, attempted []store.Part) error {
	return s.db.Write(ctx, "FailFile", func(t *db.Tx) error {
		if err := s.enqueueAll(t, reclaims(attempted, "its upload failed")); err != nil {
			return err
		}
		r, err := s.fileState(t, f.ID)
		switch {
		case errors.Is(err, store.NotFound):
			return s.fence(t, f, reason)
		case err != nil:
			return err
		case r.state == store.Complete:
			return store.Errorf(store.Conflict, "file %s is complete", f.ID)
		case r.state != store.Uploading:
			return nil
		}
		planned, err := s.takeParts(t, f.ID)
		if err != nil {
			return err
		}
		if err := s.enqueueAll(t, reclaims(planned, "its upload failed")); err != nil {
			return err
		}
		_, err = t.Exec(s.db.Q.MarkFailed, reason, f.ID[:])
		return err
	})
}

// fence stores a file that was never begun as Failed, or as Deleted where its bucket was deleted: no commit of its id can follow.
func (s *Store) fence(t *db.Tx, f store.File, reason string) error {
	f.ChangedBy = "" // no client changed it
	bucket, err := s.bucketOf(t, f.Bucket)
	switch {
	case errors.Is(err, store.NotFound):
		return s.insertMarker(t, f, 0, store.Deleted, reason, s.db.Now())
	case err != nil:
		return err
	}
	return s.insertMarker(t, f, bucket, store.Failed, reason, time.Time{})
}

// insertMarker stores a file that was never complete. Without deleted its parts are swept whatever the grace.
func (s *Store) insertMarker(t *db.Tx, f store.File, bucket int64, state store.FileState, reason string, deleted time.Time) error {
	_, err := t.Exec(s.db.Q.InsertMarker, f.ID[:], bucket, []byte(f.Key), f.Size, int64(state), db.Micros(cmp.Or(f.CreatedAt, s.db.Now())), reason, f.ChangedBy, db.Micros(deleted))
	return err
}

// DeleteFile implements store.Files.
func (s *Store) DeleteFile(ctx context.Context, d store.Deletion) error {
	return s.db.Write(ctx, "DeleteFile", func(t *db.Tx) error {
		if d.File.IsZero() {
			return s.deleteObject(t, d)
		}
		r, err := s.fileState(t, d.File)
		if err != nil {
			return err
		}
		if r.state == store.Deleted {
			return noFile(d.File)
		}
		if !d.If.IsZero() {
			latest, err := s.latest(t, r.bucket, store.Key(r.key))
			if err := errors.Join(err, d.If.Check(latest)); err != nil {
				return err
			}
		}
		if err := s.attempt(t, d.Attempt); err != nil {
			return err
		}
		return s.deleteVersion(t, d, r)
	})
}

// deleteVersion deletes the file that is in this state. Where it was latest, the newest version behind it becomes latest.
func (s *Store) deleteVersion(t *db.Tx, d store.Deletion, r rowState) (err error) {
	if err := s.remove(t, d.File, d.Caller); err != nil || r.state != store.Complete {
		return err
	}
	f := store.File{ID: d.File, Key: store.Key(r.key), Size: r.size}
	var heir store.FileID
	if r.latest {
		if heir, err = s.promote(t, r.bucket, r.key); err != nil {
			return err
		}
	}
	return s.recordRemoved(t, r.bucket, store.FileGone, f, heir, d.Caller)
}

// deleteObject deletes the latest file of a key. No other file of the key becomes latest.
func (s *Store) deleteObject(t *db.Tx, d store.Deletion) error {
	bucket, err := s.bucketOf(t, d.Bucket)
	if err != nil {
		return err
	}
	f, err := s.latest(t, bucket, d.Key)
	if err != nil {
		return err
	}
	if err := d.If.Check(f); err != nil {
		return err
	}
	if f == nil || f.DeleteMarker {
		return noObject(d.Bucket, d.Key)
	}
	if err := s.attempt(t, d.Attempt); err != nil {
		return err
	}
	if err := s.remove(t, f.ID, d.Caller); err != nil {
		return err
	}
	return s.recordRemoved(t, bucket, store.FileGone, *f, store.FileID{}, d.Caller)
}

// promote makes the newest complete file of the key latest, and returns it; the zero id if there is no file.
func (s *Store) promote(t *db.Tx, bucket int64, key string) (store.FileID, error) {
	var heir []byte
	err := t.Row(s.db.Q.Heir, bucket, []byte(key)).Scan(&heir)
	if errors.Is(err, sql.ErrNoRows) {
		return store.FileID{}, nil
	}
	if err != nil {
		return store.FileID{}, err
	}
	_, err = t.Exec(s.db.Q.Show, heir)
	return store.FileID(heir), err
}
