package metatest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// beginPart records a part of a session before it is stored.
func beginPart(tb testing.TB, m store.Metadata, id store.FileID, p store.Part) {
	tb.Helper()
	require.NoError(tb, m.BeginPart(tb.Context(), id, p))
}

// savePart makes the part one of the session's, which stays for an hour.
func savePart(tb testing.TB, m store.Metadata, id store.FileID, p store.Part) {
	tb.Helper()
	require.NoError(tb, m.SavePart(tb.Context(), by(id), p, time.Hour))
}

// saveParts saves many parts of one session, 64 at once.
func saveParts(tb testing.TB, m store.Metadata, id store.FileID, parts []store.Part) {
	tb.Helper()
	errs := make([]error, 64)
	var all sync.WaitGroup
	for w := range errs {
		all.Go(func() {
			for i := w; i < len(parts) && errs[w] == nil; i += len(errs) {
				errs[w] = m.SavePart(tb.Context(), by(id), parts[i], time.Hour)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(tb, err)
	}
}

// requireParts demands that the session has exactly these parts, and knows how much that is.
func requireParts(tb testing.TB, m store.Metadata, id store.FileID, want ...store.Part) {
	tb.Helper()
	s := sessionOf(tb, m, id)
	var got []store.Part
	var received int64
	for _, p := range s.Parts {
		requireStoreTime(tb, p.StoredAt)
		got = append(got, p.Part)
		received += p.Size
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		tb.Fatalf("parts of the session differ (-want +got):\n%s", diff)
	}
	require.Equal(tb, received, s.Received)
}

var sessionPartTests = []test{
	{"saved parts come in order of their number", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		nodes := newNodes(3)
		var want []store.Part
		for _, n := range []int{1, 2, 3, 9, 10, 11, 300, store.MaxParts} {
			want = append(want, newPart(n, nodes...))
		}
		for _, i := range []int{5, 0, 7, 3, 1, 6, 2, 4} {
			savePart(t, m, s.ID, want[i])
		}
		requireParts(t, m, s.ID, want...)
		requireQueued(t, m, store.Reclaim)
	}},
	{"numbers of a session's part keep their whole range", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(store.MaxParts, newNodes(store.MaxChunksPerPart)...)
		p.Size, p.CRC64, p.K, p.M = store.MaxFileBytes, 1<<64-1, 32, 32
		p.Chunks[63].Sum = 1<<32 - 1
		beginPart(t, m, s.ID, p)
		savePart(t, m, s.ID, p)
		requireParts(t, m, s.ID, p)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a begun part is not among the parts, and no part of a file", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		beginPart(t, m, s.ID, p)
		same(t, s, sessionOf(t, m, s.ID))
		_, _, err := m.Part(t.Context(), p.ID)
		requireKind(t, store.NotFound, err)
		parts, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		require.Empty(t, parts)
		savePart(t, m, s.ID, p)
		requireParts(t, m, s.ID, p)
		requireQueued(t, m, store.Reclaim)
		requireQueued(t, m, store.Repair)
	}},
	{"two parts of one number may be begun", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		one, two := newPart(1, newNodes(2)...), newPart(1, newNodes(2)...)
		beginPart(t, m, s.ID, one)
		beginPart(t, m, s.ID, two)
		savePart(t, m, s.ID, two)
		requireQueued(t, m, store.Reclaim)
		savePart(t, m, s.ID, one)
		requireParts(t, m, s.ID, one)
		requireQueued(t, m, store.Reclaim, chunksOf(two)...)
	}},
	{"begin is Exists for a part that is known", func(t *testing.T, m store.Metadata) {
		s, other := session(t, m, "a"), session(t, m, "b")
		begun, saved, whole := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...), newPart(1, newNodes(2)...)
		beginPart(t, m, s.ID, begun)
		savePart(t, m, s.ID, saved)
		put(t, m, newFile("c", whole))
		for _, p := range []store.Part{begun, saved, whole} {
			requireKind(t, store.Exists, m.BeginPart(t.Context(), s.ID, p))
			requireKind(t, store.Exists, m.BeginPart(t.Context(), other.ID, p))
		}
		require.NoError(t, m.AbortSession(t.Context(), by(other.ID)))
		requireQueued(t, m, store.Reclaim)
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		requireQueued(t, m, store.Reclaim, chunksOf(begun, saved)...)
	}},
	{"save is Exists for a part that a file or another session has, and changes nothing", func(t *testing.T, m store.Metadata) {
		s, other := session(t, m, "a"), session(t, m, "b")
		saved, whole, old := newPart(1, newNodes(2)...), newPart(1, newNodes(2)...), newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, saved)
		put(t, m, newFile("c", whole))
		savePart(t, m, other.ID, old)
		for _, p := range []store.Part{saved, whole} {
			requireKind(t, store.Exists, m.SavePart(t.Context(), by(other.ID), p, time.Hour))
		}
		requireParts(t, m, other.ID, old)
		requireParts(t, m, s.ID, saved)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a saved part has its time, and the session slides on", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(1)...)
		require.NoError(t, m.SavePart(t.Context(), by(s.ID), p, 100*time.Hour))
		got := sessionOf(t, m, s.ID)
		requireStoreTime(t, got.Parts[0].StoredAt)
		require.False(t, got.Parts[0].StoredAt.Before(s.CreatedAt))
		require.WithinDuration(t, got.Parts[0].StoredAt.Add(100*time.Hour), got.ExpiresAt, time.Hour)
		require.Equal(t, s.CreatedAt, got.CreatedAt)

		require.NoError(t, m.SavePart(t.Context(), by(s.ID), newPart(2, newNodes(1)...), 50*time.Hour))
		again := sessionOf(t, m, s.ID)
		require.WithinDuration(t, again.Parts[1].StoredAt.Add(50*time.Hour), again.ExpiresAt, time.Hour, "from now, be it sooner")
		same(t, got.Parts[0], again.Parts[0])
		require.NoError(t, m.SavePart(t.Context(), by(s.ID), newPart(3, newNodes(1)...), time.Millisecond))
		awaitExpired(t, m, s.ID)
	}},
	{"add does not replace", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		one, late := newPart(1, newNodes(2)...), newPart(1, newNodes(2)...)
		beginPart(t, m, s.ID, one)
		beginPart(t, m, s.ID, late)
		require.NoError(t, m.AddPart(t.Context(), by(s.ID), one, time.Hour))
		requireKind(t, store.Conflict, m.AddPart(t.Context(), by(s.ID), late, time.Hour))
		requireParts(t, m, s.ID, one)
		requireQueued(t, m, store.Reclaim)
		require.NoError(t, m.AddPart(t.Context(), by(s.ID), one, time.Hour), "the same part again changes nothing")
		require.NoError(t, m.DropPart(t.Context(), late))
		requireQueued(t, m, store.Reclaim, chunksOf(late)...)
		requireKind(t, store.NotFound, m.AddPart(t.Context(), by(store.NewFileID()), newPart(1, newNodes(1)...), time.Hour))
		requireKind(t, store.Invalid, m.AddPart(t.Context(), by(s.ID), newPart(2, newNodes(1)...), 0))
	}},
	{"each part that is stored makes its caller the session's last", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		last := newPart(store.MaxParts, newNodes(2)...)
		require.Equal(t, s.Owner, s.ChangedBy)
		for i, caller := range []string{"one ключ", "two", "two", "one ключ", "", "two"} { // faster than one a second
			c := store.SessionChange{Session: s.ID, Caller: caller}
			require.NoError(t, m.SavePart(t.Context(), c, newPart(1, newNodes(2)...), time.Hour))
			require.Equal(t, caller, sessionOf(t, m, s.ID).ChangedBy)
			c.Caller += " adds"
			last = newPart(2+i, newNodes(2)...)
			require.NoError(t, m.AddPart(t.Context(), c, last, time.Hour))
			require.Equal(t, c.Caller, sessionOf(t, m, s.ID).ChangedBy)
		}
		begun, other := newPart(2, newNodes(2)...), newPart(2, newNodes(2)...)
		want := sessionOf(t, m, s.ID)
		beginPart(t, m, s.ID, begun)
		requireKind(t, store.Conflict, m.AddPart(t.Context(), by(s.ID), other, time.Hour))
		require.NoError(t, m.SavePart(t.Context(), by(s.ID), last, time.Hour), "the same part again changes nothing")
		require.NoError(t, m.AddPart(t.Context(), by(s.ID), last, time.Hour), "the same part again changes nothing")
		require.NoError(t, m.DropPart(t.Context(), begun))
		requireKind(t, store.Conflict, m.SavePart(t.Context(), by(s.ID), begun, time.Hour))
		same(t, want, sessionOf(t, m, s.ID))
	}},
	{"of many that add one number, one does", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		errs := make([]error, 16)
		var all sync.WaitGroup
		for i := range errs {
			p := newPart(3, newNodes(2)...)
			all.Go(func() { errs[i] = m.AddPart(t.Context(), by(s.ID), p, time.Hour) })
		}
		all.Wait()
		added := 0
		for _, err := range errs {
			if err == nil {
				added++
				continue
			}
			requireKind(t, store.Conflict, err)
		}
		require.Equal(t, 1, added)
		require.Len(t, sessionOf(t, m, s.ID).Parts, 1)
		requireQueued(t, m, store.Reclaim)
	}},
	{"save for no time is Invalid", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		for _, ttl := range []time.Duration{0, -time.Second} {
			requireKind(t, store.Invalid, m.SavePart(t.Context(), by(s.ID), newPart(1, newNodes(1)...), ttl))
		}
		same(t, s, sessionOf(t, m, s.ID))
	}},
	{"begin does not slide the session on", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		beginPart(t, m, s.ID, newPart(1, newNodes(1)...))
		require.Equal(t, s.ExpiresAt, sessionOf(t, m, s.ID).ExpiresAt)
	}},
	{"a part of the same number takes the place of the old one, whose chunks are reclaimed", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		n := newNodes(4)
		one, old, three := newPart(1, n...), newPart(2, n[0], store.NodeID{}, n[1]), newPart(3, n...)
		for _, p := range []store.Part{one, old, three} {
			savePart(t, m, s.ID, p)
		}
		next := newPart(2, n...)
		next.Size = 5
		beginPart(t, m, s.ID, next)
		requireQueued(t, m, store.Reclaim)
		savePart(t, m, s.ID, next)
		requireParts(t, m, s.ID, one, next, three)
		requireQueued(t, m, store.Reclaim, chunksOf(old)...)
	}},
	{"the same part again is nil and changes nothing", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		n := newNodes(4)
		p := newPart(1, n[0], n[1])
		savePart(t, m, s.ID, p)
		want := sessionOf(t, m, s.ID)
		again := p
		again.Chunks = []store.Placement{{Node: n[2], Sum: 1}, {Node: n[3], Sum: 2}}
		again.Size, again.Number = 7, 2
		anyone := store.SessionChange{Session: s.ID, Caller: "another"}
		require.NoError(t, m.SavePart(t.Context(), anyone, again, 100*time.Hour))
		require.NoError(t, m.SavePart(t.Context(), anyone, p, 100*time.Hour))
		same(t, want, sessionOf(t, m, s.ID))
		requireQueued(t, m, store.Reclaim)
	}},
	{"chunks planned at a place where the saved part does not have them are reclaimed", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		n := newNodes(6)
		planned := newPart(1, n[0], n[1], n[2], n[3])
		beginPart(t, m, s.ID, planned)
		p := planned
		p.Chunks = []store.Placement{
			{Node: n[0], Sum: 99}, // as planned, its sum now known
			{Node: n[4], Sum: 1},  // elsewhere
			{},                    // nowhere
			planned.Chunks[3],
		}
		savePart(t, m, s.ID, p)
		requireParts(t, m, s.ID, p)
		requireQueued(t, m, store.Reclaim, work{p.ChunkID(1), n[1]}, work{p.ChunkID(2), n[2]})
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(2)})

		require.NoError(t, m.AbortSession(t.Context(), by(s.ID))) // what was begun is forgotten
		requireQueued(t, m, store.Reclaim, chunksOf(p)...)
	}},
	{"a part that is not saved in time reclaims with its session, as it was begun", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		begun := newPart(1, newNodes(2)...)
		beginPart(t, m, s.ID, begun)
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		requireQueued(t, m, store.Reclaim, chunksOf(begun)...)
		late := begun
		late.Chunks = slices.Clone(begun.Chunks)
		late.Chunks[1].Node = store.NewNodeID()
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), late, time.Hour))
		requireQueued(t, m, store.Reclaim)
		require.NoError(t, m.DropPart(t.Context(), late))
		requireQueued(t, m, store.Reclaim, chunksOf(late)...)
	}},
	{"a dropped part is reclaimed as planned and as given, each chunk once", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		n := newNodes(4)
		p := newPart(1, n[0], n[1], n[2])
		beginPart(t, m, s.ID, p)
		given := p
		given.Chunks = []store.Placement{{Node: n[0], Sum: 5}, {Node: n[3], Sum: 4}, {}}
		require.NoError(t, m.DropPart(t.Context(), given))
		requireQueued(t, m, store.Reclaim, append(chunksOf(p), work{p.ChunkID(1), n[3]})...)
		same(t, s, sessionOf(t, m, s.ID))
		require.NoError(t, m.DropPart(t.Context(), given), "again")
		requireQueued(t, m, store.Reclaim, chunksOf(given)...)
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID))) // what was begun is forgotten
		requireQueued(t, m, store.Reclaim)
	}},
	{"a part that no session ever saw can be dropped", func(t *testing.T, m store.Metadata) {
		p := newPart(1, append(newNodes(2), store.NodeID{})...)
		require.NoError(t, m.DropPart(t.Context(), p))
		requireQueued(t, m, store.Reclaim, chunksOf(p)...)
	}},
	{"a part of a session stays, and so does one of a file", func(t *testing.T, m store.Metadata) {
		s, old, whole := session(t, m, "a"), newSession("a"), newFile("b", newPart(1, newNodes(2)...))
		saved, begun, late := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...), newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, saved)
		expired(t, m, old, begun, late)
		put(t, m, whole)
		for _, p := range []store.Part{saved, late, whole.Parts[0]} {
			requireKind(t, store.Conflict, m.DropPart(t.Context(), p))
		}
		requireQueued(t, m, store.Reclaim)
		requireParts(t, m, s.ID, saved)
		require.NoError(t, m.DropPart(t.Context(), begun), "its session has expired")
		requireQueued(t, m, store.Reclaim, chunksOf(begun)...)
		complete(t, m, fileOf(s, saved), s.ID)
		requireKind(t, store.Conflict, m.DropPart(t.Context(), saved))
		requireQueued(t, m, store.Reclaim)
	}},
	{"a part that was replaced can be dropped again", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		old, next := newPart(1, newNodes(2)...), newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, old)
		savePart(t, m, s.ID, next)
		require.NoError(t, m.DropPart(t.Context(), old))
		requireQueued(t, m, store.Reclaim, chunksOf(old)...)
		requireParts(t, m, s.ID, next)
	}},
	{"parts saved at once are all there", func(t *testing.T, m store.Metadata) {
		savePartsAtOnce(t, m)
	}},
	{"of parts of one number saved at once one stays, the others are reclaimed once", func(t *testing.T, m store.Metadata) {
		saveOnePartAtOnce(t, m)
	}},
	{"of a save and an abort at once nothing is left over", func(t *testing.T, m store.Metadata) {
		for range 20 {
			s := session(t, m, "a")
			p := newPart(1, newNodes(2)...)
			beginPart(t, m, s.ID, p)
			var saved, aborted error
			var both sync.WaitGroup
			both.Go(func() { saved = m.SavePart(t.Context(), by(s.ID), p, time.Hour) })
			both.Go(func() { aborted = m.AbortSession(t.Context(), by(s.ID)) })
			both.Wait()
			require.NoError(t, aborted)
			if saved != nil {
				requireKind(t, store.NotFound, saved)
			}
			requireNoSession(t, m, s.ID)
			requireQueued(t, m, store.Reclaim, chunksOf(p)...)
		}
	}},
}

