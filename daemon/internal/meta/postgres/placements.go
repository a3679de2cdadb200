package postgres

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// Part implements store.Placements.
func (s *Store) Part(ctx context.Context, id store.PartID) (p store.Part, f store.File, err error) {
	if id.IsLog() {
		p, err = s.partOfLog(ctx, id)
		return p, store.File{State: store.Complete}, err
	}
	err = s.clients.Read(ctx, "Part", func(c *db.Conn) error {
		p, f = store.Part{}, store.File{}
		b := &pgx.Batch{}
		b.Queue(s.q.Part, [16]byte(id)).Query(func(rows pgx.Rows) error {
			var err error
			if f, err = scan.OneFile(rows); err == nil {
				p, f.Parts = f.Parts[0], nil
			}
			if db.IsNoRows(err) {
				return nil
			}
			return err
		})
		b.Queue(s.q.PartOfSession, [16]byte(id)).Query(func(rows pgx.Rows) error {
			return scan.Each(rows, func(r *scan.Row) {
				f.Bucket, f.ID, f.Key, f.State = store.BucketName(r.Text()), r.UUID(), store.Key(r.Text()), store.Uploading
				p = r.Part()
			})
		})
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		if f.ID.IsZero() {
			return noPart(id)
		}
		return nil
	})
	if err != nil {
		return store.Part{}, store.File{}, err
	}
	return p, f, nil
}

// WidenPart implements store.Placements.
func (s *Store) WidenPart(ctx context.Context, id store.PartID, parity int) error {
	return s.clients.Write(ctx, "WidenPart", func(c *db.Conn) error {
		var k, m int
		zeros := make([]byte, pack.NodeBytes*store.MaxChunksPerPart)
		err := c.QueryRow(ctx, s.q.WidenPart, [16]byte(id), parity, zeros, store.MaxChunksPerPart, store.MaxPriority, store.MaxReasons).Scan(&k, &m)
		if db.IsNoRows(err) {
			return noPart(id)
		}
		if err == nil {
			err = valid.Width(k, parity)
		}
		return err
	})
}

// PartsByID implements store.Placements.
func (s *Store) PartsByID(ctx context.Context, ids []store.PartID) (parts []store.Part, err error) {
	if err := (store.ObjectQuery{Limit: len(ids)}).Validate(); err != nil {
		return nil, err
	}
	all := make([][16]byte, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	err = s.clients.Read(ctx, "PartsByID", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.PartsByID, all)
		if err != nil {
			return err
		}
		parts, err = pgx.CollectRows(rows, scan.ReadPart)
		return err
	})
	return parts, err
}

// PartsAfter implements store.Placements.
func (s *Store) PartsAfter(ctx context.Context, after store.PartID, limit int) (parts []store.Part, err error) {
	if limit < 1 || limit > store.MaxListLimit {
		return nil, store.Errorf(store.Invalid, "limit %d is not within 1..%d", limit, store.MaxListLimit)
	}
	err = s.clients.Read(ctx, "PartsAfter", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.PartsAfter, [16]byte(after), limit)
		if err != nil {
			return err
		}
		parts, err = pgx.CollectRows(rows, scan.ReadPart)
		return err
	})
	return parts, err
}

// MoveChunk implements store.Placements.
func (s *Store) MoveChunk(ctx context.Context, id store.ChunkID, from, to store.Placement) error {
	fromNode, fromSum := pack.Pack([]store.Placement{from})
	toNode, toSum := pack.Pack([]store.Placement{to})
	part, chunk := [16]byte(id.Part), int64(store.NewChunkSet(int(id.Index)))
	err := s.clients.Write(ctx, "MoveChunk", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.TakeReclaim, part, int32(id.Index), toNode)
		b.Queue(s.q.MoveChunk, part, int32(id.Index), fromNode, fromSum, toNode, toSum)
		if to.Node.IsZero() {
			b.Queue(s.q.QueueLost, part, chunk, store.MaxPriority, store.MaxReasons)
		} else {
			b.Queue(s.q.DropRepair, part, chunk)
			b.Queue(s.q.FinishRepair, part)
		}
		return db.Pipeline(ctx, c, b)
	})
	if !errors.Is(err, store.PreconditionFailed) {
		return err
	}
	if p, _, err := s.Part(ctx, id.Part); err != nil || int(id.Index) >= len(p.Chunks) {
		return cmp.Or(err, error(store.Errorf(store.NotFound, "chunk %s does not exist", id)))
	}
	return store.Errorf(store.Conflict, "chunk %s is no longer at the place it was to be moved from, or is being deleted at the new one", id)
}

func noPart(id store.PartID) error {
	return store.Errorf(store.NotFound, "part %s does not exist", id)
}
