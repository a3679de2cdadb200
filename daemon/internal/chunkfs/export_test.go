package chunkfs

import "github.com/ringstore/ringstore/daemon/internal/store"

// Lock takes the lock under which a chunk is committed, deleted and moved. The caller must call unlock; waited reports whether another
// caller waits for it.
func (s *Store) Lock(id store.ChunkID) (unlock func(), waited func() bool) {
	s.ids.lock(id)
	return func() { s.ids.unlock(id) }, func() bool {
		s.ids.mu.Lock()
		defer s.ids.mu.Unlock()
		return s.ids.held[id] != nil
	}
}

// Waiting is the number of callers that wait for this batch of the log or the next.
func (s *Store) Waiting() int { return s.log.Waiting() }

// SetMoveBytes makes compaction write its copies in groups of n bytes.
func (s *Store) SetMoveBytes(n int64) { s.moveBytes = n }
