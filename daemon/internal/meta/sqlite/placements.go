package sqlite

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func noPart(id store.PartID) error { return store.Errorf(store.NotFound, "part %s does not exist", id) }

// Part implements store.Placements.
func (s *Store) Part(ctx context.Context, id store.PartID) (p store.Part, f store.File, err error) {
	err = s.read(ctx, "Part", func(r *reader) error {
		if p, err = s.part(r, id); err != nil {
			return err
		}
		var file []byte
		if err := r.row(s.q.FileOfPart, id[:]).scan(&file); err != nil {
			return err
		}
		f, err = s.bareFile(r, noPart(id), s.q.File, file)
		return err
	})
	return p, f, err
}

func (s *Store) part(a asker, id store.PartID) (store.Part, error) {
	rows, err := a.query(s.q.Part, id[:])
	if err != nil {
		return store.Part{}, err
	}
	parts, err := scanParts(rows)
	if err != nil {
		return store.Part{}, err
	}
	if len(parts) == 0 {
		return store.Part{}, noPart(id)
	}
	return parts[0], nil
}

// PartsAfter implements store.Placements.
func (s *Store) PartsAfter(ctx context.Context, after store.PartID, limit int) (parts []store.Part, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return nil, err
	}
	err = s.read(ctx, "PartsAfter", func(r *reader) error {
		rows, err := r.query(s.q.PartsAfter, after[:], limit)
		if err != nil {
			return err
		}
		parts, err = scanParts(rows)
		return err
	})
	return parts, err
}

// MoveChunk implements store.Placements.
func (s *Store) MoveChunk(ctx context.Context, id store.ChunkID, from, to store.Placement) error {
	return s.write(ctx, "MoveChunk", func(t *tx) error {
		p, err := s.part(t, id.Part)
		if err != nil {
			return err
		}
		if err := s.mayMove(t, p, id, from, to); err != nil {
			return err
		}
		p.Chunks[id.Index] = to
		nodes, sums := pack.Pack(p.Chunks)
		if _, err := t.exec(s.q.PlaceChunks, nodes, sums, id.Part[:]); err != nil {
			return err
		}
		return s.afterMove(t, id, from, to)
	})
}

// mayMove checks the move, and calls a reclaim at the new place off if nobody has claimed it.
func (s *Store) mayMove(t *tx, p store.Part, id store.ChunkID, from, to store.Placement) error {
	if int(id.Index) >= len(p.Chunks) {
		return store.Errorf(store.NotFound, "part %s has no chunk %d", id.Part, id.Index)
	}
	if p.Chunks[id.Index] != from {
		return store.Errorf(store.Conflict, "chunk %s was moved by somebody else", id)
	}
	if to.Node.IsZero() {
		return nil
	}
	reclaim := identity(store.Task{Kind: store.Reclaim, Chunk: id, Node: to.Node})
	if _, err := t.exec(s.q.CallOff, reclaim...); err != nil {
		return err
	}
	var queued bool
	err := t.row(s.q.IsQueued, reclaim...).scan(&queued)
	if err == nil && queued {
		return store.Errorf(store.Conflict, "chunk %s may just be being deleted on node %s", id, to.Node).WithHint("Try again when its reclaim is done.")
	}
	return err
}

func (s *Store) afterMove(t *tx, id store.ChunkID, from, to store.Placement) error {
	var errs []error
	if !from.Node.IsZero() && from.Node != to.Node {
		errs = append(errs, s.enqueue(t, store.Task{Kind: store.Reclaim, Chunk: id, Node: from.Node, Reason: "the chunk was moved"}))
	}
	if to.Node.IsZero() {
		errs = append(errs, s.enqueue(t, store.Task{Kind: store.Repair, Chunk: id, Reason: "the chunk was lost"}))
	} else {
		_, err := t.exec(s.q.FinishRepairs, id.Part[:], int64(id.Index))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
