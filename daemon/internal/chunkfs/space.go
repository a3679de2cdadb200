package chunkfs

import (
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// spaceAge is the greatest age of the disk's measured free space. Between measurements the
// store's own writes are counted.
const spaceAge = time.Second

// space keeps account of the disk: what it has, what is used, and what was promised to writers.
type space struct {
	look    func() (vfs.Space, error)
	now     func() time.Time
	reserve int64 // bytes to leave free
	limit   int64 // bytes that chunks may use, 0 for all

	mu       sync.Mutex // guards the fields below
	disk     vfs.Space  // as of the last look, Free lowered by what was promised then
	looked   time.Time
	taken    int64 // bytes taken since that look
	promised int64 // bytes taken that the disk does not know of yet
	used     int64 // bytes of chunks, garbage and promises included
}

// take promises n bytes to a writer, or is NoSpace. Every byte taken is given to landed or giveBack later.
func (s *space) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.free()
	if err != nil {
		return err
	}
	if n > free || free <= 0 {
		return store.Errorf(store.NoSpace, "%d bytes do not fit into the %d that are free (%d are kept in reserve)", n, max(free, 0), s.reserve).
			WithHint("Free space on the node's disk, lower its reserve, or add nodes.")
	}
	s.taken += n
	s.promised += n
	s.used += n
	return nil
}

// landed says that n promised bytes are on the disk now.
func (s *space) landed(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promised -= n
}

// giveBack takes a promise of n bytes back that never reached the disk.
func (s *space) giveBack(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promised -= n
	s.taken -= n
	s.used -= n
}

// add counts n bytes that were written without a promise; negative for bytes that were freed.
func (s *space) add(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used += n
	s.taken += n
}

// free is what new chunks may take. s.mu is held.
func (s *space) free() (int64, error) {
	if now := s.now(); s.looked.IsZero() || now.Sub(s.looked) >= spaceAge {
		disk, err := s.look()
		if err != nil {
			return 0, err
		}
		disk.Free -= s.promised
		s.disk, s.looked, s.taken = disk, now, 0
	}
	free := s.disk.Free - s.taken - s.reserve
	if s.limit > 0 {
		free = min(free, s.limit-s.used)
	}
	return free, nil
}

// roomFor reports whether the disk has n bytes for compaction, which may use the
// reserve: what it frees is more.
func (s *space) roomFor(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.free(); err != nil {
		return false
	}
	return s.disk.Free-s.taken >= n
}

// exhausted reports whether new chunks find no space.
func (s *space) exhausted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.free()
	return err == nil && free <= 0
}

// capacity returns the space for Chunks.Capacity, and whether the file system is read-only.
func (s *space) capacity() (c store.Capacity, readOnly bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.free()
	if err != nil {
		return c, false, err
	}
	total := s.disk.Total
	if s.limit > 0 {
		total = min(total, s.limit)
	}
	return store.Capacity{Total: total, Used: s.used, Free: max(free, 0)}, s.disk.ReadOnly, nil
}
