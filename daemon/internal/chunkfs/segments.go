package chunkfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// segment is one file of records. The file is closed when the last reference is released.
type segment struct {
	number uint32
	salt   form.Salt
	file   vfs.File
	refs   atomic.Int32 // one of the table while the segment is in it, one of each reader

	// Guarded by segments.mu:
	size    int64            // bytes of the header and all records
	live    int64            // bytes of live records
	tombs   map[uint32]int64 // bytes of tombstones, by the segment that they point into; part of live
	closed  bool             // no record is added any more
	spoiled bool             // a record in it does not verify: not to be rewritten until that chunk is deleted
	damaged string           // what is wrong with it beyond single records, for a person: never rewritten or removed; "" for nothing
}

func newSegment(number uint32, salt form.Salt, f vfs.File) *segment {
	s := &segment{number: number, salt: salt, file: f, tombs: map[uint32]int64{}}
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

// acquire takes a reference for a reader; nil where there is no such segment. The
// caller holds the lock of the shard where it found the number.
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

// holds reports whether the segment that a tombstone names is there: of that
// number, and not a later one that got the number again.
func (t *segments) holds(number uint32, salt form.Salt) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.salted(number, salt) != nil
}

// salted finds a segment by number and salt. t.mu is held.
func (t *segments) salted(number uint32, salt form.Salt) *segment {
	if s := t.all[number]; s != nil && s.salt == salt {
		return s
	}
	return nil
}

// saltOf gives the salt of the segment where an entry lies; 0 where there is none.
func (t *segments) saltOf(number uint32) form.Salt {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[number]; s != nil {
		return s.salt
	}
	return 0
}

// wrote accounts for a record that was appended to s, or read from it at start.
func (t *segments) wrote(s *segment, r *form.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.size = max(s.size, int64(r.At.Off)+r.Size())
	switch {
	case r.Kind == form.KindChunk:
		s.live += r.Size()
	case t.salted(r.Target.Seg, r.TargetSalt) != nil:
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

// damage marks a segment as one that is never rewritten or removed, for the
// reason given. It reports whether it was not before.
func (t *segments) damage(s *segment, reason string) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = s.damaged == ""
	s.damaged = reason
	return first
}

// damageSummary says for a person how many segments are damaged, and how one is; "" for none.
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

// isDead reports whether nothing in a segment is live, and no tombstone in it is needed.
func (t *segments) isDead(s *segment) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.live-s.tombs[s.number] <= 0
}

// dead picks the closed segments in which nothing is live: they are removed
// without a write, and with each the need for tombstones that point into it.
func (t *segments) dead() (picked []*segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.all {
		if s.closed && !s.spoiled && s.damaged == "" && s.live-s.tombs[s.number] <= 0 {
			picked = append(picked, s)
		}
	}
	slices.SortFunc(picked, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return picked
}

// missing names a segment that is there and into which the segment has more bytes
// of tombstones than were found in it; ok is false where none is.
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

// A sealed segment is small below size/smallPart; so many of them are merged.
const (
	smallPart  = 8
	smallCount = 8
)

// compactable picks what compaction should rewrite: segments over half garbage,
// the emptiest first, and small ones when they became many.
func (t *segments) compactable(segmentSize int64) []*segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	var picked, small []*segment
	for _, s := range t.all {
		switch {
		case !s.closed || s.spoiled || s.damaged != "":
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

// weigh gives what the table knows of a segment's records: the bytes that are
// live, and where the last one ends.
func (t *segments) weigh(s *segment) (live, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.live, s.size
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
