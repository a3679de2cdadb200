package chunkfs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// segment is one file of records. The file is closed when the last reference goes.
type segment struct {
	number uint32
	file   vfs.File
	refs   atomic.Int32 // one of the table while the segment is in it, one of each reader

	// Guarded by segments.mu:
	size    int64            // bytes of the header and all records
	live    int64            // bytes of live records
	tombs   map[uint32]int64 // bytes of tombstones, by the segment that they point into; part of live
	closed  bool             // sealed: complete, with its index
	spoiled bool             // a record in it does not verify: not to be rewritten until it is dealt with
}

func newSegment(number uint32, f vfs.File) *segment {
	s := &segment{number: number, file: f, tombs: map[uint32]int64{}}
	s.refs.Store(1)
	return s
}

// release gives a reference back.
func (s *segment) release() error {
	if s.refs.Add(-1) > 0 {
		return nil
	}
	return s.file.Close()
}

func segmentName(number uint32) string { return fmt.Sprintf("segments/%08x.seg", number) }

// segments is the table of those that exist, and what is live in them.
type segments struct {
	mu  sync.Mutex // guards the map and the marked fields of each segment
	all map[uint32]*segment
}

// acquire takes a reference for a reader. The caller holds the lock of the
// shard where it found the number, so that the segment is still there.
func (t *segments) acquire(number uint32) *segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[number]
	s.refs.Add(1)
	return s
}

func (t *segments) add(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[s.number] = s
}

// drop takes a segment out of the table, and with it the need for the
// tombstones that point into it.
func (t *segments) drop(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, s.number)
	for _, other := range t.all {
		other.live -= other.tombs[s.number]
		delete(other.tombs, s.number)
	}
}

func (t *segments) has(number uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[number] != nil
}

// wrote accounts for a record that was appended to s, or read from it at start.
func (t *segments) wrote(s *segment, r *form.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.size = max(s.size, int64(r.At.Off)+r.Size())
	switch {
	case r.Kind == form.KindChunk:
		s.live += r.Size()
	case t.all[r.Target.Seg] != nil:
		s.live += r.Size()
		s.tombs[r.Target.Seg] += r.Size()
	}
}

// died accounts for a record that is garbage from now on.
func (t *segments) died(e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[e.seg]; s != nil {
		s.live -= e.recordSize()
		s.spoiled = false // it may have been this one
	}
}

// revived takes died back, for a copy that turned out to be the one that counts.
func (t *segments) revived(e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[e.seg]; s != nil {
		s.live += e.recordSize()
	}
}

func (t *segments) seal(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.closed = true
}

func (t *segments) spoil(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.spoiled = true
}

// A sealed segment is small below size/smallPart; so many of them are merged.
const (
	smallPart  = 8
	smallCount = 8
)

// worthy picks what compaction should rewrite: segments over half garbage, the
// emptiest first, and small ones when they became many.
func (t *segments) worthy(segmentSize int64) []*segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	var picked, small []*segment
	for _, s := range t.all {
		switch {
		case !s.closed || s.spoiled:
		case 2*s.live < s.size:
			picked = append(picked, s)
		case s.size < segmentSize/smallPart:
			small = append(small, s)
		}
	}
	if len(small) >= smallCount {
		picked = append(picked, small...)
	}
	slices.SortFunc(picked, func(a, b *segment) int {
		if a.live != b.live {
			return int(a.live - b.live)
		}
		return int(a.number) - int(b.number)
	})
	return picked
}

// closeAll gives back the table's references.
func (t *segments) closeAll() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, s := range t.all {
		if err := s.release(); err != nil && !errors.Is(err, fs.ErrClosed) {
			errs = append(errs, err)
		}
	}
	clear(t.all)
	return errors.Join(errs...)
}
