package metatest

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// fileOf is the file that the session becomes with these parts, numbered from 1 in the order given. Of
// the parts it has only what CompleteSession reads; the store knows the rest.
func fileOf(s store.Session, parts ...store.Part) store.File {
	f := newFile(s.Key)
	f.ID, f.Bucket = s.ID, s.Bucket
	for i, p := range parts {
		f.Parts = append(f.Parts, store.Part{ID: p.ID, Number: i + 1, Size: p.Size})
		f.Size += p.Size
	}
	return f
}

// complete ends sessions, and gives the file as stored.
func complete(tb testing.TB, m store.Metadata, f store.File, sessions ...store.FileID) store.File {
	tb.Helper()
	stored, _, err := m.CompleteSession(tb.Context(), store.Completion{File: f, Sessions: sessions, Attempt: store.NewAttemptID()})
	require.NoError(tb, err)
	return stored
}

// numbered gives the parts numbers from 1.
func numbered(parts ...store.Part) []store.Part {
	for i := range parts {
		parts[i].Number = i + 1
	}
	return parts
}

// requireRefused demands that the completion fails with the kind and changes nothing of the session or the key.
func requireRefused(t *testing.T, m store.Metadata, kind store.Kind, f store.File, session store.FileID, more ...store.FileID) {
	t.Helper()
	want := sessionOf(t, m, session)
	shown, none := m.LatestFile(t.Context(), f.Bucket, f.Key)
	_, _, err := m.CompleteSession(t.Context(), store.Completion{File: f, Sessions: append([]store.FileID{session}, more...), Attempt: store.NewAttemptID()})
	requireKind(t, kind, err)
	same(t, want, sessionOf(t, m, session))
	again, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
	require.Equal(t, none == nil, err == nil)
	same(t, shown, again)
	requireQueued(t, m, store.Reclaim)
	requireQueued(t, m, store.Repair)
}

