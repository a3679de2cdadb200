package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/scan"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

func noPart(id store.PartID) error { return store.Errorf(store.NotFound, "part %s does not exist", id) }

// Part implements store.Placements.
func (s *Store) Part(ctx context.Context, id store.PartID) (p store.Part, f store.File, err error) {
	err = s.db.Read(ctx, "Part", func(r *db.Reader) error {
		if p, err = s.part(r, id); err != nil {
			return err
		}
		f, err = s.owner(r, id)
		return err
	})
	return p, f, err
}

// owner returns the file of a stored part, or the file that its session will become, or the one that stands for the metadata log.
func (s *Store) owner(r *db.Reader, id store.PartID) (f store.File, err error) {
	var owner []byte
	if err := r.Row(s.db.Q.OwnerOfPart, id[:]).Scan(&owner); err != nil {
		return f, err
	}
	f, err = s.bareFile(r, noPart(id), s.db.Q.File, owner)
	if !errors.Is(err, store.NotFound) {
		return f, err
	}
	if id.IsLog() {
		return store.File{State: store.Complete}, nil
	}
	var bucket string
	var key []byte
	err = r.Row(s.db.Q.SessionNames, owner).Scan(&bucket, &key)
	if errors.Is(err, sql.ErrNoRows) {
		return store.File{}, noPart(id)
	}
	return store.File{ID: store.FileID(owner), Bucket: store.BucketName(bucket), Key: store.Key(key), State: store.Uploading}, err
}

// WidenPart implements store.Placements.
func (s *Store) WidenPart(ctx context.Context, id store.PartID, parity int) error {
	return s.db.Write(ctx, "WidenPart", func(t *db.Tx) error {
		p, err := s.part(t, id)
		if err != nil {
			return err
		}
		if err := valid.Width(p.K, parity); err != nil || parity <= p.M {
			return err
		}
		old := len(p.Chunks)
		p.M = parity
		p.Chunks = append(p.Chunks, make([]store.Placement, p.K+p.M-old)...)
		nodes, sums := pack.Pack(p.Chunks)
		if _, err := t.Exec(s.db.Q.Widen, p.M, nodes, sums, id[:]); err != nil {
			return err
		}
		var added store.ChunkSet
		for i := old; i < len(p.Chunks); i++ {
			added |= store.NewChunkSet(i)
		}
		return s.queueRepair(t, p, added, "widened")
	})
}

func (s *Store) part(a db.Asker, id store.PartID) (store.Part, error) {
	rows, err := a.Query(s.db.Q.Part, id[:])
	if err != nil {
		return store.Part{}, err
	}
	parts, err := scan.Parts(rows)
	if err != nil {
		return store.Part{}, err
	}
	if len(parts) == 0 {
		return store.Part{}, noPart(id)
	}
	return parts[0], nil
}

// PartsByID implements store.Placements.
func (s *Store) PartsByID(ctx context.Context, ids []store.PartID) (parts []store.Part, err error) {
	if err := (store.ObjectQuery{Limit: len(ids)}).Validate(); err != nil {
		return nil, err
	}
	err = s.db.ReadOnce(ctx, "PartsByID", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.PartsByID, db.IDs(ids))
		if err != nil {
			return err
		}
		parts, err = scan.Parts(rows)
		return err
	})
	return parts, err
}

// PartsAfter implements store.Placements.
func (s *Store) PartsAfter(ctx context.Context, after store.PartID, limit int) (parts []store.Part, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, "PartsAfter", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.PartsAfter, after[:], limit)
		if err != nil {
			return err
		}
		parts, err = scan.Parts(rows)
		return err
	})
	return parts, err
}

// MoveChunk implements store.Placements.
func (s *Store) MoveChunk(ctx context.Context, id store.ChunkID, from, to store.Placement) error {
	return s.db.Write(ctx, "MoveChunk", func(t *db.Tx) error {
		p, err := s.part(t, id.Part)
		if err != nil {
			return err
		}
		if err := s.mayMove(t, p, id, from, to); err != nil {
			return err
		}
		p.Chunks[id.Index] = to
		nodes, sums := pack.Pack(p.Chunks)
		if _, err := t.Exec(s.db.Q.PlaceChunks, nodes, sums, id.Part[:]); err != nil {
			return err
		}
		return s.afterMove(t, p, id, from, to)
	})
}

// mayMove checks the move, and removes a reclaim at the new place if it was never claimed.
func (s *Store) mayMove(t *db.Tx, p store.Part, id store.ChunkID, from, to store.Placement) error {
	if int(id.Index) >= len(p.Chunks) {
		return store.Errorf(store.NotFound, "part %s has no chunk %d", id.Part, id.Index)
	}
	if p.Chunks[id.Index] != from {
		return store.Errorf(store.Conflict, "chunk %s was moved in the meantime", id)
	}
	if to.Node.IsZero() {
		return nil
	}
	reclaim := identity(store.Task{Kind: store.Reclaim, Chunk: id, Node: to.Node})
	if err := s.removeTask(t, store.Reclaim, s.db.Q.CallOff, reclaim...); err != nil {
		return err
	}
	var queued bool
	err := t.Row(s.db.Q.IsQueued, reclaim...).Scan(&queued)
	if err == nil && queued {
		return store.Errorf(store.Conflict, "chunk %s may be being deleted on node %s", id, to.Node).WithHint("Try again when its reclaim is done.")
	}
	return err
}

func (s *Store) afterMove(t *db.Tx, p store.Part, id store.ChunkID, from, to store.Placement) error {
	if !from.Node.IsZero() && from.Node != to.Node {
		if err := s.enqueue(t, store.Task{Kind: store.Reclaim, Chunk: id, Node: from.Node, Reason: "the chunk was moved"}); err != nil {
			return err
		}
	}
	chunk := store.NewChunkSet(int(id.Index))
	if to.Node.IsZero() {
		return s.queueRepair(t, p, chunk, "lost")
	}
	if _, err := t.Exec(s.db.Q.DropRepair, id.Part[:], int64(chunk)); err != nil {
		return err
	}
	_, err := t.Exec(s.db.Q.FinishRepair, id.Part[:])
	return err
}

// queueRepair queues the repair of chunks of the part, if there are any.
func (s *Store) queueRepair(t *db.Tx, p store.Part, chunks store.ChunkSet, reason string) error {
	if chunks == 0 {
		return nil
	}
	task := placement.Repair(p, p.Missing(), reason)
	task.Chunks = chunks
	return s.enqueue(t, task)
}
