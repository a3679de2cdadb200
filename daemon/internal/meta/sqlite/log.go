package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// LogSegments implements store.MetadataLog.
func (s *Store) LogSegments(ctx context.Context) (all []store.LogSegment, err error) {
	err = s.db.Read(ctx, "LogSegments", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.LogSegments)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
			x, err := scanSegment(rows)
			all = append(all, x)
			return err
		})
	})
	return all, err
}

func scanSegment(rows *sql.Rows) (x store.LogSegment, err error) {
	var log, id, nodes, sums []byte
	var at, crc int64
	p := &x.Part
	err = rows.Scan(&log, &x.Number, &x.Term, &x.Kind, &x.Group, &x.First, &x.Last, &at,
		&id, &p.Number, &p.Size, &p.K, &p.M, &p.UnitSize, &crc, &nodes, &sums)
	if err != nil {
		return x, err
	}
	x.Log, x.At, p.ID, p.CRC64 = store.LogID(log), db.FromMicros(at), store.PartID(id), uint64(crc)
	p.Chunks, err = pack.Unpack(nodes, sums)
	return x, err
}

// LoggedTo implements store.MetadataLog.
func (s *Store) LoggedTo(ctx context.Context) (last store.Revision, err error) {
	err = s.db.Read(ctx, "LoggedTo", func(r *db.Reader) error {
		err := r.Row(s.db.Q.LoggedTo).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNoTail()
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
		if err := c.Check(term, number); err != nil {
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
	_, err = t.Exec(s.db.Q.InsertSegment, int64(x.Number), x.Log[:], int64(x.Term), int64(x.Kind), int64(x.Group), int64(x.First), int64(x.Last), db.Micros(x.At), x.Part.ID[:])
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
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b store.FileID) int { return bytes.Compare(a[:], b[:]) })
	err = s.db.Read(ctx, "FilesByID", func(r *db.Reader) error {
		batch = store.FileBatch{}
		parts := 0
		for i, id := range slices.Compact(ids) {
			f, err := s.bareFile(r, noFile(id), s.db.Q.File, id[:])
			if errors.Is(err, store.NotFound) {
				continue
			}
			if err == nil {
				err = s.addParts(r, &f)
			}
			if err != nil {
				return err
			}
			batch.Files = append(batch.Files, f)
			if parts += len(f.Parts); parts > store.BatchParts {
				batch.More = i+1 < len(ids)
				return nil
			}
		}
		return nil
	})
	return batch, err
}

// CompleteFiles implements store.MetadataLog.
func (s *Store) CompleteFiles(ctx context.Context, after store.FileID, limit int) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return batch, err
	}
	err = s.db.Read(ctx, "CompleteFiles", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.FilesAfter, after[:], limit+1)
		if err != nil {
			return err
		}
		files, err := scanFiles(rows)
		if err != nil {
			return err
		}
		batch = store.FileBatch{Files: files[:min(limit, len(files))], More: len(files) > limit}
		parts := 0
		for i := range batch.Files {
			f := &batch.Files[i]
			if err := s.addParts(r, f); err != nil {
				return err
			}
			if parts += len(f.Parts); parts > store.BatchParts && i+1 < len(files) {
				batch = store.FileBatch{Files: files[:i+1], More: true}
				return nil
			}
		}
		return nil
	})
	return batch, err
}

// addParts reads all parts of a file.
func (s *Store) addParts(r *db.Reader, f *store.File) error {
	rows, err := r.Query(s.db.Q.Parts, f.ID[:])
	if err != nil {
		return err
	}
	f.Parts, err = scanParts(rows)
	f.Marks = nil
	return err
}
