package chunkfs

import (
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// entry is what memory keeps of a chunk. Of a packed one: where it is, and what
// Commit must compare. Of a chunk file: nothing, the name tells all. 20 bytes,
// and 17 of the id: the size of the index is theirs.
type entry struct {
	seg  uint32 // 0 for a chunk file
	off  uint32
	head uint32 // bytes of the record's header
	size uint32 // bytes of data
	sum  store.ChunkSum
}

func (e entry) isFile() bool      { return e.seg == 0 }
func (e entry) place() form.Place { return form.Place{Seg: e.seg, Off: e.off} }
func (e entry) recordSize() int64 { return form.RecordSize(int64(e.head), int64(e.size)) }

func entryOf(r *form.Record) entry {
	return entry{seg: r.At.Seg, off: r.At.Off, head: uint32(r.Head), size: uint32(r.Info.Size), sum: r.Info.Sum}
}

// index finds chunks. It is split by the first byte of the id, as the
// folders of chunk files are: List then sorts one part at a time, and writers rarely meet.
type index struct {
	shards [256]shard

	mu      sync.Mutex // guards shadows; never taken under a shard's lock
	shadows map[store.ChunkID][]entry
}

type shard struct {
	mu      sync.RWMutex // guards entries
	entries table
}

func newIndex() *index {
	return &index{shadows: map[store.ChunkID][]entry{}}
}

func (x *index) shard(id store.ChunkID) *shard { return &x.shards[id.Part[0]] }

// find gives the chunk's place. Where found is not nil it is called under the
// lock, while the entry cannot change and its segment cannot go away.
func (x *index) find(id store.ChunkID, found func(entry)) (entry, bool) {
	s := x.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries.get(id)
	if ok && found != nil {
		found(e)
	}
	return e, ok
}

// put sets the chunk's place and returns the one before.
func (x *index) put(id store.ChunkID, e entry) (before entry, was bool) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, was = s.entries.get(id)
	s.entries.put(id, e)
	return before, was
}

// removeAt forgets what lies at a place: the entry itself or one of its shadows.
// It returns what was there.
func (x *index) removeAt(id store.ChunkID, at form.Place) (gone entry, was bool) {
	s := x.shard(id)
	s.mu.Lock()
	e, ok := s.entries.get(id)
	if ok && e.place() == at {
		s.entries.remove(id)
		s.mu.Unlock()
		return e, true
	}
	s.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropShadow(id, func(e entry) bool { return e.place() == at })
	return entry{}, false
}

// addShadow remembers another place where the chunk lies too.
func (x *index) addShadow(id store.ChunkID, e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shadows[id] = append(x.shadows[id], e)
}

// shadowsOf gives the chunk's other places.
func (x *index) shadowsOf(id store.ChunkID) []entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.shadows[id])
}

// shadowAt gives the shadow of a chunk at a place.
func (x *index) shadowAt(id store.ChunkID, at form.Place) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.shadows[id] {
		if e.place() == at {
			return e, true
		}
	}
	return entry{}, false
}

// swap makes a shadow the entry and the entry a shadow.
func (x *index) swap(id store.ChunkID, shadow entry) {
	if before, was := x.put(id, shadow); was {
		x.addShadow(id, before)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropShadow(id, func(e entry) bool { return e == shadow })
}

// refersTo gives a chunk whose entry lies in a segment. It looks at every entry:
// what compaction removes depends on no count that could be wrong.
func (x *index) refersTo(seg uint32) (id store.ChunkID, ok bool) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		s.entries.each(func(at store.ChunkID, e entry) {
			if e.seg == seg {
				id, ok = at, true
			}
		})
		s.mu.RUnlock()
		if ok {
			return id, true
		}
	}
	return id, false
}

// shadowed reports whether a chunk has a shadow in a segment.
func (x *index) shadowed(seg uint32) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, list := range x.shadows {
		if slices.ContainsFunc(list, func(e entry) bool { return e.seg == seg }) {
			return true
		}
	}
	return false
}

// forgetSegment drops the shadows that lay in a segment that is gone.
func (x *index) forgetSegment(seg uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.shadows {
		x.dropShadow(id, func(e entry) bool { return e.seg == seg })
	}
}

// dropShadow removes the shadows that match. x.mu is held.
func (x *index) dropShadow(id store.ChunkID, match func(entry) bool) {
	if rest := slices.DeleteFunc(x.shadows[id], match); len(rest) > 0 {
		x.shadows[id] = rest
	} else {
		delete(x.shadows, id)
	}
}

// promote makes a shadow the entry where the entry is gone, as start may find it.
func (x *index) promote() (promoted []entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, list := range x.shadows {
		s := x.shard(id)
		s.mu.Lock()
		if _, ok := s.entries.get(id); !ok {
			first := list[0]
			s.entries.put(id, first)
			promoted = append(promoted, first)
			x.dropShadow(id, func(e entry) bool { return e == first })
		}
		s.mu.Unlock()
	}
	return promoted
}

// ids gives the ids of one shard after a marker, unsorted.
func (x *index) ids(first byte, after store.ChunkID, to []store.ChunkID) []store.ChunkID {
	s := &x.shards[first]
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.entries.each(func(id store.ChunkID, _ entry) {
		if id.Compare(after) > 0 {
			to = append(to, id)
		}
	})
	return to
}

// len is the number of chunks.
func (x *index) len() (n int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		n += int64(s.entries.n)
		s.mu.RUnlock()
	}
	return n
}

// idLocks lets one change of a chunk happen at a time: commit, delete, or move.
type idLocks struct {
	mu   sync.Mutex // guards held
	held map[store.ChunkID]chan struct{}
}

// lock waits until nobody else changes the chunk.
func (l *idLocks) lock(id store.ChunkID) {
	for {
		l.mu.Lock()
		busy, ok := l.held[id]
		if !ok {
			l.held[id] = nil
			l.mu.Unlock()
			return
		}
		if busy == nil { // the first to wait makes the channel
			busy = make(chan struct{})
			l.held[id] = busy
		}
		l.mu.Unlock()
		<-busy
	}
}

func (l *idLocks) unlock(id store.ChunkID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy := l.held[id]; busy != nil {
		close(busy)
	}
	delete(l.held, id)
}