var completeTests = []test{
	{"the file has the parts as stored, is complete and latest, and the session is removed", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "docs/a.txt")
		nodes := newNodes(5)
		parts := []store.Part{newPart(1, nodes...), newPart(2, nodes[1:]...), newPart(3, nodes[2:]...)}
		for _, i := range []int{2, 0, 1} {
			beginPart(t, m, s.ID, parts[i])
			savePart(t, m, s.ID, parts[i])
		}
		f := fileOf(s, parts...)
		f.SHA256 = make([]byte, 32)
		f.State, f.Latest, f.CompletedAt = store.Failed, false, now().AddDate(-1, 0, 0)
		stored, replaced, err := m.CompleteSession(t.Context(), store.Completion{File: f, Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		require.NoError(t, err)
		require.True(t, replaced.IsZero())
		requireStoreTime(t, stored.CompletedAt)

		want := f
		want.State, want.Latest, want.CompletedAt, want.Seq, want.Parts = store.Complete, true, stored.CompletedAt, stored.Seq, parts
		same(t, want, stored)
		byID, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, byID)
		byKey, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
		require.NoError(t, err)
		same(t, want, byKey)
		p, of, err := m.Part(t.Context(), parts[1].ID)
		require.NoError(t, err)
		same(t, parts[1], p)
		require.Equal(t, f.ID, of.ID)
		require.Equal(t, []string{"docs/a.txt"}, names(t, m, store.ObjectQuery{Bucket: f.Bucket, Limit: 10}))

		requireNoSession(t, m, s.ID)
		require.Empty(t, sessionIDs(t, m, store.SessionQuery{Limit: 10}))
		requireQueued(t, m, store.Reclaim)
		requireQueued(t, m, store.Repair)
	}},
	{"parts are the ones named by id, in their order, whatever else is said of them", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		one, five, nine := newPart(1, newNodes(2)...), newPart(5, newNodes(3)...), newPart(9, newNodes(4)...)
		for _, p := range []store.Part{nine, one, five} {
			savePart(t, m, s.ID, p)
		}
		f := newFile("a")
		f.ID = s.ID
		wrong := newPart(1, newNodes(1)...)
		wrong.ID, wrong.K, wrong.UnitSize = nine.ID, 7, 1
		f.Parts = []store.Part{wrong, {ID: one.ID, Number: 2}, {ID: five.ID, Number: 3}}
		stored := complete(t, m, f, s.ID)
		want := numbered(nine, one, five)
		same(t, want, stored.Parts)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, got.Parts)
		requireQueued(t, m, store.Reclaim)
	}},
	{"parts may keep their numbers, gaps and all", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		parts := []store.Part{newPart(2, newNodes(2)...), newPart(300, newNodes(2)...), newPart(store.MaxParts, newNodes(2)...)}
		for _, p := range parts {
			savePart(t, m, s.ID, p)
		}
		f := newFile("a", parts...)
		f.ID = s.ID
		same(t, parts, complete(t, m, f, s.ID).Parts)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, parts, got.Parts)
	}},
	{"a file may be made of a session without parts", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		require.Empty(t, complete(t, m, fileOf(s), s.ID).Parts)
		got, err := m.LatestFile(t.Context(), s.Bucket, "a")
		require.NoError(t, err)
		require.Equal(t, s.ID, got.ID)
		require.Empty(t, got.Parts)
	}},
	{"a file may have the bucket, the key and the metadata that it is given", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		f := fileOf(s, p)
		f.ID, f.Key, f.Meta, f.ContentType = store.NewFileID(), "b", nil, "image/png"
		f.Bucket = bucket(t, m, "photos")
		stored := complete(t, m, f, s.ID)
		got, err := m.LatestFile(t.Context(), "photos", "b")
		require.NoError(t, err)
		same(t, stored, got)
		require.Nil(t, got.Meta)
		requireNoFile(t, m, s.ID)
	}},
	{"each placement without a node is queued for repair when its part is saved", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		n := newNodes(3)
		p, whole, left := newPart(1, n[0], store.NodeID{}, n[1], store.NodeID{}), newPart(2, n...), newPart(3, n[0], store.NodeID{})
		for _, x := range []store.Part{p, whole, left} {
			savePart(t, m, s.ID, x)
		}
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(1)}, work{Chunk: p.ChunkID(3)}, work{Chunk: left.ChunkID(1)})
		complete(t, m, fileOf(s, p, whole), s.ID)
		requireQueued(t, m, store.Repair)
		requireQueued(t, m, store.Reclaim, work{left.ChunkID(0), n[0]})
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), store.Placement{}, store.Placement{Node: n[2], Sum: 4}))
	}},
	{"the file that was latest is replaced and its chunks are reclaimed", func(t *testing.T, m store.Metadata) {
		old := newFile("a", newPart(1, newNodes(3)...), newPart(2, newNodes(3)...))
		put(t, m, old)
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		_, replaced, err := m.CompleteSession(t.Context(), store.Completion{File: fileOf(s, p), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		require.NoError(t, err)
		require.Equal(t, old.ID, replaced)
		requireNoFile(t, m, old.ID)
		got, err := m.LatestFile(t.Context(), s.Bucket, "a")
		require.NoError(t, err)
		require.Equal(t, s.ID, got.ID)
		require.Len(t, fileIDs(t, m, store.FileQuery{Key: "a", Limit: 10}), 1)
		requireQueued(t, m, store.Reclaim, chunksOf(old.Parts...)...)

		_, replaced, err = m.CommitFile(t.Context(), store.Commit{File: newFile("a")})
		require.NoError(t, err)
		require.Equal(t, s.ID, replaced)
		requireQueued(t, m, store.Reclaim, chunksOf(p)...)
	}},
	{"parts that the file does not have are reclaimed, and so are begun ones", func(t *testing.T, m store.Metadata) {
		s, beside := session(t, m, "a"), session(t, m, "a")
		taken, left, begun, kept := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...), newPart(3, newNodes(2)...), newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, taken)
		savePart(t, m, s.ID, left)
		beginPart(t, m, s.ID, begun)
		savePart(t, m, beside.ID, kept)
		complete(t, m, fileOf(s, taken), s.ID)
		requireQueued(t, m, store.Reclaim, chunksOf(left, begun)...)
		requireParts(t, m, beside.ID, kept)
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), begun, time.Hour))
	}},
	{"several sessions become one file", func(t *testing.T, m store.Metadata) {
		one, two, three := session(t, m, "a"), session(t, m, "b"), session(t, m, "c")
		a, b, c, d := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...), newPart(1, newNodes(3)...), newPart(1, newNodes(1)...)
		savePart(t, m, one.ID, a)
		savePart(t, m, one.ID, b)
		savePart(t, m, two.ID, c)
		savePart(t, m, three.ID, d)
		left, begun := newPart(7, newNodes(2)...), newPart(8, newNodes(2)...)
		savePart(t, m, two.ID, left)
		beginPart(t, m, three.ID, begun)
		f := newFile("whole")
		f.Parts = fileOf(one, d, b, c, a).Parts
		stored := complete(t, m, f, one.ID, two.ID, three.ID)
		want := numbered(d, b, c, a)
		same(t, want, stored.Parts)
		got, err := m.LatestFile(t.Context(), f.Bucket, "whole")
		require.NoError(t, err)
		require.Equal(t, f.ID, got.ID)
		same(t, want, got.Parts)
		require.Empty(t, sessionIDs(t, m, store.SessionQuery{Limit: 10}))
		requireQueued(t, m, store.Reclaim, chunksOf(left, begun)...)
	}},
	{"a part that was replaced meanwhile is Conflict and changes nothing", func(t *testing.T, m store.Metadata) {
		put(t, m, newFile("a", newPart(1, newNodes(2)...)))
		s := session(t, m, "a")
		one, old, next, begun := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...), newPart(2, newNodes(2)...), newPart(3, newNodes(2)...)
		for _, p := range []store.Part{one, old, next} {
			savePart(t, m, s.ID, p)
		}
		beginPart(t, m, s.ID, begun)
		requireQueued(t, m, store.Reclaim, chunksOf(old)...)
		requireRefused(t, m, store.Conflict, fileOf(s, one, old), s.ID)
		requireRefused(t, m, store.Conflict, fileOf(s, one, begun), s.ID) // has not arrived
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		requireQueued(t, m, store.Reclaim, chunksOf(one, next, begun)...)
	}},
	{"a part of a session that is not named is Conflict, and so is one named twice", func(t *testing.T, m store.Metadata) {
		s, other := session(t, m, "a"), session(t, m, "a")
		p, q := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)
		savePart(t, m, s.ID, p)
		savePart(t, m, other.ID, q)
		requireRefused(t, m, store.Conflict, fileOf(s, p, q), s.ID)
		requireRefused(t, m, store.Conflict, fileOf(s, p, p), s.ID)
		requireParts(t, m, other.ID, q)
	}},
	{"an unknown bucket or session is NotFound and changes nothing", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(1)...)
		savePart(t, m, s.ID, p)
		requireRefused(t, m, store.NotFound, fileOf(s, p), s.ID, store.NewFileID())
		f := fileOf(s, p)
		f.Bucket = "nowhere"
		requireRefused(t, m, store.NotFound, f, s.ID)
		complete(t, m, fileOf(s, p), s.ID)
	}},
	{"a file of that id is Exists and changes nothing", func(t *testing.T, m store.Metadata) {
		whole, begun := newFile("a", newPart(1, newNodes(2)...)), newFile("b", newPart(1, newNodes(2)...))
		put(t, m, whole)
		begin(t, m, begun)
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		for _, id := range []store.FileID{whole.ID, begun.ID} {
			f := fileOf(s, p)
			f.ID = id
			requireRefused(t, m, store.Exists, f, s.ID)
		}
		got, err := m.File(t.Context(), begun.ID)
		require.NoError(t, err)
		same(t, begun.Parts, got.Parts)
	}},
	{"after completion the session is NotFound to everything", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		stored := complete(t, m, fileOf(s, p), s.ID)
		_, _, err := m.CompleteSession(t.Context(), store.Completion{File: fileOf(s, p), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		requireKind(t, store.NotFound, err)
		requireKind(t, store.NotFound, m.AbortSession(t.Context(), by(s.ID)))
		requireKind(t, store.NotFound, m.BeginPart(t.Context(), s.ID, newPart(2, newNodes(1)...)))
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), newPart(2, newNodes(1)...), time.Hour))
		requireKind(t, store.NotFound, m.SavePart(t.Context(), by(s.ID), p, time.Hour))
		_, err = m.CreateSession(t.Context(), s, time.Hour, store.SessionLimits{})
		requireKind(t, store.Exists, err)
		got, err := m.File(t.Context(), s.ID)
		require.NoError(t, err)
		same(t, stored, got)
		requireQueued(t, m, store.Reclaim)
	}},
	{"a bucket can be deleted after its session became a file that was deleted", func(t *testing.T, m store.Metadata) {
		s := newSession("a")
		s.Bucket = bucket(t, m, "photos")
		create(t, m, s, time.Hour)
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		complete(t, m, fileOf(s, p), s.ID)
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), "photos", ""))
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: s.ID, Attempt: store.NewAttemptID()}))
		require.NoError(t, m.DeleteBucket(t.Context(), "photos", ""))
		requireQueued(t, m, store.Reclaim, chunksOf(p)...)
	}},
	{"parts of a completed file are walked over as others", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(4, newNodes(2)...)
		savePart(t, m, s.ID, p)
		complete(t, m, fileOf(s, p), s.ID)
		parts, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		same(t, numbered(p), parts)
	}},
	{"as many parts as a file may have become a file in one step", func(t *testing.T, m store.Metadata) {
		completeLargest(t, m)
	}},
	{"of completions at once one wins", func(t *testing.T, m store.Metadata) {
		completeAtOnce(t, m)
	}},
	{"of a completion and a part that replaces one of its parts either is whole", func(t *testing.T, m store.Metadata) {
		completeAgainstSave(t, m, m)
	}},
	{"of a completion and an abort at once exactly one wins", func(t *testing.T, m store.Metadata) {
		completeAgainstAbort(t, m, m)
	}},
}

