package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// BeginPart implements store.Sessions.
func (s *Store) BeginPart(ctx context.Context, id store.FileID, p store.Part) error {
	if err := valid.Checksums(p); err != nil {
		return err
	}
	err := s.db.Write(ctx, "BeginPart", func(t *db.Tx) error {
		if err := s.alive(t, id); err != nil {
			return err
		}
		if err := s.partIsNew(t, p.ID, false); err != nil {
			return err
		}
		return s.insertPart(t, id, partBegun, p)
	})
	if errors.Is(err, store.Exists) {
		return partExists(p.ID)
	}
	return err
}

func partExists(id store.PartID) error {
	return store.Errorf(store.Exists, "part %s exists already", id)
}

// partIsNew returns Exists for a part of a session or a file, and Conflict for a dropped one.
// A begun part counts as new where mayBeBegun is set.
func (s *Store) partIsNew(t *db.Tx, id store.PartID, mayBeBegun bool) error {
	_, state, err := s.partState(t, id)
	switch {
	case err != nil:
		return err
	case state == partDropped:
		return store.Errorf(store.Conflict, "part %s was abandoned", id)
	case state == partStored, state == partBegun && !mayBeBegun:
		return partExists(id)
	}
	return nil
}

// partState returns the owner and the state of the part's row; 0 when it has no row.
func (s *Store) partState(t *db.Tx, id store.PartID) (owner store.FileID, state int, err error) {
	var of []byte
	err = t.Row(s.db.Q.PartState, id[:]).Scan(&of, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return owner, 0, nil
	}
	if err != nil {
		return owner, 0, err
	}
	return store.FileID(of), state, nil
}

// SavePart implements store.Sessions.
func (s *Store) SavePart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "SavePart", c, p, ttl, true)
}

// AddPart implements store.Sessions.
func (s *Store) AddPart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return s.takePart(ctx, "AddPart", c, p, ttl, false)
}

func (s *Store) takePart(ctx context.Context, op string, c store.SessionChange, p store.Part, ttl time.Duration, replace bool) error {
	if err := valid.TTL(ttl); err != nil {
		return err
	}
	if err := valid.Checksums(p); err != nil {
		return err
	}
	return s.db.Write(ctx, op, func(t *db.Tx) error {
		if err := s.alive(t, c.Session); err != nil {
			return err
		}
		owner, state, err := s.partState(t, p.ID)
		if err != nil || owner == c.Session && state == partStored {
			return err
		}
		if err := s.partIsNew(t, p.ID, true); err != nil {
			return err
		}
		if !replace {
			if err := s.numberIsFree(t, c.Session, p.Number); err != nil {
				return err
			}
		}
		planned, err := s.takeNodes(t, s.db.Q.RemoveBegun, p.ID[:])
		if err != nil {
			return err
		}
		if err := s.reclaimPlanned(t, planned, []store.Part{p}); err != nil {
			return err
		}
		return s.placePart(t, c, p, ttl)
	})
}

func (s *Store) numberIsFree(t *db.Tx, session store.FileID, number int) error {
	var taken bool
	if err := t.Row(s.db.Q.NumberTaken, session[:], number).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return store.Errorf(store.Conflict, "session %s has a part %d already", session, number)
	}
	return nil
}

// placePart replaces the part of the same number, and extends the session.
func (s *Store) placePart(t *db.Tx, c store.SessionChange, p store.Part, ttl time.Duration) error {
	rows, err := t.Query(s.db.Q.RemoveNumber, c.Session[:], p.Number)
	if err != nil {
		return err
	}
	old, err := scan.Parts(rows)
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
	if err := s.insertPart(t, c.Session, partStored, p); err != nil {
		return err
	}
	if err := s.queueRepairs(t, []store.Part{p}); err != nil {
		return err
	}
	_, err = t.Exec(s.db.Q.SlideSession, db.Micros(s.db.Now().Add(ttl)), grown, c.Caller, c.Session[:])
	return err
}

// DropPart implements store.Sessions.
func (s *Store) DropPart(ctx context.Context, p store.Part) error {
	return s.db.Write(ctx, "DropPart", func(t *db.Tx) error {
		_, state, err := s.partState(t, p.ID)
		switch {
		case err != nil:
			return err
		case state == partStored:
			return store.Errorf(store.Conflict, "part %s belongs to a session or a file", p.ID)
		}
		planned, err := s.takeNodes(t, s.db.Q.RemoveBegun, p.ID[:])
		if err != nil {
			return err
		}
		if err := s.enqueueAll(t, reclaims(append(planned, p), "its upload failed")); err != nil || state == partDropped {
			return err
		}
		return s.insertPart(t, store.FileID(p.ID), partDropped, store.Part{ID: p.ID})
	})
}
