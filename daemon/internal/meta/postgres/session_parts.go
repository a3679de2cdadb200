package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// BeginPart implements store.Sessions.
func (s *Store) BeginPart(ctx context.Context, id store.FileID, p store.Part) error {
	if err := valid.Checksums(p); err != nil {
		return err
	}
	begin := s.q.Args(s.q.BeginPart, partValues(id, p))
	return s.clients.Write(ctx, "BeginPart", func(c *db.Conn) error {
		var there, begun bool
		var before int16
		err := c.QueryRow(ctx, s.q.BeginPart, begin...).Scan(&there, &begun, &before)
		switch {
		case err != nil:
			return err
		case !there:
			return noSession(id)
		case before == partDropped:
			return partDroppedError(p.ID)
		case !begun:
			return partExists(p.ID)
		}
		return nil
	})
}

// The states of a part's row; 1 is begun.
const (
	partStored  = 2
	partDropped = 3 // a fence: no part of that id can be stored any more
)

// SavePart implements store.Sessions. The expiry may be that of a part that the same caller saved up to a second earlier: see SlideSession.
func (s *Store) SavePart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "SavePart", c, p, ttl, true)
}

// AddPart implements store.Sessions. It does not remove the part of the number, so the unique index refuses a second one.
func (s *Store) AddPart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "AddPart", c, p, ttl, false)
}

func (s *Store) takePart(ctx context.Context, op string, change store.SessionChange, p store.Part, ttl time.Duration, replace bool) error {
	if err := valid.TTL(ttl); err != nil {
		return err
	}
	if err := valid.Checksums(p); err != nil {
		return err
	}
	session, part := [16]byte(change.Session), [16]byte(p.ID)
	save, repair := partValues(change.Session, p), placement.Repair(p, p.Missing(), "")
	save["missing"], save["priority"] = int64(repair.Chunks), int16(repair.Priority)
	return s.clients.Write(ctx, op, func(c *db.Conn) error {
		var there, stored bool
		var owner [16]byte
		var state int16
		b := &pgx.Batch{}
		if replace {
			b.Queue(s.q.DropReplaced, session, part, int32(p.Number))
		}
		b.Queue(s.q.DropUnused, session, part, save["nodes"])
		b.Queue(s.q.StorePart, s.q.Args(s.q.StorePart, save)...).
			QueryRow(func(row pgx.Row) error { return row.Scan(&there, &stored) })
		b.Queue(s.q.SlideSession, session, part, ttl, change.Caller)
		b.Queue(s.q.PartState, part).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&owner, &state}, func() error { return nil })
			return err
		})
		if err := db.Pipeline(ctx, c, b); err != nil {
			if replace && db.IsNumberTaken(err) {
				return db.ErrSavedAtOnce
			}
			if db.IsNumberTaken(err) {
				return store.Errorf(store.Conflict, "session %s has a part %d already", change.Session, p.Number)
			}
			return err
		}
		switch {
		case !there:
			return noSession(change.Session)
		case stored, state == partStored && owner == session:
			return nil
		case state == partDropped:
			return partDroppedError(p.ID)
		}
		return partExists(p.ID)
	})
}

// DropPart implements store.Sessions.
func (s *Store) DropPart(ctx context.Context, p store.Part) error {
	chunks := newChunkArrays()
	for i, c := range p.Chunks {
		chunks.add(p.ID, i, c.Node)
	}
	return s.clients.Write(ctx, "DropPart", func(c *db.Conn) error {
		var kept bool
		b := &pgx.Batch{}
		b.Queue(s.q.LockPart, [16]byte(p.ID))
		b.Queue(s.q.FencePart, [16]byte(p.ID))
		b.Queue(s.q.DropPart, [16]byte(p.ID), chunks.indexes, chunks.nodes).
			QueryRow(func(row pgx.Row) error { return row.Scan(&kept) })
		b.Queue(s.q.MarkDropped, [16]byte(p.ID))
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		if kept {
			return store.Errorf(store.Conflict, "part %s belongs to a session or a file", p.ID)
		}
		return nil
	})
}

func partDroppedError(id store.PartID) error {
	return store.Errorf(store.Conflict, "part %s was abandoned", id)
}

func partExists(id store.PartID) error {
	return store.Errorf(store.Exists, "part %s exists already", id)
}