func completeLargest(t *testing.T, m store.Metadata) {
	s := session(t, m, "a")
	nodes := newNodes(2)
	parts := make([]store.Part, manyParts)
	for i := range parts {
		parts[i] = newPart(i+1, nodes...)
	}
	saveParts(t, m, s.ID, parts)
	f := complete(t, m, fileOf(s, parts...), s.ID)
	require.True(t, reflect.DeepEqual(parts, f.Parts), "what is returned differs") // cmp would take seconds
	require.True(t, reflect.DeepEqual(parts, allParts(t, m, s.ID)), "what is kept differs")
	requireQueued(t, m, store.Reclaim)
}

// completeAtOnce completes one session many times, spread over the stores.
func completeAtOnce(t *testing.T, stores ...store.Metadata) {
	m := stores[0]
	s := session(t, m, "a")
	p, q, left := newPart(1, newNodes(2)...), newPart(2, store.NodeID{}, store.NewNodeID()), newPart(3, newNodes(2)...)
	for _, x := range []store.Part{p, q, left} {
		savePart(t, m, s.ID, x)
	}
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, _, errs[i] = stores[i%len(stores)].CompleteSession(t.Context(), store.Completion{File: fileOf(s, p, q), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		})
	}
	all.Wait()
	requireOneWon(t, store.NotFound, errs)
	got, err := m.LatestFile(t.Context(), s.Bucket, "a")
	require.NoError(t, err)
	same(t, []store.Part{p, q}, got.Parts)
	requireQueued(t, m, store.Reclaim, chunksOf(left)...)
	requireQueued(t, m, store.Repair, work{Chunk: q.ChunkID(0)})
}

