package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BeginFile implements store.Files.
func (s *Store) BeginFile(ctx context.Context, f store.File) error {
	f.State, f.Latest, f.CompletedAt = store.Uploading, false, time.Time{}
	err := s.write(ctx, "BeginFile", func(t *tx) error {
		bucket, _, err := s.bucketID(t, f.Bucket)
		if err != nil {
			return err
		}
		return s.insert(t, bucket, f)
	})
	return existing(f, err)
}

// existing says what the broken uniqueness of an id means.
func existing(f store.File, err error) error {
	if errors.Is(err, store.Exists) {
		return store.Errorf(store.Exists, "file %s, or one of its parts, exists already", f.ID)
	}
	return err
}

// insert writes a file and its parts down.
func (s *Store) insert(t *tx, bucket int64, f store.File) error {
	meta, err := metaColumn(f.Meta)
	if err != nil {
		return err
	}
	_, err = t.exec(s.q.InsertFile, f.ID[:], bucket, []byte(f.Key), f.Size, f.ContentType, int64(f.State), f.Latest, f.DeleteMarker,
		micros(f.CreatedAt), micros(f.CompletedAt), int64(f.CRC64), f.SHA256, f.ETag, meta)
	if err != nil {
		return err
	}
	for _, p := range f.Parts {
		nodes, sums := pack.Pack(p.Chunks)
		if _, err := t.exec(s.q.InsertPart, f.ID[:], p.Number, p.ID[:], p.Size, p.K, p.M, p.UnitSize, int64(p.CRC64), nodes, sums); err != nil {
			return err
		}
	}
	return nil
}

