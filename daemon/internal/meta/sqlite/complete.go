package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// CompleteSession implements store.Sessions.
func (s *Store) CompleteSession(ctx context.Context, c store.Completion) (store.File, store.FileID, error) {
	f := c.File
	var previous store.FileID
	if err := store.ValidAttributes(f.Attributes); err != nil {
		return store.File{}, previous, err
	}
	err := s.db.Write(ctx, "CompleteSession", func(t *db.Tx) (err error) {
		f = c.File
		bucket, err := s.bucketOf(t, f.Bucket)
		if err != nil {
			return err
		}
		have, err := s.partsOf(t, c.Sessions)
		if err != nil {
			return err
		}
		if err := s.fileIsNew(t, f.ID); err != nil {
			return err
		}
		if f.Parts, err = choose(have, f.Parts); err != nil {
			return err
		}
		if err := s.attempt(t, c.Attempt); err != nil {
			return err
		}
		if err := s.endSessions(t, c.Sessions, f); err != nil {
			return err
		}
		previous, err = s.show(t, bucket, &f, c.Change)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, existing(f, err)
	}
	return asStored(f), previous, nil
}

// partsOf returns the stored parts of the sessions.
func (s *Store) partsOf(t *db.Tx, sessions []store.FileID) (map[store.PartID]store.Part, error) {
	have := map[store.PartID]store.Part{}
	for _, id := range sessions {
		if err := s.alive(t, id); err != nil {
			return nil, err
		}
		rows, err := t.Query(s.db.Q.SessionParts, id[:])
		if err != nil {
			return nil, err
		}
		parts, err := scan.SessionParts(rows)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			have[p.ID] = p.Part
		}
	}
	return have, nil
}

func (s *Store) fileIsNew(t *db.Tx, id store.FileID) error {
	var exists bool
	err := t.Row(s.db.Q.FileExists, id[:]).Scan(&exists)
	if err == nil && exists {
		return store.Errorf(store.Exists, "file %s exists already", id)
	}
	return err
}

// choose finds the wanted parts, by id, among the existing ones, and gives
// them the wanted numbers.
func choose(have map[store.PartID]store.Part, want []store.Part) ([]store.Part, error) {
	parts := make([]store.Part, len(want))
	for i, w := range want {
		p, ok := have[w.ID]
		if !ok {
			return nil, store.Errorf(store.Conflict, "part %d was replaced in the meantime", w.Number).WithHint("Read the session, then complete it again.")
		}
		delete(have, w.ID)
		p.Number = w.Number
		parts[i] = p
	}
	return parts, nil
}

// endSessions removes the sessions, gives the file its parts, and moves the other parts to a Deleted file of their own.
func (s *Store) endSessions(t *db.Tx, sessions []store.FileID, f store.File) error {
	left, handed := store.NewFileID(), int64(0)
	for i, id := range sessions {
		if slices.Contains(sessions[:i], id) {
			continue
		}
		if _, err := t.Exec(s.db.Q.RemoveSession, id[:]); err != nil {
			return err
		}
		n, err := s.split(t, id, left, f)
		if err != nil {
			return err
		}
		handed += n
	}
	if handed == 0 {
		return nil
	}
	for _, p := range f.Parts {
		if _, err := t.Exec(s.db.Q.TakePart, f.ID[:], p.Number, p.ID[:]); err != nil {
			return err
		}
	}
	if handed == int64(len(f.Parts)) {
		return nil
	}
	return s.insertMarker(t, store.File{ID: left}, 0, store.Deleted, "not in the file", time.Time{})
}

// split moves the session's parts to left, and returns their number. Where the file has the session's id and all of its
// parts, which is the usual case, it changes no row.
func (s *Store) split(t *db.Tx, session, left store.FileID, f store.File) (handed int64, err error) {
	if session == f.ID {
		same, err := s.hasExactly(t, session, f.Parts)
		if err != nil || same {
			return 0, err
		}
	}
	return t.Exec(s.db.Q.HandOver, left[:], session[:])
}

// hasExactly reports whether the rows of the owner are these parts and no others.
func (s *Store) hasExactly(t *db.Tx, owner store.FileID, parts []store.Part) (bool, error) {
	rows, err := t.Query(s.db.Q.Parts, owner[:])
	if err != nil {
		return false, err
	}
	at, same := 0, true
	err = db.Each(rows, func() error {
		p, err := scan.Part(rows)
		same = same && at < len(parts) && parts[at].ID == p.ID && parts[at].Number == p.Number
		at++
		return err
	})
	return same && at == len(parts), err
}
