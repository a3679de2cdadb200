package metatest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// newSegment is a segment of the metadata log on these nodes.
func newSegment(log store.LogID, number, term uint64, nodes ...store.NodeID) store.LogSegment {
	p := newPart(1, nodes...)
	p.ID = store.NewLogPartID()
	return store.LogSegment{
		Log: log, Number: number, Term: term, Kind: store.TailSegment, First: store.Revision(number) * 10, Last: store.Revision(number)*10 + 10, Part: p,
	}
}

func changeLog(tb testing.TB, m store.Metadata, c store.LogChange) {
	tb.Helper()
	require.NoError(tb, m.ChangeLog(tb.Context(), c))
}

func requireSegments(tb testing.TB, m store.Metadata, want ...store.LogSegment) {
	tb.Helper()
	got, err := m.LogSegments(tb.Context())
	require.NoError(tb, err)
	same(tb, want, got)
}

var logTests = []test{
	{"a store without nodes takes the id of a cluster, one with nodes keeps its own", func(t *testing.T, m store.Metadata) {
		first, second := store.NewClusterID(), store.NewClusterID()
		for _, id := range []store.ClusterID{first, second, second} {
			require.NoError(t, m.AdoptCluster(t.Context(), id))
			require.Equal(t, id, members(t, m).Cluster)
		}
		require.Equal(t, second, join(t, m, newNode("a")).Cluster)
		requireKind(t, store.Conflict, m.AdoptCluster(t.Context(), first))
		require.NoError(t, m.AdoptCluster(t.Context(), second))
		require.Equal(t, second, members(t, m).Cluster)
	}},
	{"segments are listed by number, with their parts", func(t *testing.T, m store.Metadata) {
		requireSegments(t, m)
		log, n := store.NewLogID(), newNodes(3)
		a, b, c := newSegment(log, 1, 3, n...), newSegment(log, 2, 3, n...), newSegment(log, 7, 4, n...)
		b.Kind, b.Group = store.SnapshotSegment, 2
		a.Part.Checksums = attr.Checksums{sum(attr.ChecksumMD5, 0, 16)}
		changeLog(t, m, store.LogChange{Term: 3, Add: []store.LogSegment{a, b}})
		changeLog(t, m, store.LogChange{Term: 4, Add: []store.LogSegment{c}})
		requireSegments(t, m, a, b, c)
		requireQueued(t, m, store.Repair)
	}},
	{"a log has everything from its first change on, or by a whole snapshot", func(t *testing.T, m store.Metadata) {
		var all []store.LogSegment
		add := func(log store.LogID, kind store.LogSegmentKind, first, last store.Revision, want store.Revision) {
			t.Helper()
			s := newSegment(log, uint64(len(all)+1), 1, newNodes(1)...)
			s.Kind, s.First, s.Last = kind, first, last
			all = append(all, s)
			changeLog(t, m, store.LogChange{Term: 1, Add: []store.LogSegment{s}})
			got, err := m.LoggedTo(t.Context())
			if want == 0 {
				requireKind(t, store.NotFound, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		_, err := m.LoggedTo(t.Context())
		requireKind(t, store.NotFound, err)
		lost, begun, second := store.NewLogID(), store.NewLogID(), store.NewLogID()
		add(lost, store.TailSegment, 5, 9, 0)
		add(begun, store.TailSegment, 0, 10, 10)
		add(begun, store.TailSegment, 10, 20, 20)
		add(second, store.TailSegment, 30, 40, 20)
		add(second, store.SnapshotSegment, 0, 30, 20)
		add(second, store.TailSegment, 40, 45, 20)
		add(second, store.SnapshotEnd, 0, 30, 45)
		changeLog(t, m, store.LogChange{Term: 1, Remove: []uint64{1, 2, 3, 4, 6}})
		last, err := m.LoggedTo(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 30, last, "without its tail")
	}},
	{"parts of the log are found, listed, moved and widened like others", func(t *testing.T, m store.Metadata) {
		n := newNodes(3)
		a := newSegment(store.NewLogID(), 1, 1, n...)
		changeLog(t, m, store.LogChange{Term: 1, Add: []store.LogSegment{a}})
		p, f, err := m.Part(t.Context(), a.Part.ID)
		require.NoError(t, err)
		same(t, a.Part, p)
		same(t, store.File{State: store.Complete}, f)
		all, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		same(t, []store.Part{a.Part}, all)

		to := store.Placement{Node: store.NewNodeID(), Sum: a.Part.Chunks[1].Sum}
		require.NoError(t, m.MoveChunk(t.Context(), a.Part.ChunkID(1), a.Part.Chunks[1], to))
		a.Part.Chunks[1] = to
		require.NoError(t, m.WidenPart(t.Context(), a.Part.ID, 3))
		a.Part.M, a.Part.Chunks = 3, append(a.Part.Chunks, store.Placement{})
		requireSegments(t, m, a)
		requireQueued(t, m, store.Repair, work{Chunk: a.Part.ChunkID(3)})
		requireQueued(t, m, store.Reclaim, work{a.Part.ChunkID(1), n[1]})
	}},
	{"holes are queued for repair, and removed segments for reclaim", func(t *testing.T, m store.Metadata) {
		log, n := store.NewLogID(), newNodes(2)
		a, b := newSegment(log, 1, 1, n[0], store.NodeID{}, n[1]), newSegment(log, 2, 1, n...)
		changeLog(t, m, store.LogChange{Term: 1, Add: []store.LogSegment{a}})
		requireQueued(t, m, store.Repair, work{Chunk: a.Part.ChunkID(1)})
		changeLog(t, m, store.LogChange{Term: 1, Add: []store.LogSegment{b}, Remove: []uint64{1, 99}})
		requireSegments(t, m, b)
		requireQueued(t, m, store.Reclaim, chunksOf(a.Part)...)
		_, _, err := m.Part(t.Context(), a.Part.ID)
		requireKind(t, store.NotFound, err)
	}},
	{"an older term changes nothing", func(t *testing.T, m store.Metadata) {
		log := store.NewLogID()
		a, b := newSegment(log, 1, 5, newNodes(1)...), newSegment(log, 2, 4, newNodes(1)...)
		changeLog(t, m, store.LogChange{Term: 5, Add: []store.LogSegment{a}})
		requireKind(t, store.Conflict, m.ChangeLog(t.Context(), store.LogChange{Term: 4, Add: []store.LogSegment{b}, Remove: []uint64{1}}))
		requireSegments(t, m, a)
	}},
	{"a number is used once, and numbers ascend", func(t *testing.T, m store.Metadata) {
		log := store.NewLogID()
		a := newSegment(log, 3, 1, newNodes(1)...)
		changeLog(t, m, store.LogChange{Term: 1, Add: []store.LogSegment{a}})
		for _, number := range []uint64{3, 2} {
			again := newSegment(log, number, 1, newNodes(1)...)
			requireKind(t, store.Conflict, m.ChangeLog(t.Context(), store.LogChange{Term: 1, Add: []store.LogSegment{again}}))
		}
		requireSegments(t, m, a)
	}},
	{"a segment that is not one is Invalid", func(t *testing.T, m store.Metadata) {
		other := newSegment(store.NewLogID(), 1, 1, newNodes(1)...)
		other.Part.ID = store.NewPartID()
		requireKind(t, store.Invalid, m.ChangeLog(t.Context(), store.LogChange{Term: 1, Add: []store.LogSegment{other}}))
	}},
	{"a dropped part fences its segment, and a segment's part is not dropped", func(t *testing.T, m store.Metadata) {
		log := store.NewLogID()
		a, b := newSegment(log, 1, 1, newNodes(1)...), newSegment(log, 2, 1, newNodes(1)...)
		require.NoError(t, m.DropPart(t.Context(), a.Part))
		requireKind(t, store.Conflict, m.ChangeLog(t.Context(), store.LogChange{Term: 1, Add: []store.LogSegment{a}}))
		changeLog(t, m, store.LogChange{Term: 1, Add: []store.LogSegment{b}})
		requireKind(t, store.Conflict, m.DropPart(t.Context(), b.Part))
		requireSegments(t, m, b)
	}},
	{"files of any state are read by id", func(t *testing.T, m store.Metadata) {
		a, b, gone := newFile("a", newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)), newFile("b"), newFile("c", newPart(1, newNodes(2)...))
		stored := put(t, m, a)
		put(t, m, b)
		put(t, m, gone)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: gone.ID, Attempt: store.NewAttemptID()}))
		batch, err := m.FilesByID(t.Context(), []store.FileID{gone.ID, a.ID, store.NewFileID(), b.ID, a.ID})
		require.NoError(t, err)
		require.False(t, batch.More)
		want := []store.FileID{a.ID, b.ID, gone.ID}
		slices.SortFunc(want, func(a, b store.FileID) int { return bytes.Compare(a[:], b[:]) })
		require.Equal(t, want, idsOf(batch.Files))
		for _, f := range batch.Files {
			switch f.ID {
			case a.ID:
				stored.Parts = a.Parts
				same(t, stored, f)
			case gone.ID:
				require.Equal(t, store.Deleted, f.State)
				same(t, gone.Parts, f.Parts)
			}
		}
		_, err = m.FilesByID(t.Context(), nil)
		requireKind(t, store.Invalid, err)
	}},
	{"complete files are read by id, page by page, versions and delete markers included", func(t *testing.T, m store.Metadata) {
		var want []store.FileID
		for range 7 {
			f := newFile("versions", newPart(1, newNodes(2)...), newPart(2, newNodes(2)...))
			_, _, err := m.CommitFile(t.Context(), store.Commit{Change: store.Change{Before: store.KeepBefore}, File: f})
			require.NoError(t, err)
			want = append(want, f.ID)
		}
		marker := newFile("marker")
		marker.DeleteMarker = true
		put(t, m, marker)
		want = append(want, marker.ID)
		begin(t, m, newFile("upload", newPart(1, newNodes(2)...)))
		deleted := newFile("deleted", newPart(1, newNodes(2)...))
		put(t, m, deleted)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: deleted.ID, Attempt: store.NewAttemptID()}))
		slices.SortFunc(want, func(a, b store.FileID) int { return bytes.Compare(a[:], b[:]) })
		for _, limit := range []int{1, 3, 8, 100} {
			var got []store.FileID
			for after, more := (store.FileID{}), true; more; {
				batch, err := m.CompleteFiles(t.Context(), after, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(batch.Files), limit)
				for _, f := range batch.Files {
					after = f.ID
					require.Equal(t, f.DeleteMarker, len(f.Parts) == 0, "files have their parts")
				}
				got, more = append(got, idsOf(batch.Files)...), batch.More
			}
			require.Equal(t, want, got, "limit %d", limit)
		}
	}},
	{"a batch ends where its files have many parts", func(t *testing.T, m store.Metadata) {
		nodes := newNodes(1)
		for range 3 {
			f := newFile("many")
			for i := range store.MaxParts {
				f.Parts = append(f.Parts, newPart(i+1, nodes...))
			}
			_, _, err := m.CommitFile(t.Context(), store.Commit{Change: store.Change{Before: store.KeepBefore}, File: f})
			require.NoError(t, err)
		}
		put(t, m, newFile("last"))
		first, err := m.CompleteFiles(t.Context(), store.FileID{}, 100)
		require.NoError(t, err)
		require.True(t, first.More)
		require.Len(t, first.Files, 3)
		for _, f := range first.Files {
			require.Len(t, f.Parts, store.MaxParts)
		}
		second, err := m.CompleteFiles(t.Context(), first.Files[2].ID, 100)
		require.NoError(t, err)
		require.False(t, second.More)
		require.Len(t, second.Files, 1)
	}},
}

