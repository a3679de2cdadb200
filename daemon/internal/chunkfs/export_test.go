package chunkfs

// Waiting is the number of callers that wait for the next batch of the log.
func (s *Store) Waiting() int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return len(s.log.waiting)
}

// SetMoveBytes makes compaction write its copies in groups of n bytes.
func (s *Store) SetMoveBytes(n int64) { s.moveBytes = n }