// CommitFile implements store.Files.
func (s *Store) CommitFile(ctx context.Context, f store.File, begun bool) (store.File, store.FileID, error) {
	var replaced store.FileID
	err := s.write(ctx, "CommitFile", func(t *tx) (err error) {
		bucket, _, err := s.bucketID(t, f.Bucket)
		if err != nil {
			return err
		}
		if begun {
			if err := s.takeOver(t, bucket, &f); err != nil {
				return err
			}
		}
		replaced, err = s.show(t, bucket, &f)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, existing(f, err)
	}
	f.Parts = nil
	return asStored(f), replaced, nil
}

// show writes the file down as complete and latest, in the place of the one that its key shows.
func (s *Store) show(t *tx, bucket int64, f *store.File) (replaced store.FileID, err error) {
	if replaced, err = s.replace(t, bucket, f.Key); err != nil {
		return replaced, err
	}
	f.State, f.Latest, f.CompletedAt = store.Complete, true, s.now()
	if err := s.insert(t, bucket, *f); err != nil {
		return replaced, err
	}
	return replaced, s.queueRepairs(t, *f)
}

// asStored is the file as it would be read, sharing nothing with what the caller gave but Parts.
func asStored(f store.File) store.File {
	f.Failure = ""
	f.SHA256, f.Meta = bytes.Clone(f.SHA256), maps.Clone(f.Meta)
	f.CreatedAt = fromMicros(micros(f.CreatedAt))
	return f
}

// takeOver checks the upload that the commit ends, queues the planned chunks
// that the commit has not, and removes its rows: the commit writes them anew.
func (s *Store) takeOver(t *tx, bucket int64, f *store.File) error {
	state, err := s.fileState(t, f.ID)
	switch {
	case err != nil:
		return err
	case state.state != store.Uploading:
		return store.Errorf(store.Conflict, "upload %s is %s already", f.ID, state.state).WithHint("Upload the file again.")
	case state.bucket != bucket || state.key != string(f.Key):
		return store.Errorf(store.Conflict, "upload %s is of another name or bucket", f.ID)
	}
	if err := s.reclaimPlanned(t, state.parts, f.Parts); err != nil {
		return err
	}
	_, err = t.exec(s.q.RemoveFile, f.ID[:])
	return err
}

// reclaimPlanned queues the chunks that are not where they were planned.
func (s *Store) reclaimPlanned(t *tx, planned, parts []store.Part) error {
	has := map[store.Task]bool{}
	for _, task := range reclaims(parts, "") {
		has[task] = true
	}
	for _, task := range reclaims(planned, "") {
		if !has[task] {
			task.Reason = "it was planned there, and put elsewhere"
			if err := s.enqueue(t, task); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowState is what decides over a file, and its parts, which are removed by asking.
type rowState struct {
	state  store.FileState
	bucket int64
	key    string
	latest bool
	parts  []store.Part // ids and nodes only
}

func (s *Store) fileState(t *tx, id store.FileID) (r rowState, err error) {
	var key []byte
	err = t.row(s.q.FileState, id[:]).scan(&r.state, &r.bucket, &key, &r.latest)
	if errors.Is(err, sql.ErrNoRows) {
		return r, noFile(id)
	}
	if err != nil {
		return r, err
	}
	r.key = string(key)
	r.parts, err = s.takeParts(t, id)
	return r, err
}

// takeParts removes a file's parts and returns their ids and nodes.
func (s *Store) takeParts(t *tx, id store.FileID) ([]store.Part, error) {
	return s.takeNodes(t, s.q.RemoveParts, id[:])
}

// takeNodes removes what the statement removes, and returns the parts' ids and nodes.
func (s *Store) takeNodes(t *tx, text string, args ...any) (parts []store.Part, err error) {
	rows, err := t.query(text, args...)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
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

// replace removes what the key shows and returns its id, or the zero id.
func (s *Store) replace(t *tx, bucket int64, key store.Key) (store.FileID, error) {
	var id []byte
	err := t.row(s.q.Shown, bucket, []byte(key)).scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.FileID{}, nil
	case err != nil:
		return store.FileID{}, err
	}
	return store.FileID(id), s.remove(t, store.FileID(id), "its file was replaced")
}

// remove takes a file's rows away and queues its chunks.
func (s *Store) remove(t *tx, id store.FileID, reason string) error {
	parts, err := s.takeParts(t, id)
	if err != nil {
		return err
	}
	if err := s.enqueueAll(t, reclaims(parts, reason)); err != nil {
		return err
	}
	_, err = t.exec(s.q.RemoveFile, id[:])
	return err
}

// reclaims are the tasks that take the parts' chunks off their nodes.
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

func (s *Store) queueRepairs(t *tx, f store.File) error {
	for _, p := range f.Parts {
		for i, c := range p.Chunks {
			if !c.Node.IsZero() {
				continue
			}
			if err := s.enqueue(t, store.Task{Kind: store.Repair, Chunk: p.ChunkID(i), Reason: "it was not written"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// FailFile implements store.Files.
func (s *Store) FailFile(ctx context.Context, id store.FileID, reason string, attempted []store.Part) error {
	return s.write(ctx, "FailFile", func(t *tx) error {
		r, err := s.fileState(t, id)
		switch {
		case err != nil:
			return err
		case r.state == store.Complete:
			return store.Errorf(store.Conflict, "file %s is complete", id)
		}
		if err := s.enqueueAll(t, reclaims(slices.Concat(r.parts, attempted), "its upload failed")); err != nil {
			return err
		}
		if r.state == store.Failed {
			return nil
		}
		_, err = t.exec(s.q.MarkFailed, reason, id[:])
		return err
	})
}

// DeleteFile implements store.Files.
func (s *Store) DeleteFile(ctx context.Context, id store.FileID) error {
	return s.write(ctx, "DeleteFile", func(t *tx) error {
		r, err := s.fileState(t, id)
		if err != nil {
			return err
		}
		if err := s.enqueueAll(t, reclaims(r.parts, "its file was deleted")); err != nil {
			return err
		}
		if _, err := t.exec(s.q.RemoveFile, id[:]); err != nil || !r.latest {
			return err
		}
		return s.promote(t, r.bucket, r.key)
	})
}

// promote makes the newest complete file of the key latest, if there is one.
func (s *Store) promote(t *tx, bucket int64, key string) error {
	var heir []byte
	err := t.row(s.q.Heir, bucket, []byte(key)).scan(&heir)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = t.exec(s.q.Show, heir)
	}
	return err
}
