package segment

import (
	"cmp"
	"container/list"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// Segment is one file of records. Readers of the file call Acquire, Open and Release.
type Segment struct {
	Number uint32
	Salt   format.Salt

	files   *files     // of the table that the segment is in
	opening sync.Mutex // held while the file is opened

	// Guarded by files.mu:
	file    vfs.File      // nil while it is closed
	users   int           // calls of Acquire without Release
	idle    *list.Element // of files.idle, while the file is open and has no users
	dropped bool          // from the table: the file is not kept open

	// Guarded by Table.mu:
	size     int64            // bytes of the header and all records
	live     int64            // bytes of live records
	tombs    map[uint32]int64 // bytes of tombstones by the segment that they point into; included in live
	closed   bool             // no more records are added
	badChunk bool             // a chunk in it does not match its checksum: not rewritten until that chunk is deleted
	damaged  string           // damage beyond single records, as text: the segment is never rewritten or removed; "" for none
}

// New returns a segment whose file is closed.
func New(number uint32, salt format.Salt) *Segment {
	return &Segment{Number: number, Salt: salt, tombs: map[uint32]int64{}}
}

// Name is the name of a segment's file in the data directory.
func Name(number uint32) string { return fmt.Sprintf("segments/%08x.seg", number) }

// Table holds all segments, with the bytes that are live in each. Safe for concurrent use.
type Table struct {
	files *files

	mu  sync.Mutex // guards the map and the marked fields of each segment
	all map[uint32]*Segment
}

// NewTable returns an empty table, which keeps open up to limit files of segments in fs.
func NewTable(fs vfs.Opener, limit int) *Table {
	return &Table{files: newFiles(fs, limit), all: map[uint32]*Segment{}}
}

// Acquire acquires a segment for a reader; nil if there is no such segment. The caller
// holds the lock of the shard in which it found the number, so the segment cannot leave the table before. Its file can be removed before
// it is opened.
func (t *Table) Acquire(number uint32) *Segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[number]
	if s != nil {
		s.Acquire()
	}
	return s
}

// Add adds a segment.
func (t *Table) Add(s *Segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.files = t.files
	t.all[s.Number] = s
}

// addOpen adds a segment that the caller has acquired, with its file, which openWith counted.
func (t *Table) addOpen(s *Segment, f vfs.File) {
	s.file, s.users = f, 1
	t.Add(s)
}

// Drop removes a segment from the table; tombstones that point into it are garbage from then on. Its file is closed when the last
// reader has released it.
func (t *Table) Drop(s *Segment) {
	defer t.files.drop(s)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, s.Number)
	for _, other := range t.all {
		other.live -= other.tombs[s.Number]
		delete(other.tombs, s.Number)
	}
}

// Holds reports whether the segment that a tombstone refers to exists: with that number and
// that salt, so that a later segment with the same number does not count.
func (t *Table) Holds(number uint32, salt format.Salt) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.salted(number, salt) != nil
}

// salted finds a segment by number and salt. t.mu is held.
func (t *Table) salted(number uint32, salt format.Salt) *Segment {
	if s := t.all[number]; s != nil && s.Salt == salt {
		return s
	}
	return nil
}

// SaltOf returns the salt of a segment; 0 if there is no such segment.
func (t *Table) SaltOf(number uint32) format.Salt {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[number]; s != nil {
		return s.Salt
	}
	return 0
}

// Wrote counts a record that was appended to its segment, or read from it at start.
func (t *Table) Wrote(r *format.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[r.At.Seg]
	s.size = max(s.size, int64(r.At.Off)+r.Size())
	switch {
	case r.Kind == format.KindChunk:
		s.live += r.Size()
	case t.salted(r.Target.Seg, r.TargetSalt) != nil:
		s.live += r.Size()
		s.tombs[r.Target.Seg] += r.Size()
	}
}

// BecameGarbage counts a record that is garbage from now on.
func (t *Table) BecameGarbage(e index.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[e.Seg]; s != nil {
		s.live -= e.RecordSize()
		s.badChunk = false // this may have been the bad one
	}
}

// BecameLive reverts becameGarbage, for a copy that became the chunk's entry.
func (t *Table) BecameLive(e index.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[e.Seg]; s != nil {
		s.live += e.RecordSize()
	}
}

// Seal marks a segment as closed: no more records are added.
func (t *Table) Seal(s *Segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.closed = true
}

// MarkBadChunk keeps a segment from being rewritten until the damaged chunk in it is deleted.
func (t *Table) MarkBadChunk(s *Segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.badChunk = true
}

// Damage marks a segment so that it is never rewritten or removed. first reports whether
// it was not marked before.
func (t *Table) Damage(s *Segment, reason string) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = s.damaged == ""
	s.damaged = reason
	return first
}

// DamageSummary describes the number of damaged segments and one of them for operators; "" for none.
func (t *Table) DamageSummary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, example := 0, uint32(0)
	for _, s := range t.all {
		if s.damaged != "" {
			if n++; n == 1 || s.Number < example {
				example = s.Number
			}
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s is damaged: %s", Name(example), t.all[example].damaged)
	}
	return fmt.Sprintf("%d segments are damaged, among them %s: %s", n, Name(example), t.all[example].damaged)
}

// IsDead reports whether no record of a segment is live and no tombstone in it is needed.
func (t *Table) IsDead(s *Segment) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.live-s.tombs[s.Number] <= 0
}

// Dead returns the closed segments in which nothing is live. Removing them takes no write,
// and each removal makes the tombstones that point into it garbage.
func (t *Table) Dead() (picked []*Segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.all {
		if s.closed && !s.badChunk && s.damaged == "" && s.live-s.tombs[s.Number] <= 0 {
			picked = append(picked, s)
		}
	}
	slices.SortFunc(picked, func(a, b *Segment) int { return cmp.Compare(a.Number, b.Number) })
	return picked
}

// Missing returns an existing segment for which s holds more bytes of tombstones than found
// lists; ok is false if all were found.
func (t *Table) Missing(s *Segment, found map[uint32]int64) (number uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for target, n := range s.tombs {
		if target != s.Number && t.all[target] != nil && found[target] < n {
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

// Compactable returns the segments that compaction should rewrite: those with more than half
// garbage, least live bytes first, and small ones when there are smallCount of them.
func (t *Table) Compactable(segmentSize int64) []*Segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	var picked, small []*Segment
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
	slices.SortFunc(picked, func(a, b *Segment) int {
		return cmp.Or(cmp.Compare(a.live, b.live), cmp.Compare(a.Number, b.Number))
	})
	return picked
}

// Sizes returns the live bytes of a segment, and where its last record ends.
func (t *Table) Sizes(s *Segment) (live, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.live, s.size
}

// CloseAll empties the table. Files in use are closed by their last user, all others at once.
func (t *Table) CloseAll() {
	t.mu.Lock()
	all := slices.Collect(maps.Values(t.all))
	clear(t.all)
	t.mu.Unlock()
	for _, s := range all {
		t.files.drop(s)
	}
}
