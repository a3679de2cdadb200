package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/logrule"
)

// LogSegments implements store.MetadataLog.
func (s *Store) LogSegments(ctx context.Context) (all []store.LogSegment, err error) {
	err = s.db.Read(ctx, "LogSegments", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.LogSegments)
		if err != nil {
			return err
		}
		all, err = scan.Segments(rows)
		return err
	})
	return all, err
}

// LoggedTo implements store.MetadataLog.
func (s *Store) LoggedTo(ctx context.Context) (last store.Revision, err error) {
	err = s.db.Read(ctx, "LoggedTo", func(r *db.Reader) error {
		err := r.Row(s.db.Q.LoggedTo).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return logrule.ErrNoLog()
		}
		return err
	})
	return last, err
}

// ChangeLog implements store.MetadataLog.
func (s *Store) ChangeLog(ctx context.Context, c store.LogChange) error {
	return s.db.Write(ctx, "ChangeLog", func(t *db.Tx) error {
		var term, number uint64
		if err := t.Row(s.db.Q.NewestSegment).Scan(&term, &number); err != nil {
			return err
		}
		if err := logrule.Check(c, term, number); err != nil {
			return err
		}
		for _, x := range c.Add {
			if err := s.addSegment(t, x); err != nil {
				return err
			}
		}
		for _, n := range c.Remove {
			if err := s.removeSegment(t, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) addSegment(t *db.Tx, x store.LogSegment) error {
	_, state, err := s.partState(t, x.Part.ID)
	if err != nil {
		return err
	}
	if state != 0 {
		return store.Errorf(store.Conflict, "part %s of the metadata log was abandoned, or exists already", x.Part.ID)
	}
	if err := s.insertPart(t, store.FileID(x.Part.ID), partStored, x.Part); err != nil {
		return err
	}
	_, err = t.Exec(s.db.Q.InsertSegment, int64(x.Number), x.Log[:], int64(x.Term), int64(x.Kind), int64(x.Group), int64(x.First), int64(x.Last), x.Part.ID[:])
	if err != nil {
		return err
	}
	return s.queueRepairs(t, []store.Part{x.Part})
}

func (s *Store) removeSegment(t *db.Tx, number uint64) error {
	var part []byte
	err := t.Row(s.db.Q.RemoveSegment, int64(number)).Scan(&part)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	parts, err := s.takeNodes(t, s.db.Q.RemovePart, part)
	if err != nil {
		return err
	}
	return s.enqueueAll(t, reclaims(parts, "its segment of the metadata log was replaced"))
}

// FilesByID implements store.MetadataLog.
func (s *Store) FilesByID(ctx context.Context, ids []store.FileID) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: len(ids)}).Validate(); err != nil {
		return batch, err
	}
	err = s.db.Read(ctx, "FilesByID", func(r *db.Reader) (err error) {
		batch, err = s.filesWithParts(r, s.db.Q.FilesByID, db.IDs(ids))
		return err
	})
	return batch, err
}

// CompleteFiles implements store.MetadataLog.
func (s *Store) CompleteFiles(ctx context.Context, after store.FileID, limit int) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return batch, err
	}
	err = s.db.Read(ctx, "CompleteFiles", func(r *db.Reader) (err error) {
		batch, err = s.filesWithParts(r, s.db.Q.FilesAfter, after[:], limit)
		batch.More = batch.More || len(batch.Files) == limit
		return err
	})
	return batch, err
}

// filesWithParts runs a statement that lists files by id, and then reads their parts.
func (s *Store) filesWithParts(r *db.Reader, text string, args ...any) (batch store.FileBatch, err error) {
	rows, err := r.Query(text, args...)
	if err != nil {
		return batch, err
	}
	files, err := scan.Files(rows)
	if err != nil || len(files) == 0 {
		return batch, err
	}
	ids := make([]store.FileID, len(files))
	at := make(map[store.FileID]int, len(files))
	for i, f := range files {
		ids[i], at[f.ID] = f.ID, i
	}
	if rows, err = r.Query(s.db.Q.PartsOfFiles, db.IDs(ids), store.BatchParts+store.MaxParts); err != nil {
		return batch, err
	}
	err = db.Each(rows, func() error {
		var owner []byte
		p, err := scan.Part(rows, &owner)
		if err == nil {
			f := &files[at[store.FileID(owner)]]
			f.Parts = append(f.Parts, p)
		}
		return err
	})
	return logrule.EndOfBatch(files), err
}