var restoreTests = []test{
	{"files are restored as they were, and are like others afterwards", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...), newPart(2, newNodes(2)...))
		f.State, f.Latest, f.ChangedBy, f.CompletedAt = store.Complete, true, "key", now().Add(-time.Hour)
		behind := newFile("a", newPart(1, newNodes(2)...))
		behind.State, behind.CompletedAt = store.Complete, f.CompletedAt.Add(-time.Minute)
		behind.Seq, f.Seq = 1000, 2000
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: behind}, store.LogRecord{Kind: store.FileStored, File: f})
		got, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
		require.NoError(t, err)
		same(t, f, got)
		got, err = m.File(t.Context(), behind.ID)
		require.NoError(t, err)
		same(t, behind, got)
		requireQueued(t, m, store.Repair)
		requireUsage(t, m, f.Bucket, store.Usage{Bytes: f.Size + behind.Size, Files: 2})
		head, err := m.ChangeHead(t.Context())
		require.NoError(t, err)
		require.Zero(t, head, "no change is recorded")
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		got, err = m.LatestFile(t.Context(), f.Bucket, f.Key)
		require.NoError(t, err)
		require.Equal(t, behind.ID, got.ID, "the version behind it is its heir")
		requireUsage(t, m, f.Bucket, store.Usage{Bytes: behind.Size, Files: 1})
		require.Greater(t, put(t, m, newFile("a")).Seq, f.Seq, "what comes later is newer")
	}},
	{"a restored file of many parts is read page by page", func(t *testing.T, m store.Metadata) {
		f := newFile("many")
		nodes := newNodes(1)
		for i := range 3 * store.PartsPage {
			f.Parts = append(f.Parts, newPart(i+1, nodes...))
			f.Size += f.Parts[i].Size
		}
		f.State, f.Latest, f.CompletedAt = store.Complete, true, now()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, store.MarksOf(f.Parts), got.Marks)
		all, err := store.AllParts(t.Context(), m, got)
		require.NoError(t, err)
		same(t, f.Parts, all)
		batch, err := m.FilesByID(t.Context(), []store.FileID{f.ID})
		require.NoError(t, err)
		same(t, []store.File{f}, batch.Files)
	}},
	{"a restored file replaces itself", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...), newPart(2, newNodes(2)...))
		f.State, f.Latest, f.CompletedAt = store.Complete, true, now()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		f.Key, f.Meta, f.Parts, f.Size = "b", nil, f.Parts[1:], f.Parts[1].Size
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, f, got)
		parts, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		same(t, f.Parts, parts)
		requireUsage(t, m, f.Bucket, store.Usage{Bytes: f.Size, Files: 1})
	}},
	{"of two latest files of a key the later record counts", func(t *testing.T, m store.Metadata) {
		a, b := newFile("a"), newFile("a")
		a.State, a.Latest, a.CompletedAt = store.Complete, true, now()
		b.State, b.Latest, b.CompletedAt = store.Complete, true, now()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: b}, store.LogRecord{Kind: store.FileStored, File: a})
		requireLatest(t, m, a)
		b.ChangedBy = "mover"
		restore(t, m, store.LogRecord{Kind: store.FileMoved, File: store.File{ID: b.ID, Bucket: b.Bucket, Key: "a", Latest: true, ChangedBy: "mover"}})
		requireLatest(t, m, b)
	}},
	{"a file is shown again where it is, and not under another key", func(t *testing.T, m store.Metadata) {
		a, b := newFile("a"), newFile("a")
		a.State, a.CompletedAt = store.Complete, now()
		b.State, b.Latest, b.CompletedAt = store.Complete, true, now()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: a}, store.LogRecord{Kind: store.FileStored, File: b})
		shown := func(f store.File, key store.Key) store.LogRecord {
			return store.LogRecord{Kind: store.FileShown, File: store.File{ID: f.ID, Bucket: f.Bucket, Key: key}}
		}
		restore(t, m, shown(a, "other"), shown(newFile("a"), "a"))
		requireLatest(t, m, b)
		restore(t, m, shown(a, "a"), shown(a, "a"))
		requireLatest(t, m, a)
	}},
	{"a hidden key shows nothing", func(t *testing.T, m store.Metadata) {
		a, b := newFile("a"), newFile("b")
		a.State, a.Latest, a.CompletedAt = store.Complete, true, now()
		b.State, b.Latest, b.CompletedAt = store.Complete, true, now()
		hidden := store.LogRecord{Kind: store.KeyHidden, File: store.File{Bucket: a.Bucket, Key: a.Key}}
		nowhere := store.LogRecord{Kind: store.KeyHidden, File: store.File{Bucket: "nowhere", Key: a.Key}}
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: a}, store.LogRecord{Kind: store.FileStored, File: b}, hidden, hidden, nowhere)
		_, err := m.LatestFile(t.Context(), a.Bucket, a.Key)
		requireKind(t, store.NotFound, err)
		requireLatest(t, m, b)
		got, err := m.File(t.Context(), a.ID)
		require.NoError(t, err)
		require.Equal(t, store.Complete, got.State)
	}},
	{"files are moved and removed", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.State, f.Latest, f.CompletedAt = store.Complete, true, now()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		f.Bucket, f.Key, f.Latest, f.ChangedBy = "elsewhere", "b", false, "mover"
		moved := store.LogRecord{Kind: store.FileMoved, File: store.File{ID: f.ID, Bucket: f.Bucket, Key: f.Key, ChangedBy: f.ChangedBy}}
		unknown := store.LogRecord{Kind: store.FileMoved, File: store.File{ID: store.NewFileID(), Bucket: f.Bucket, Key: f.Key}}
		restore(t, m, moved, unknown)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, f, got)
		_, err = m.Bucket(t.Context(), "elsewhere")
		require.NoError(t, err, "the bucket was created")
		requireUsage(t, m, "elsewhere", store.Usage{Bytes: f.Size, Files: 1})
		requireUsage(t, m, store.DefaultBucket, store.Usage{})

		removed := store.LogRecord{Kind: store.FileRemoved, File: store.File{ID: f.ID}}
		restore(t, m, removed, removed)
		requireNoFile(t, m, f.ID)
		requireUsage(t, m, "elsewhere", store.Usage{})
		parts, err := m.PartsAfter(t.Context(), store.PartID{}, 10)
		require.NoError(t, err)
		require.Empty(t, parts)
		requireQueued(t, m, store.Reclaim)
	}},
	{"buckets are restored, replaced and removed", func(t *testing.T, m store.Metadata) {
		b := store.Bucket{Name: "photos", CreatedAt: now().Add(-time.Hour), Survive: 3}
		stored := func(b store.Bucket) store.LogRecord { return store.LogRecord{Kind: store.BucketStored, Bucket: b} }
		restore(t, m, stored(b))
		got, err := m.Bucket(t.Context(), "photos")
		require.NoError(t, err)
		same(t, b, got)
		b.Survive, b.CreatedAt = 1, now()
		restore(t, m, stored(b))
		got, err = m.Bucket(t.Context(), "photos")
		require.NoError(t, err)
		same(t, b, got)

		f := newFile("a")
		f.Bucket, f.State, f.CompletedAt = "photos", store.Complete, now()
		gone := store.LogRecord{Kind: store.BucketGone, Bucket: store.Bucket{Name: "photos"}}
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f}, gone)
		_, err = m.Bucket(t.Context(), "photos")
		require.NoError(t, err, "it has a file")
		restore(t, m, store.LogRecord{Kind: store.FileRemoved, File: f}, gone, gone)
		_, err = m.Bucket(t.Context(), "photos")
		requireKind(t, store.NotFound, err)
	}},
}

func restore(tb testing.TB, m store.Metadata, records ...store.LogRecord) {
	tb.Helper()
	require.NoError(tb, m.Restore(tb.Context(), records))
}

func requireLatest(tb testing.TB, m store.Metadata, f store.File) {
	tb.Helper()
	got, err := m.LatestFile(tb.Context(), f.Bucket, f.Key)
	require.NoError(tb, err)
	require.Equal(tb, f.ID, got.ID)
}

func idsOf(files []store.File) (ids []store.FileID) {
	for _, f := range files {
		ids = append(ids, f.ID)
	}
	return ids
}