// savePartsAtOnce sends many parts of one session, spread over the stores.
func savePartsAtOnce(t *testing.T, stores ...store.Metadata) {
	s := session(t, stores[0], "a")
	parts := make([]store.Part, 32)
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i := range parts {
		parts[i] = newPart(i+1, newNodes(2)...)
		m := stores[i%len(stores)]
		all.Go(func() {
			if errs[i] = m.BeginPart(t.Context(), s.ID, parts[i]); errs[i] == nil {
				errs[i] = m.SavePart(t.Context(), by(s.ID), parts[i], time.Hour)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	requireParts(t, stores[0], s.ID, parts...)
	requireQueued(t, stores[0], store.Reclaim)
}

// saveOnePartAtOnce sends one part of a session many times, spread over the stores.
func saveOnePartAtOnce(t *testing.T, stores ...store.Metadata) {
	s := session(t, stores[0], "a")
	parts := make([]store.Part, 16)
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i := range parts {
		parts[i] = newPart(7, newNodes(2)...)
		parts[i].Size += int64(i)
		all.Go(func() { errs[i] = stores[i%len(stores)].SavePart(t.Context(), by(s.ID), parts[i], time.Hour) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	left := sessionOf(t, stores[0], s.ID).Parts
	require.Len(t, left, 1)
	lost := slices.DeleteFunc(slices.Clone(parts), func(p store.Part) bool { return p.ID == left[0].ID })
	require.Len(t, lost, len(parts)-1)
	requireParts(t, stores[0], s.ID, left[0].Part)
	requireQueued(t, stores[0], store.Reclaim, chunksOf(lost...)...)
}
