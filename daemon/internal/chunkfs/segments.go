package chunkfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// segment is one file of records. Releasing the last reference closes the file.
type segment struct {
	number uint32
	salt   format.Salt
	file   vfs.File
	refs   atomic.Int32 // one for the table while the segment is in it, one for each reader

	// Guarded by segments.mu:
	size     int64            // bytes of the header and all records
	live     int64            // bytes of live records
	tombs    map[uint32]int64 // bytes of tombstones by the segment that they point into; included in live
	closed   bool             // no more records are added
	badChunk bool             // a chunk in it does not match its checksum: not rewritten until that chunk is deleted
	damaged  string           // damage beyond single records, as text: the segment is never rewritten or removed; "" for none
}

func newSegment(number uint32, salt format.Salt, f vfs.File) *segment {
	s := &segment{number: number, salt: salt, file: f, tombs: map[uint32]int64{}}
	s.refs.Store(1)
	return s
}

// release returns a reference.
func (s *segment) release() error {
	if s.refs.Add(-1) > 0 {
		return nil
	}
	return s.file.Close()
}

func segmentName(number uint32) string { return fmt.Sprintf("segments/%08x.seg", number) }

// segments is the table of all segments, with the bytes that are live in each.
type segments struct {
	mu  sync.Mutex // guards the map and the marked fields of each segment
	all map[uint32]*segment
}

// acquire takes a reference for a reader; nil if there is no such segment. The caller
// holds the lock of the shard in which it found the number, so the segment cannot be removed before.
func (t *segments) acquire(number uint32) *segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[number]
	if s != nil {
		s.refs.Add(1)
	}
	return s
}

func (t *segments) add(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[s.number] = s
}

// drop removes a segment from the table; tombstones that point into it are garbage from then on.
func (t *segments) drop(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, s.number)
	for _, other := range t.all {
		other.live -= other.tombs[s.number]
		delete(other.tombs, s.number)
	}
}

// holds reports whether the segment that a tombstone refers to exists: with that number and
// that salt, so that a later segment with the same number does not count.
func (t *segments) holds(number uint32, salt format.Salt) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.salted(number, salt) != nil
}

// salted finds a segment by number and salt. t.mu is held.
func (t *segments) salted(number uint32, salt format.Salt) *segment {
	if s := t.all[number]; s != nil && s.salt == salt {
		return s
	}
	return nil
}

// saltOf returns the salt of a segment; 0 if there is no such segment.
func (t *segments) saltOf(number uint32) format.Salt {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[number]; s != nil {
		return s.salt
	}
	return 0
}

// wrote counts a record that was appended to s, or read from it at start.
func (t *segments) wrote(s *segment, r *format.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.size = max(s.size, int64(r.At.Off)+r.Size())
	switch {
	case r.Kind == format.KindChunk:
		s.live += r.Size()
	case t.salted(r.Target.Seg, r.TargetSalt) != nil:
		s.live += r.Size()
		s.tombs[r.Target.Seg] += r.Size()
	}
}

// becameGarbage counts a record that is garbage from now on.
func (t *segments) becameGarbage(e index.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[e.Seg]; s != nil {
		s.live -= e.RecordSize()
		s.badChunk = false // this may have been the bad one
	}
}

// becameLive reverts becameGarbage, for a copy that became the chunk's entry.
func (t *segments) becameLive(e index.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[e.Seg]; s != nil {
		s.live += e.RecordSize()
	}
}

func (t *segments) seal(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.closed = true
}

func (t *segments) markBadChunk(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.badChunk = true
}

// damage marks a segment so that it is never rewritten or removed. first reports whether
// it was not marked before.
func (t *segments) damage(s *segment, reason string) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = s.damaged == ""
	s.damaged = reason
	return first
}

// damageSummary describes the number of damaged segments and one of them for operators; "" for none.
func (t *segments) damageSummary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, example := 0, uint32(0)
	for _, s := range t.all {
		if s.damaged != "" {
			if n++; n == 1 || s.number < example {
				example = s.number
			}
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s is damaged: %s", segmentName(example), t.all[example].damaged)
	}
	return fmt.Sprintf("%d segments are damaged, among them %s: %s", n, segmentName(example), t.all[example].damaged)
}

// isDead reports whether no record of a segment is live and no tombstone in it is needed.
func (t *segments) isDead(s *segment) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.live-s.tombs[s.number] <= 0
}

// dead returns the closed segments in which nothing is live. Removing them takes no write,
// and each removal makes the tombstones that point into it garbage.
func (t *segments) dead() (picked []*segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.all {
		if s.closed && !s.badChunk && s.damaged == "" && s.live-s.tombs[s.number] <= 0 {
			picked = append(picked, s)
		}
	}
	slices.SortFunc(picked, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return picked
}

// missing returns an existing segment for which s holds more bytes of tombstones than found
// lists; ok is false if all were found.
func (t *segments) missing(s *segment, found map[uint32]int64) (number uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for target, n := range s.tombs {
		if target != s.number && t.all[target] != nil && found[target] < n {
			return target, true
		}
	}
	return 0, false
}

// A sealed segment below size/smallPart is small; smallCount of them are merged.
const (
	smallPart  = 8
	smallCount = 8
)

// compactable returns the segments that compaction should rewrite: those with more than half
// garbage, least live bytes first, and small ones when there are smallCount of them.
func (t *segments) compactable(segmentSize int64) []*segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	var picked, small []*segment
	for _, s := range t.all {
		switch {
		case !s.closed || s.badChunk || s.damaged != "":
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
		return cmp.Or(cmp.Compare(a.live, b.live), cmp.Compare(a.number, b.number))
	})
	return picked
}

// sizes returns the live bytes of a segment, and where its last record ends.
func (t *segments) sizes(s *segment) (live, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.live, s.size
}

// closeAll releases the table's references.
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
