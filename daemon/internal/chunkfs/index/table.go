package index

import (
	"encoding/binary"
	"math/bits"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// table is a memory-saving map from chunk ids to entries: two arrays without pointers,
// open addressing, growth in small steps. A Go map takes twice as much (docs/adr/0022).
// The zero table is empty.
type table struct {
	ids     []store.ChunkID // the zero id, which no chunk has, marks a free slot
	entries []Entry
	n       int // slots in use
}

const (
	tableFirst = 8 // slots after the first growth
	// It grows by half when 7/8 are in use: between 58% and 88% of the slots are in use.
	tableFullNum, tableFullDen = 7, 8
)

// home is the slot where the search for an id begins. Ids are random, so one
// multiplication suffices as a hash.
func (t *table) home(id store.ChunkID) int {
	h := (binary.LittleEndian.Uint64(id.Part[1:]) ^ binary.LittleEndian.Uint64(id.Part[8:])<<1 ^ uint64(id.Index)) * 0x9e3779b97f4a7c15
	slot, _ := bits.Mul64(h, uint64(len(t.ids)))
	return int(slot)
}

// slot returns the slot of the id, or the free slot where it belongs. The table is never full.
func (t *table) slot(id store.ChunkID) (at int, found bool) {
	for at = t.home(id); ; at = t.after(at) {
		switch t.ids[at] {
		case id:
			return at, true
		case store.ChunkID{}:
			return at, false
		}
	}
}

func (t *table) after(at int) int {
	if at++; at == len(t.ids) {
		return 0
	}
	return at
}

func (t *table) get(id store.ChunkID) (e Entry, ok bool) {
	if t.n == 0 {
		return Entry{}, false
	}
	at, ok := t.slot(id)
	return t.entries[at], ok // a free slot has the zero entry
}

// put sets the entry of an id and returns the previous one.
func (t *table) put(id store.ChunkID, e Entry) (before Entry, was bool) {
	if (t.n+1)*tableFullDen > len(t.ids)*tableFullNum {
		t.grow()
	}
	at, was := t.slot(id)
	if !was {
		t.n++
	}
	before = t.entries[at] // a free slot has the zero entry
	t.ids[at], t.entries[at] = id, e
	return before, was
}

func (t *table) grow() {
	old := *t
	size := max(tableFirst, len(old.ids)*3/2)
	*t = table{ids: make([]store.ChunkID, size), entries: make([]Entry, size)}
	for at, id := range old.ids {
		if id != (store.ChunkID{}) {
			t.put(id, old.entries[at])
		}
	}
}

// remove frees the id's slot, and moves displaced entries behind it into the hole, so that
// no search ends too early.
func (t *table) remove(id store.ChunkID) {
	if t.n == 0 {
		return
	}
	hole, found := t.slot(id)
	if !found {
		return
	}
	t.n--
	for at := t.after(hole); t.ids[at] != (store.ChunkID{}); at = t.after(at) {
		if home := t.home(t.ids[at]); !between(hole, home, at) {
			t.ids[hole], t.entries[hole] = t.ids[at], t.entries[at]
			hole = at
		}
	}
	t.ids[hole], t.entries[hole] = store.ChunkID{}, Entry{}
}

// between reports whether x is in (low, high], modulo the number of slots.
func between(low, x, high int) bool {
	if low < high {
		return low < x && x <= high
	}
	return low < x || x <= high
}

// each calls f for every entry, in no particular order.
func (t *table) each(f func(store.ChunkID, Entry)) {
	for at, id := range t.ids {
		if id != (store.ChunkID{}) {
			f(id, t.entries[at])
		}
	}
}
