package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BeginPart implements store.Sessions.
func (s *Store) BeginPart(ctx context.Context, id store.FileID, p store.Part) error {
	err := s.write(ctx, "BeginPart", func(t *tx) error {
		if err := s.alive(t, id); err != nil {
			return err
		}
		if err := s.partIsNew(t, p.ID); err != nil {
			return err
		}
		nodes, _ := pack.Pack(p.Chunks)
		_, err := t.exec(s.q.InsertAttempt, p.ID[:], id[:], nodes, micros(s.now()))
		return err
	})
	if errors.Is(err, store.Exists) {
		return partExists(p.ID)
	}
	return err
}

func partExists(id store.PartID) error {
	return store.Errorf(store.Exists, "part %s exists already", id)
}

// partIsNew is Exists for a part of a session's or a file's.
func (s *Store) partIsNew(t *tx, id store.PartID) error {
	var taken bool
	err := t.row(s.q.PartTaken, id[:]).scan(&taken)
	if err == nil && taken {
		return partExists(id)
	}
	return err
}

// SavePart implements store.Sessions.
func (s *Store) SavePart(ctx context.Context, id store.FileID, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "SavePart", id, p, ttl, true)
}

// AddPart implements store.Sessions.
func (s *Store) AddPart(ctx context.Context, id store.FileID, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "AddPart", id, p, ttl, false)
}

func (s *Store) takePart(ctx context.Context, op string, id store.FileID, p store.Part, ttl time.Duration, replace bool) error {
	if err := store.ValidTTL(ttl); err != nil {
		return err
	}
	return s.write(ctx, op, func(t *tx) error {
		if err := s.alive(t, id); err != nil {
			return err
		}
		has, err := s.hasPart(t, id, p.ID)
		if err != nil || has {
			return err
		}
		if err := s.partIsNew(t, p.ID); err != nil {
			return err
		}
		if !replace {
			if err := s.numberIsFree(t, id, p.Number); err != nil {
				return err
			}
		}
		planned, err := s.takeNodes(t, s.q.RemoveAttempt, p.ID[:])
		if err != nil {
			return err
		}
		if err := s.reclaimPlanned(t, planned, []store.Part{p}); err != nil {
			return err
		}
		return s.placePart(t, id, p, ttl)
	})
}

func (s *Store) numberIsFree(t *tx, session store.FileID, number int) error {
	var taken bool
	if err := t.row(s.q.NumberTaken, session[:], number).scan(&taken); err != nil {
		return err
	}
	if taken {
		return store.Errorf(store.Conflict, "session %s has a part %d already", session, number)
	}
	return nil
}

// hasPart reports whether the part is one of the session's.
func (s *Store) hasPart(t *tx, session store.FileID, part store.PartID) (bool, error) {
	var owner []byte
	err := t.row(s.q.SessionOfPart, part[:]).scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && store.FileID(owner) == session, err
}

// placePart puts the part in the place of the one of its number, and lets the session live on.
func (s *Store) placePart(t *tx, id store.FileID, p store.Part, ttl time.Duration) error {
	rows, err := t.query(s.q.RemoveSessionPart, id[:], p.Number)
	if err != nil {
		return err
	}
	old, err := scanParts(rows)
	if err != nil {
		return err
	}
	if err := s.enqueueAll(t, reclaims(old, "it was sent again")); err != nil {
		return err
	}
	grown := p.Size
	for _, o := range old {
		grown -= o.Size
	}
	now := s.now()
	nodes, sums := pack.Pack(p.Chunks)
	if _, err := t.exec(s.q.InsertSessionPart, id[:], p.Number, p.ID[:], p.Size, p.K, p.M, p.UnitSize, int64(p.CRC64), nodes, sums, micros(now)); err != nil {
		return err
	}
	_, err = t.exec(s.q.SlideSession, micros(now.Add(ttl)), grown, id[:])
	return err
}

// DropPart implements store.Sessions.
func (s *Store) DropPart(ctx context.Context, p store.Part) error {
	return s.write(ctx, "DropPart", func(t *tx) error {
		err := s.partIsNew(t, p.ID)
		if errors.Is(err, store.Exists) {
			return store.Errorf(store.Conflict, "part %s belongs to a session or a file", p.ID)
		}
		if err != nil {
			return err
		}
		planned, err := s.takeNodes(t, s.q.RemoveAttempt, p.ID[:])
		if err != nil {
			return err
		}
		return s.enqueueAll(t, reclaims(append(planned, p), "its upload failed"))
	})
}

// scanSessionParts reads the columns that SessionParts lists.
func scanSessionParts(rows *sql.Rows) (parts []store.SessionPart, err error) {
	err = each(rows, func() error {
		var stored int64
		p, err := scanPart(rows, &stored)
		parts = append(parts, store.SessionPart{Part: p, StoredAt: fromMicros(stored)})
		return err
	})
	return parts, err
}
