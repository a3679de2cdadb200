package chunkfs

import (
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// entry is the index entry of a chunk. For a packed chunk it holds the place, and what
// Commit compares. For a chunk file, whose name follows from the id, it holds the sum, which is
// unknown (the zero entry) until a file of a previous process is first listed. An entry takes 20
// bytes and its id 17, which determines the memory of the index.
type entry struct {
	seg  uint32 // 0 for a chunk file
	off  uint32
	head uint32 // bytes of the record's header; of a chunk file 1 if sum is known
	size uint32 // bytes of data
	sum  store.ChunkSum
}

func (e entry) isFile() bool        { return e.seg == 0 }
func (e entry) sumKnown() bool      { return e.head > 0 }
func (e entry) place() format.Place { return format.Place{Seg: e.seg, Off: e.off} }
func (e entry) recordSize() int64   { return format.RecordSize(int64(e.head), int64(e.size)) }

func entryOf(r *format.Record) entry {
	return entry{seg: r.At.Seg, off: r.At.Off, head: uint32(r.Head), size: uint32(r.Info.Size), sum: r.Info.Sum}
}

// fileEntry is the entry of a chunk file with a known sum.
func fileEntry(sum store.ChunkSum) entry { return entry{head: 1, sum: sum} }

// indexed is a chunk with its entry.
type indexed struct {
	id    store.ChunkID
	entry entry
}

// index maps chunk ids to entries. Like the folders of chunk files it is split by the first
// byte of the id, so that List sorts one shard at a time and writers rarely contend.
type index struct {
	shards [256]shard

	mu         sync.Mutex // guards duplicates; never taken under a shard's lock
	duplicates map[store.ChunkID][]entry
}

type shard struct {
	mu      sync.RWMutex // guards entries
	entries table
}

func newIndex() *index {
	return &index{duplicates: map[store.ChunkID][]entry{}}
}

func (x *index) shard(id store.ChunkID) *shard { return &x.shards[id.Part[0]] }

// find returns the chunk's entry. found, unless nil, is called under the shard's lock, while
// the entry cannot change and its segment cannot be removed.
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

// put sets the chunk's entry and returns the previous one.
func (x *index) put(id store.ChunkID, e entry) (before entry, was bool) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, was = s.entries.get(id)
	s.entries.put(id, e)
	return before, was
}

// removeAt removes the entry at a place, or the duplicate there. was reports whether it
// was the entry, which it returns.
func (x *index) removeAt(id store.ChunkID, at format.Place) (gone entry, was bool) {
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
	x.dropDuplicates(id, func(e entry) bool { return e.place() == at })
	return entry{}, false
}

// addDuplicate records another place where the chunk is stored.
func (x *index) addDuplicate(id store.ChunkID, e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.duplicates[id] = append(x.duplicates[id], e)
}

// duplicatesOf returns the chunk's other places.
func (x *index) duplicatesOf(id store.ChunkID) []entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.duplicates[id])
}

// duplicateAt returns the duplicate of a chunk at a place.
func (x *index) duplicateAt(id store.ChunkID, at format.Place) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.duplicates[id] {
		if e.place() == at {
			return e, true
		}
	}
	return entry{}, false
}

// swap exchanges the entry and one of its duplicates.
func (x *index) swap(id store.ChunkID, duplicate entry) {
	if before, was := x.put(id, duplicate); was {
		x.addDuplicate(id, before)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropDuplicates(id, func(e entry) bool { return e == duplicate })
}

// refersTo returns a chunk whose entry is in a segment. It examines every entry, so that
// the removal of a segment depends on no counter that could be wrong.
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

// hasDuplicateIn reports whether any chunk has a duplicate in a segment.
func (x *index) hasDuplicateIn(seg uint32) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, list := range x.duplicates {
		if slices.ContainsFunc(list, func(e entry) bool { return e.seg == seg }) {
			return true
		}
	}
	return false
}

// forgetSegment removes the duplicates of a removed segment.
func (x *index) forgetSegment(seg uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.duplicates {
		x.dropDuplicates(id, func(e entry) bool { return e.seg == seg })
	}
}

// dropDuplicates removes the duplicates that match. x.mu is held.
func (x *index) dropDuplicates(id store.ChunkID, match func(entry) bool) {
	if rest := slices.DeleteFunc(x.duplicates[id], match); len(rest) > 0 {
		x.duplicates[id] = rest
	} else {
		delete(x.duplicates, id)
	}
}

// promote turns a duplicate into the entry where a chunk has none, which can happen at start.
func (x *index) promote() (promoted []entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, list := range x.duplicates {
		s := x.shard(id)
		s.mu.Lock()
		if _, ok := s.entries.get(id); !ok {
			first := list[0]
			s.entries.put(id, first)
			promoted = append(promoted, first)
			x.dropDuplicates(id, func(e entry) bool { return e == first })
		}
		s.mu.Unlock()
	}
	return promoted
}

// list appends the chunks of one shard whose ids follow a marker, unsorted.
func (x *index) list(first byte, after store.ChunkID, to []indexed) []indexed {
	s := &x.shards[first]
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.entries.each(func(id store.ChunkID, e entry) {
		if id.Compare(after) > 0 {
			to = append(to, indexed{id, e})
		}
	})
	return to
}

// learnSum sets the sum of a chunk file, unless the entry has changed since.
func (x *index) learnSum(id store.ChunkID, sum store.ChunkSum) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries.get(id); ok && e == (entry{}) {
		s.entries.put(id, fileEntry(sum))
	}
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

// idLocks serializes the changes of a chunk: commit, delete, and move.
type idLocks struct {
	mu   sync.Mutex // guards held
	held map[store.ChunkID]chan struct{}
}

// lock waits until no other goroutine holds the chunk's lock.
func (l *idLocks) lock(id store.ChunkID) {
	for {
		l.mu.Lock()
		busy, ok := l.held[id]
		if !ok {
			l.held[id] = nil
			l.mu.Unlock()
			return
		}
		if busy == nil { // the first waiter creates the channel
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