// completeAgainstSave lets a part take the place of one that a completion wants. Whatever came first:
// chunks of a file that is there are never on the reclaim queue, and all others are.
func completeAgainstSave(t *testing.T, one, two store.Metadata) {
	for range 20 {
		s := session(t, one, "a")
		old, next := newPart(1, newNodes(2)...), newPart(1, newNodes(2)...)
		savePart(t, one, s.ID, old)
		beginPart(t, one, s.ID, next)
		var completed, saved error
		var both sync.WaitGroup
		both.Go(func() {
			_, _, completed = one.CompleteSession(t.Context(), store.Completion{File: fileOf(s, old), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		})
		both.Go(func() { saved = two.SavePart(t.Context(), by(s.ID), next, time.Hour) })
		both.Wait()
		require.NotEqual(t, completed == nil, saved == nil, "complete: %v, save: %v", completed, saved)
		if completed == nil {
			requireKind(t, store.NotFound, saved)
			requireQueued(t, one, store.Reclaim, chunksOf(next)...)
			require.NoError(t, one.DeleteFile(t.Context(), store.Deletion{File: s.ID, Attempt: store.NewAttemptID()}))
			requireQueued(t, one, store.Reclaim, chunksOf(old)...)
			continue
		}
		requireKind(t, store.Conflict, completed)
		requireQueued(t, one, store.Reclaim, chunksOf(old)...)
		requireParts(t, one, s.ID, next)
		require.NoError(t, one.AbortSession(t.Context(), by(s.ID)))
		requireQueued(t, one, store.Reclaim, chunksOf(next)...)
	}
}

func completeAgainstAbort(t *testing.T, one, two store.Metadata) {
	for range 20 {
		s := session(t, one, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, one, s.ID, p)
		var completed, aborted error
		var both sync.WaitGroup
		both.Go(func() {
			_, _, completed = one.CompleteSession(t.Context(), store.Completion{File: fileOf(s, p), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		})
		both.Go(func() { aborted = two.AbortSession(t.Context(), by(s.ID)) })
		both.Wait()
		require.NotEqual(t, completed == nil, aborted == nil, "complete: %v, abort: %v", completed, aborted)
		if completed == nil {
			requireKind(t, store.NotFound, aborted)
			requireQueued(t, one, store.Reclaim)
			require.NoError(t, one.DeleteFile(t.Context(), store.Deletion{File: s.ID, Attempt: store.NewAttemptID()}))
		} else {
			requireKind(t, store.NotFound, completed)
		}
		requireQueued(t, one, store.Reclaim, chunksOf(p)...)
	}
}
