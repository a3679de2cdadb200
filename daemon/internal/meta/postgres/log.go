package postgres

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/logrule"
)

// LogSegments implements store.MetadataLog.
func (s *Store) LogSegments(ctx context.Context) (all []store.LogSegment, err error) {
	err = s.clients.Read(ctx, "LogSegments", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.LogSegments)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanSegment)
		return err
	})
	return all, err
}

func scanSegment(row pgx.CollectableRow) (store.LogSegment, error) {
	r := scan.Of(row)
	x := store.LogSegment{
		Log:    r.UUID(),
		Number: uint64(r.Int()),
		Term:   uint64(r.Int()),
		Kind:   store.LogSegmentKind(r.Int()),
		Group:  uint64(r.Int()),
		First:  store.Revision(r.Int()),
		Last:   store.Revision(r.Int()),
		Part:   r.Part(),
	}
	return x, r.End()
}

// partOfLog returns the part of a segment. NotFound.
func (s *Store) partOfLog(ctx context.Context, id store.PartID) (p store.Part, err error) {
	err = s.clients.Read(ctx, "Part", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.PartOfLog, [16]byte(id))
		if err != nil {
			return err
		}
		p, err = pgx.CollectOneRow(rows, scan.ReadPart)
		if db.IsNoRows(err) {
			return noPart(id)
		}
		return err
	})
	return p, err
}

// LoggedTo implements store.MetadataLog.
func (s *Store) LoggedTo(ctx context.Context) (store.Revision, error) {
	var last int64
	err := s.clients.Read(ctx, "LoggedTo", func(c *db.Conn) error {
		err := c.QueryRow(ctx, s.q.LoggedTo).Scan(&last)
		if db.IsNoRows(err) {
			return logrule.ErrNoLog()
		}
		return err
	})
	return store.Revision(last), err
}

// ChangeLog implements store.MetadataLog.
func (s *Store) ChangeLog(ctx context.Context, c store.LogChange) error {
	if err := logrule.Check(c, 0, 0); err != nil {
		return err
	}
	err := s.clients.Write(ctx, "ChangeLog", func(conn *db.Conn) error {
		lowest, parts := int64(math.MaxInt64), [][16]byte{}
		for _, x := range c.Add {
			lowest, parts = min(lowest, int64(x.Number)), append(parts, x.Part.ID)
		}
		b := &pgx.Batch{}
		b.Queue(s.q.GuardLog, int64(c.Term), lowest, parts)
		for _, x := range c.Add {
			b.Queue(s.q.AddSegment, s.q.Args(s.q.AddSegment, segmentValues(x))...)
		}
		if len(c.Remove) > 0 {
			numbers := make([]int64, len(c.Remove))
			for i, n := range c.Remove {
				numbers[i] = int64(n)
			}
			b.Queue(s.q.RemoveSegments, numbers)
		}
		return db.Pipeline(ctx, conn, b)
	})
	if err == nil {
		return nil
	}
	if kind := store.KindOf(err); kind == store.PreconditionFailed || kind == store.Exists {
		return store.Errorf(store.Conflict, "the metadata log was changed by another gateway, or a part of the change was abandoned")
	}
	return err
}

func segmentValues(x store.LogSegment) db.Values {
	v := partValues(store.FileID{}, x.Part)
	delete(v, "session")
	repair := placement.Repair(x.Part, x.Part.Missing(), "")
	v["missing"], v["priority"], v["segment"], v["log"], v["term"], v["kind"] = int64(repair.Chunks), int16(repair.Priority), int64(x.Number), [16]byte(x.Log), int64(x.Term), int16(x.Kind)
	v["grp"], v["first"], v["last"] = int64(x.Group), int64(x.First), int64(x.Last)
	return v
}

// FilesByID implements store.MetadataLog.
func (s *Store) FilesByID(ctx context.Context, ids []store.FileID) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: len(ids)}).Validate(); err != nil {
		return batch, err
	}
	err = s.clients.Read(ctx, "FilesByID", func(c *db.Conn) (err error) {
		batch, err = s.filesWithParts(ctx, c, s.q.FilesByID, uuids(ids))
		return err
	})
	return batch, err
}

// CompleteFiles implements store.MetadataLog.
func (s *Store) CompleteFiles(ctx context.Context, after store.FileID, limit int) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return batch, err
	}
	err = s.clients.Read(ctx, "CompleteFiles", func(c *db.Conn) (err error) {
		batch, err = s.filesWithParts(ctx, c, s.q.FilesAfter, [16]byte(after), limit)
		batch.More = batch.More || len(batch.Files) == limit
		return err
	})
	return batch, err
}

// filesWithParts runs a statement that lists files by id, and then reads their parts.
func (s *Store) filesWithParts(ctx context.Context, c *db.Conn, sql string, args ...any) (batch store.FileBatch, err error) {
	rows, err := c.Query(ctx, sql, args...)
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
	if rows, err = c.Query(ctx, s.q.PartsOfFiles, uuids(ids), store.BatchParts+store.MaxParts); err != nil {
		return batch, err
	}
	err = scan.Each(rows, func(r *scan.Row) {
		f := &files[at[r.UUID()]]
		f.Parts = append(f.Parts, r.Part())
	})
	return logrule.EndOfBatch(files), err
}

func uuids(ids []store.FileID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
