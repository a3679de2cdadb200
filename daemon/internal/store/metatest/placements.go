package metatest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var placementTests = []test{
	{"a part is found with its file", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(3)...), newPart(2, newNodes(3)...))
		stored := put(t, m, f)
		p, of, err := m.Part(t.Context(), f.Parts[1].ID)
		require.NoError(t, err)
		same(t, f.Parts[1], p)
		require.Nil(t, of.Parts)
		same(t, stored, of)
	}},
	{"a part of an upload is found too", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(1)...))
		begin(t, m, f)
		p, of, err := m.Part(t.Context(), f.Parts[0].ID)
		require.NoError(t, err)
		same(t, f.Parts[0], p)
		require.Equal(t, store.Uploading, of.State)
	}},
	{"an unknown part is NotFound", func(t *testing.T, m store.Metadata) {
		_, _, err := m.Part(t.Context(), store.NewPartID())
		requireKind(t, store.NotFound, err)
		chunk := store.ChunkID{Part: store.NewPartID()}
		requireKind(t, store.NotFound, m.MoveChunk(t.Context(), chunk, store.Placement{}, store.Placement{}))
	}},
	{"parts are found by their ids, all that exist", func(t *testing.T, m store.Metadata) {
		f, deleted := newFile("a", newPart(1, newNodes(3)...), newPart(2, newNodes(3)...)), newFile("b", newPart(1, newNodes(2)...))
		put(t, m, f)
		put(t, m, deleted)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: deleted.ID, Attempt: store.NewAttemptID()}))
		want := []store.Part{f.Parts[0], f.Parts[1], deleted.Parts[0]}
		slices.SortFunc(want, func(a, b store.Part) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		ids := []store.PartID{deleted.Parts[0].ID, f.Parts[1].ID, store.NewPartID(), f.Parts[0].ID, f.Parts[1].ID}
		got, err := m.PartsByID(t.Context(), ids)
		require.NoError(t, err)
		same(t, want, got)
		_, err = m.SweepDeleted(t.Context(), 0, 10)
		require.NoError(t, err)
		got, err = m.PartsByID(t.Context(), ids[:1])
		require.NoError(t, err)
		require.Empty(t, got)
		_, err = m.PartsByID(t.Context(), nil)
		requireKind(t, store.Invalid, err)
		_, err = m.PartsByID(t.Context(), make([]store.PartID, store.MaxListLimit+1))
		requireKind(t, store.Invalid, err)
	}},
	{"parts of complete files come in byte order of their ids, page by page", func(t *testing.T, m store.Metadata) {
		var want []store.Part
		for i := range 11 {
			f := newFile(store.Key(fmt.Sprint(i)), newPart(1, newNodes(2)...), newPart(2, newNodes(2)...))
			put(t, m, f)
			want = append(want, f.Parts...)
		}
		begin(t, m, newFile("upload", newPart(1, newNodes(2)...)))
		slices.SortFunc(want, func(a, b store.Part) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		for _, limit := range []int{1, 5, 22, 100} {
			var got []store.Part
			after := store.PartID{}
			for {
				parts, err := m.PartsAfter(t.Context(), after, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(parts), limit)
				if len(parts) == 0 {
					break
				}
				got = append(got, parts...)
				after = parts[len(parts)-1].ID
			}
			same(t, want, got)
		}
	}},
	{"a move changes one placement and reclaims the old place", func(t *testing.T, m store.Metadata) {
		n := newNodes(4)
		f := newFile("a", newPart(1, n[:3]...))
		put(t, m, f)
		p := f.Parts[0]
		to := store.Placement{Node: n[3], Sum: 5}
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], to))
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, []store.Placement{p.Chunks[0], to, p.Chunks[2]}, got.Parts[0].Chunks)
		requireQueued(t, m, store.Reclaim, work{p.ChunkID(1), n[1]})
		requireQueued(t, m, store.Repair)
	}},
	{"a move from elsewhere is Conflict and changes nothing", func(t *testing.T, m store.Metadata) {
		n := newNodes(4)
		f := newFile("a", newPart(1, n[0], n[1], store.NodeID{}))
		put(t, m, f)
		p := f.Parts[0]
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(2)})
		to := store.Placement{Node: n[3], Sum: 5}
		for _, from := range []store.Placement{{}, p.Chunks[1], {Node: n[0]}, {Node: n[0], Sum: p.Chunks[0].Sum + 1}} {
			requireKind(t, store.Conflict, m.MoveChunk(t.Context(), p.ChunkID(0), from, to))
		}
		requireKind(t, store.Conflict, m.MoveChunk(t.Context(), p.ChunkID(2), p.Chunks[0], to))
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, p.Chunks, got.Parts[0].Chunks)
		requireQueued(t, m, store.Reclaim)
		requireQueued(t, m, store.Repair)
	}},
	{"a chunk that the part does not have is NotFound", func(t *testing.T, m store.Metadata) {
		p := newPart(1, newNodes(2)...)
		put(t, m, newFile("a", p))
		requireKind(t, store.NotFound, m.MoveChunk(t.Context(), p.ChunkID(2), store.Placement{}, p.Chunks[0]))
	}},
	{"a repair finishes its task and reclaims nothing", func(t *testing.T, m store.Metadata) {
		n := newNodes(3)
		p := newPart(1, n[0], store.NodeID{}, store.NodeID{})
		put(t, m, newFile("a", p))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), store.Placement{}, store.Placement{Node: n[1], Sum: 9}))
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(2)})
		requireQueued(t, m, store.Reclaim)
	}},
	{"a moved chunk leaves the repair of its part, claimed or not", func(t *testing.T, m store.Metadata) {
		n := newNodes(3)
		p := newPart(1, n[0], n[1])
		put(t, m, newFile("a", p))
		enqueue(t, m, newRepair(p.ID, 0, 0, 1))
		claimed := claimAll(t, m, store.Repair)
		require.Len(t, claimed, 1)
		moved := store.Placement{Node: n[2]}
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], moved))
		require.EqualValues(t, 1, depth(t, m, store.Repair).Tasks, "the other chunk is left")
		requireQueued(t, m, store.Reclaim, work{p.ChunkID(1), n[1]})
		enqueue(t, m, newRepair(p.ID, 0, 1))
		require.NoError(t, m.Finish(t.Context(), claimed))
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(1)})

		enqueue(t, m, newRepair(p.ID, 0, 1))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), moved, store.Placement{Node: n[1]}))
		require.Zero(t, depth(t, m, store.Repair))
	}},
	{"a move to nowhere queues the repair and reclaims the old place", func(t *testing.T, m store.Metadata) {
		n := newNodes(2)
		f := newFile("a", newPart(1, n...))
		put(t, m, f)
		p := f.Parts[0]
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], store.Placement{}))
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, []store.Placement{{}, p.Chunks[1]}, got.Parts[0].Chunks)
		requireQueued(t, m, store.Repair, work{Chunk: p.ChunkID(0)})
		requireQueued(t, m, store.Reclaim, work{p.ChunkID(0), n[0]})
	}},
	{"a new sum on the same node reclaims nothing", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		p := f.Parts[0]
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], store.Placement{Node: p.Chunks[0].Node, Sum: 1}))
		requireQueued(t, m, store.Reclaim)
	}},
	{"a move back calls an unclaimed reclaim off", func(t *testing.T, m store.Metadata) {
		n := newNodes(2)
		p := newPart(1, n[0])
		put(t, m, newFile("a", p))
		away, back := store.Placement{Node: n[1], Sum: 1}, store.Placement{Node: n[0], Sum: 2}
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], away))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), away, back))
		requireQueued(t, m, store.Reclaim, work{p.ChunkID(0), n[1]})
	}},
	{"a move to where a claimed reclaim may still strike is Conflict until it is finished", func(t *testing.T, m store.Metadata) {
		n := newNodes(1)
		p := newPart(1, n[0])
		put(t, m, newFile("a", p))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], store.Placement{}))
		tasks := claimAll(t, m, store.Reclaim)
		require.Len(t, tasks, 1)
		back := store.Placement{Node: n[0], Sum: 2}
		requireKind(t, store.Conflict, m.MoveChunk(t.Context(), p.ChunkID(0), store.Placement{}, back))
		require.NoError(t, m.Postpone(t.Context(), tasks, 0))
		requireKind(t, store.Conflict, m.MoveChunk(t.Context(), p.ChunkID(0), store.Placement{}, back))
		require.NoError(t, m.Finish(t.Context(), claimAll(t, m, store.Reclaim)))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), store.Placement{}, back))
		requireQueued(t, m, store.Repair)
	}},
	{"a part of a session is found, walked over and moved as one of a file", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		n := newNodes(3)
		p := newPart(3, n[0], store.NodeID{}, n[1])
		savePart(t, m, s.ID, p)
		got, f, err := m.Part(t.Context(), p.ID)
		require.NoError(t, err)
		same(t, p, got)
		require.Equal(t, store.File{ID: s.ID, Bucket: s.Bucket, Key: s.Key, State: store.Uploading}, f)
		parts, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		same(t, []store.Part{p}, parts)
		to := store.Placement{Node: n[2], Sum: 4}
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], to))
		p.Chunks[1] = to
		requireParts(t, m, s.ID, p)
		requireQueued(t, m, store.Repair)
		stored := complete(t, m, fileOf(s, p), s.ID)
		same(t, numbered(p), stored.Parts)
	}},
	{"a missing chunk keeps the sum that it must have", func(t *testing.T, m store.Metadata) {
		n := newNodes(2)
		p := newPart(1, n[0], store.NodeID{})
		p.Chunks[1].Sum = 77
		put(t, m, newFile("a", p))
		got, _, err := m.Part(t.Context(), p.ID)
		require.NoError(t, err)
		same(t, p, got)
		requireKind(t, store.Conflict, m.MoveChunk(t.Context(), p.ChunkID(1), store.Placement{}, store.Placement{Node: n[1], Sum: 77}))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], store.Placement{Node: n[1], Sum: 77}))
	}},
	{"a part can be widened, and its new chunks are queued for repair", func(t *testing.T, m store.Metadata) {
		n := newNodes(2)
		s := session(t, m, "b")
		of, ofSession := newPart(1, n[0]), newPart(1, n[1])
		f := newFile("a", of)
		put(t, m, f)
		savePart(t, m, s.ID, ofSession)
		for _, p := range []store.Part{of, ofSession} {
			require.NoError(t, m.WidenPart(t.Context(), p.ID, 2))
			require.NoError(t, m.WidenPart(t.Context(), p.ID, 1), "less changes nothing")
			got, _, err := m.Part(t.Context(), p.ID)
			require.NoError(t, err)
			p.M, p.Chunks = 2, append(slices.Clone(p.Chunks), store.Placement{}, store.Placement{})
			same(t, p, got)
		}
		requireQueued(t, m, store.Repair, work{Chunk: of.ChunkID(1)}, work{Chunk: of.ChunkID(2)}, work{Chunk: ofSession.ChunkID(1)}, work{Chunk: ofSession.ChunkID(2)})
		requireKind(t, store.NotFound, m.WidenPart(t.Context(), store.NewPartID(), 2))
		requireKind(t, store.Invalid, m.WidenPart(t.Context(), of.ID, store.MaxChunksPerPart))
		requireQueued(t, m, store.Repair)
	}},
	{"of moves at once from one place one wins", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		put(t, m, f)
		p := f.Parts[0]
		targets := newNodes(8)
		errs := make([]error, len(targets))
		var all sync.WaitGroup
		for i, n := range targets {
			all.Go(func() { errs[i] = m.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], store.Placement{Node: n}) })
		}
		all.Wait()
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		for i, n := range targets {
			if errs[i] == nil {
				require.Equal(t, n, got.Parts[0].Chunks[1].Node)
				continue
			}
			requireKind(t, store.Conflict, errs[i])
		}
		requireQueued(t, m, store.Reclaim, work{p.ChunkID(1), p.Chunks[1].Node})
	}},
	{"moves of chunks of one part at once all count", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(10)...))
		put(t, m, f)
		p := f.Parts[0]
		targets := newNodes(10)
		errs := make([]error, len(targets))
		var all sync.WaitGroup
		for i, n := range targets {
			all.Go(func() { errs[i] = m.MoveChunk(t.Context(), p.ChunkID(i), p.Chunks[i], store.Placement{Node: n}) })
		}
		all.Wait()
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		for i, n := range targets {
			require.NoError(t, errs[i])
			require.Equal(t, n, got.Parts[0].Chunks[i].Node)
		}
	}},
}
