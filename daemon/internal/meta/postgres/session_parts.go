package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BeginPart implements store.Sessions.
func (s *Store) BeginPart(ctx context.Context, id store.FileID, p store.Part) error {
	nodes, _ := pack.Pack(p.Chunks)
	return s.write(ctx, "BeginPart", func(c *conn) error {
		var there, begun bool
		err := c.QueryRow(ctx, s.q.BeginPart, [16]byte(id), [16]byte(p.ID), int16(p.K), int16(p.M), nodes).Scan(&there, &begun)
		switch {
		case err != nil:
			return err
		case !there:
			return noSession(id)
		case !begun:
			return partExists(p.ID)
		}
		return nil
	})
}

// SavePart implements store.Sessions. ExpiresAt is that of a part saved at most a second ago: see SlideSession.
func (s *Store) SavePart(ctx context.Context, id store.FileID, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "SavePart", id, p, ttl, true)
}

// AddPart implements store.Sessions. That the number is free is the primary key's to say: what is there is not dropped.
func (s *Store) AddPart(ctx context.Context, id store.FileID, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "AddPart", id, p, ttl, false)
}

func (s *Store) takePart(ctx context.Context, op string, id store.FileID, p store.Part, ttl time.Duration, replace bool) error {
	if err := store.ValidTTL(ttl); err != nil {
		return err
	}
	session, part := [16]byte(id), [16]byte(p.ID)
	nodes, sums := pack.Pack(p.Chunks)
	return s.write(ctx, op, func(c *conn) error {
		var there, stored, before bool
		b := &pgx.Batch{}
		if replace {
			b.Queue(s.q.DropReplaced, session, part, int32(p.Number))
		}
		b.Queue(s.q.StorePart, session, part, int32(p.Number), p.Size, int16(p.K), int16(p.M), int32(p.UnitSize), int64(p.CRC64), nodes, sums).
			QueryRow(func(row pgx.Row) error { return row.Scan(&there, &stored, &before) })
		b.Queue(s.q.SlideSession, session, part, ttl)
		if err := pipeline(ctx, c, b); err != nil {
			if !replace && isNumberTaken(err) {
				return store.Errorf(store.Conflict, "session %s has a part %d already", id, p.Number)
			}
			return err
		}
		switch {
		case !there:
			return noSession(id)
		case !stored && !before:
			return partExists(p.ID)
		}
		return nil
	})
}

// DropPart implements store.Sessions.
func (s *Store) DropPart(ctx context.Context, p store.Part) error {
	chunks := newChunkArrays()
	for i, c := range p.Chunks {
		chunks.add(p.ID, i, c.Node)
	}
	return s.write(ctx, "DropPart", func(c *conn) error {
		var kept bool
		b := &pgx.Batch{}
		b.Queue(s.q.LockAttempt, [16]byte(p.ID))
		b.Queue(s.q.DropPart, [16]byte(p.ID), chunks.indexes, chunks.nodes).
			QueryRow(func(row pgx.Row) error { return row.Scan(&kept) })
		if err := pipeline(ctx, c, b); err != nil {
			return err
		}
		if kept {
			return store.Errorf(store.Conflict, "part %s belongs to a session or a file", p.ID)
		}
		return nil
	})
}

func partExists(id store.PartID) error {
	return store.Errorf(store.Exists, "part %s is there already", id)
}
