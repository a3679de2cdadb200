package sqlite

import (
	"bytes"
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// CompleteSession implements store.Sessions.
func (s *Store) CompleteSession(ctx context.Context, f store.File, sessions []store.FileID) (store.File, store.FileID, error) {
	var replaced store.FileID
	err := s.write(ctx, "CompleteSession", func(t *tx) (err error) {
		bucket, _, err := s.bucketID(t, f.Bucket)
		if err != nil {
			return err
		}
		have, err := s.takeSessions(t, sessions)
		if err != nil {
			return err
		}
		if err := s.fileIsNew(t, f.ID); err != nil {
			return err
		}
		if f.Parts, err = take(have, f.Parts); err != nil {
			return err
		}
		if err := s.reclaimLeft(t, have); err != nil {
			return err
		}
		replaced, err = s.show(t, bucket, &f)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, existing(f, err)
	}
	return asStored(f), replaced, nil
}

// leftReason is why the parts that a file does not take are reclaimed.
const leftReason = "its session was completed without it"

// takeSessions ends the sessions, and returns the parts that had arrived.
func (s *Store) takeSessions(t *tx, sessions []store.FileID) (map[store.PartID]store.Part, error) {
	have := map[store.PartID]store.Part{}
	for i, id := range sessions {
		if slices.Contains(sessions[:i], id) {
			continue
		}
		if err := s.alive(t, id); err != nil {
			return nil, err
		}
		rows, err := t.query(s.q.RemoveSessionParts, id[:])
		if err != nil {
			return nil, err
		}
		parts, err := scanParts(rows)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			have[p.ID] = p
		}
		if err := s.endSession(t, id, leftReason); err != nil {
			return nil, err
		}
	}
	return have, nil
}

func (s *Store) fileIsNew(t *tx, id store.FileID) error {
	var exists bool
	err := t.row(s.q.FileExists, id[:]).scan(&exists)
	if err == nil && exists {
		return store.Errorf(store.Exists, "file %s exists already", id)
	}
	return err
}

// take moves the wanted parts, by id, out of those that are there, and gives
// them the numbers that are wanted.
func take(have map[store.PartID]store.Part, want []store.Part) ([]store.Part, error) {
	parts := make([]store.Part, len(want))
	for i, w := range want {
		p, ok := have[w.ID]
		if !ok {
			return nil, store.Errorf(store.Conflict, "part %d was replaced meanwhile", w.Number).WithHint("Look at the session, then complete it again.")
		}
		delete(have, w.ID)
		p.Number = w.Number
		parts[i] = p
	}
	return parts, nil
}

// reclaimLeft queues the chunks of the parts that the file did not take, in an order that does not depend on the map's.
func (s *Store) reclaimLeft(t *tx, left map[store.PartID]store.Part) error {
	parts := make([]store.Part, 0, len(left))
	for _, p := range left {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b store.Part) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return s.enqueueAll(t, reclaims(parts, leftReason))
}
