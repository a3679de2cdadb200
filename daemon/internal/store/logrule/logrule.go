// Package logrule has the rules of the metadata log that all metadata stores apply.
package logrule

import "github.com/ringstore/ringstore/daemon/internal/store"

// EndOfBatch cuts files, of which the last may lack parts, after BatchParts parts: of files with more parts in all the ones after that
// are left out. It is for implementations that read at most store.BatchParts+store.MaxParts parts.
func EndOfBatch(files []store.File) store.FileBatch {
	parts := 0
	for i, f := range files {
		if parts += len(f.Parts); parts > store.BatchParts && i+1 < len(files) {
			return store.FileBatch{Files: files[:i+1], More: true}
		}
	}
	return store.FileBatch{Files: files}
}

// Check reports whether the change c may be made to a log whose segments have at most this term and this number:
// Conflict as ChangeLog has it, without the fence; Invalid.
func Check(c store.LogChange, term, number uint64) error {
	if term > c.Term {
		return store.Errorf(store.Conflict, "the metadata log is written by a gateway of term %d, which is newer than %d", term, c.Term)
	}
	for _, s := range c.Add {
		switch {
		case s.Number <= number:
			return store.Errorf(store.Conflict, "segment %d of the metadata log is not newer than the last one, %d", s.Number, number)
		case s.Term != c.Term, !s.Part.ID.IsLog(), s.Log.IsZero():
			return store.Errorf(store.Invalid, "segment %d has no log, another term than its writer, or a part that is not one of the metadata log", s.Number)
		}
		number = s.Number
	}
	return nil
}

// LoggedTo returns what store.MetadataLog.LoggedTo returns of these segments; 0 when there is no log that has everything.
func LoggedTo(segments []store.LogSegment) (last store.Revision) {
	whole := map[store.LogID]bool{}
	for _, s := range segments {
		if s.Kind == store.SnapshotEnd || s.Kind == store.TailSegment && s.First == 0 {
			whole[s.Log] = true
		}
	}
	for _, s := range segments {
		if s.Kind != store.SnapshotSegment && whole[s.Log] {
			last = max(last, s.Last)
		}
	}
	return last
}

// ErrNoLog is the error of store.MetadataLog.LoggedTo when no log has everything.
func ErrNoLog() *store.Error {
	return store.Errorf(store.NotFound, "no metadata log is complete yet")
}

// ErrOtherCluster is the error of AdoptCluster in a store with nodes.
func ErrOtherCluster(id store.ClusterID) *store.Error {
	return store.Errorf(store.Conflict, "this metadata store has nodes of another cluster than %s", id).WithHint("Rebuild into a new, empty store.")
}
