// Package index is the index of a chunk store: which chunks exist, and where. It is in memory
// only, and is rebuilt from the segments and the folders at start.
package index

import (
	"slices"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Entry is the index entry of a chunk. For a packed chunk it holds the place, and what
// Commit compares. For a chunk file, whose name follows from the id, it holds the sum, which is
// unknown (the zero entry) until a file of a previous process is first listed. An entry takes 20
// bytes and its id 17, which determines the memory of the index.
type Entry struct {
	Seg  uint32 // 0 for a chunk file
	Off  uint32
	Head uint32 // bytes of the record's header; of a chunk file 1 if sum is known
	Size uint32 // bytes of data
	Sum  store.ChunkSum
}

// IsFile reports whether the chunk is a file of its own, not packed.
func (e Entry) IsFile() bool { return e.Seg == 0 }

// SumKnown reports whether Sum is set.
func (e Entry) SumKnown() bool { return e.Head > 0 }

// Place is where a packed chunk is stored.
func (e Entry) Place() format.Place { return format.Place{Seg: e.Seg, Off: e.Off} }

// RecordSize is the size of a packed chunk's record in bytes.
func (e Entry) RecordSize() int64 { return format.RecordSize(int64(e.Head), int64(e.Size)) }

// EntryOf returns the entry of a record that was written or read.
func EntryOf(r *format.Record) Entry {
	return Entry{Seg: r.At.Seg, Off: r.At.Off, Head: uint32(r.Head), Size: uint32(r.Info.Size), Sum: r.Info.Sum}
}

// FileEntry is the entry of a chunk file with a known sum.
func FileEntry(sum store.ChunkSum) Entry { return Entry{Head: 1, Sum: sum} }

// Indexed is a chunk with its entry.
type Indexed struct {
	ID    store.ChunkID
	Entry Entry
}

// Index maps chunk ids to entries. Safe for concurrent use. Like the folders of chunk files it is split by the first
// byte of the id, so that List sorts one shard at a time and writers rarely contend.
type Index struct {
	shards [256]shard

	mu         sync.Mutex // guards duplicates; never taken under a shard's lock
	duplicates map[store.ChunkID][]Entry
}

type shard struct {
	mu      sync.RWMutex // guards entries
	entries table
}

// New returns an empty index.
func New() *Index {
	return &Index{duplicates: map[store.ChunkID][]Entry{}}
}

func (x *Index) shard(id store.ChunkID) *shard { return &x.shards[id.Part[0]] }

// Find returns the chunk's entry. found, unless nil, is called under the shard's lock, while
// the entry cannot change and its segment cannot be removed.
func (x *Index) Find(id store.ChunkID, found func(Entry)) (Entry, bool) {
	s := x.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries.get(id)
	if ok && found != nil {
		found(e)
	}
	return e, ok
}

// Put sets the chunk's entry and returns the previous one.
func (x *Index) Put(id store.ChunkID, e Entry) (before Entry, was bool) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries.put(id, e)
}

// RemoveAt removes the entry at a place, or the duplicate there. was reports whether it
// was the entry, which it returns.
func (x *Index) RemoveAt(id store.ChunkID, at format.Place) (gone Entry, was bool) {
	s := x.shard(id)
	s.mu.Lock()
	e, ok := s.entries.get(id)
	if ok && e.Place() == at {
		s.entries.remove(id)
		s.mu.Unlock()
		return e, true
	}
	s.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropDuplicates(id, func(e Entry) bool { return e.Place() == at })
	return Entry{}, false
}

// AddDuplicate records another place where the chunk is stored.
func (x *Index) AddDuplicate(id store.ChunkID, e Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.duplicates[id] = append(x.duplicates[id], e)
}

// DuplicatesOf returns the chunk's other places.
func (x *Index) DuplicatesOf(id store.ChunkID) []Entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.duplicates[id])
}

// DuplicateAt returns the duplicate of a chunk at a place.
func (x *Index) DuplicateAt(id store.ChunkID, at format.Place) (Entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.duplicates[id] {
		if e.Place() == at {
			return e, true
		}
	}
	return Entry{}, false
}

// Swap exchanges the entry and one of its duplicates.
func (x *Index) Swap(id store.ChunkID, duplicate Entry) {
	if before, was := x.Put(id, duplicate); was {
		x.AddDuplicate(id, before)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropDuplicates(id, func(e Entry) bool { return e == duplicate })
}

// RefersTo returns a chunk whose entry is in a segment. It examines every entry, so that
// the removal of a segment depends on no counter that could be wrong.
func (x *Index) RefersTo(seg uint32) (id store.ChunkID, ok bool) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		s.entries.each(func(at store.ChunkID, e Entry) {
			if e.Seg == seg {
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

// HasDuplicateIn reports whether any chunk has a duplicate in a segment.
func (x *Index) HasDuplicateIn(seg uint32) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, list := range x.duplicates {
		if slices.ContainsFunc(list, func(e Entry) bool { return e.Seg == seg }) {
			return true
		}
	}
	return false
}

// ForgetSegment removes the duplicates of a removed segment.
func (x *Index) ForgetSegment(seg uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.duplicates {
		x.dropDuplicates(id, func(e Entry) bool { return e.Seg == seg })
	}
}

// dropDuplicates removes the duplicates that match. x.mu is held.
func (x *Index) dropDuplicates(id store.ChunkID, match func(Entry) bool) {
	if rest := slices.DeleteFunc(x.duplicates[id], match); len(rest) > 0 {
		x.duplicates[id] = rest
	} else {
		delete(x.duplicates, id)
	}
}

// Promote turns a duplicate into the entry where a chunk has none, which can happen at start.
func (x *Index) Promote() (promoted []Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, list := range x.duplicates {
		s := x.shard(id)
		s.mu.Lock()
		if _, ok := s.entries.get(id); !ok {
			first := list[0]
			s.entries.put(id, first)
			promoted = append(promoted, first)
			x.dropDuplicates(id, func(e Entry) bool { return e == first })
		}
		s.mu.Unlock()
	}
	return promoted
}

// List appends the chunks of one shard whose ids follow a marker, unsorted.
func (x *Index) List(first byte, after store.ChunkID, to []Indexed) []Indexed {
	s := &x.shards[first]
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.entries.each(func(id store.ChunkID, e Entry) {
		if id.Compare(after) > 0 {
			to = append(to, Indexed{id, e})
		}
	})
	return to
}

// LearnSum sets the sum of a chunk file, unless the entry has changed since.
func (x *Index) LearnSum(id store.ChunkID, sum store.ChunkSum) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries.get(id); ok && e == (Entry{}) {
		s.entries.put(id, FileEntry(sum))
	}
}

// Len is the number of chunks.
func (x *Index) Len() (n int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		n += int64(s.entries.n)
		s.mu.RUnlock()
	}
	return n
}
