package metatest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// patience bounds the waits for something that must happen; a passing run never waits that long.
const patience = 20 * time.Second

// now is the present as the contract keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// newFile is a file of the default bucket with these parts, as the engine makes it.
func newFile(key store.Key, parts ...store.Part) store.File {
	f := store.File{
		ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, ContentType: "text/plain",
		CreatedAt: now(), CRC64: 0xfedcba9876543210, ETag: "0123456789abcdef-7",
		Meta: map[string]string{"colour": "blue", "": "empty name", "ключ": "\"quoted\" \x01"}, Parts: parts,
	}
	for _, p := range parts {
		f.Size += p.Size
	}
	return f
}

// newPart is a part with one data chunk, the others copies, on the nodes; the zero node is a missing chunk.
func newPart(number int, nodes ...store.NodeID) store.Part {
	p := store.Part{
		ID: store.NewPartID(), Number: number, Size: 1000 + int64(number), K: 1, M: len(nodes) - 1,
		UnitSize: chunk.DefaultUnitSize, CRC64: 1<<63 | uint64(number),
	}
	for i, n := range nodes {
		sum := store.ChunkSum(0)
		if !n.IsZero() {
			sum = store.ChunkSum(0xf0000000 + uint32(i)<<8 + uint32(number))
		}
		p.Chunks = append(p.Chunks, store.Placement{Node: n, Sum: sum})
	}
	return p
}

func newNodes(n int) []store.NodeID {
	ids := make([]store.NodeID, n)
	for i := range ids {
		ids[i] = store.NewNodeID()
	}
	return ids
}

// put commits a file that was not begun.
func put(tb testing.TB, m store.Metadata, f store.File) store.File {
	tb.Helper()
	stored, _, err := m.CommitFile(tb.Context(), store.Commit{File: f})
	require.NoError(tb, err)
	return stored
}

// begin records an upload.
func begin(tb testing.TB, m store.Metadata, f store.File) {
	tb.Helper()
	require.NoError(tb, m.BeginFile(tb.Context(), f))
}

// bucket makes one more bucket.
func bucket(tb testing.TB, m store.Metadata, name store.BucketName) store.BucketName {
	tb.Helper()
	require.NoError(tb, m.CreateBucket(tb.Context(), store.Bucket{Name: name, Survive: store.SurviveDefault}, ""))
	return name
}

// requireKind demands an error of the kind that is an *Error, or an ended context's.
func requireKind(tb testing.TB, want store.Kind, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, want, store.KindOf(err), "error: %v", err)
	if want == store.Canceled {
		return
	}
	_, ok := errors.AsType[*store.Error](err)
	require.True(tb, ok, "%T is no *store.Error: %v", err, err)
}

// same demands equal values; empty and nil maps and slices are the same.
func same[T any](tb testing.TB, want, got T) {
	tb.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		tb.Fatalf("differs (-want +got):\n%s", diff)
	}
}

// requireStoreTime demands a time as the contract says: microseconds, UTC, and not long from now.
func requireStoreTime(tb testing.TB, at time.Time) {
	tb.Helper()
	require.Equal(tb, time.UTC, at.Location())
	require.Zero(tb, at.Nanosecond()%1000, "%v is finer than microseconds", at)
	require.Less(tb, time.Since(at).Abs(), time.Hour)
}

// claimAll claims every task that is due, for an hour.
func claimAll(tb testing.TB, m store.Metadata, kind store.TaskKind) []store.Task {
	tb.Helper()
	var all []store.Task
	for {
		tasks, err := m.Claim(tb.Context(), store.ClaimQuery{Term: 1, Kind: kind, Limit: 100, Hold: time.Hour})
		require.NoError(tb, err)
		if len(tasks) == 0 {
			return all
		}
		all = append(all, tasks...)
	}
}

// work is the identity of a task within its kind.
type work struct {
	Chunk store.ChunkID
	Node  store.NodeID
}

func compareWork(a, b work) int {
	if c := a.Chunk.Compare(b.Chunk); c != 0 {
		return c
	}
	return slices.Compare(a.Node[:], b.Node[:])
}

// sweep queues the chunks of all deleted files for reclaim, without a grace.
func sweep(tb testing.TB, m store.Metadata) {
	tb.Helper()
	for {
		n, err := m.SweepDeleted(tb.Context(), 0, 100)
		require.NoError(tb, err)
		if n == 0 {
			return
		}
	}
}

// requireNoFile demands that the file cannot be used: it does not exist, or is Deleted.
func requireNoFile(tb testing.TB, m store.Metadata, id store.FileID) {
	tb.Helper()
	f, err := m.File(tb.Context(), id)
	if err == nil {
		require.Equal(tb, store.Deleted, f.State)
		require.False(tb, f.Latest)
		return
	}
	requireKind(tb, store.NotFound, err)
}

// requireQueued demands that exactly the wanted work is in the queue, once what is deleted was swept, and empties it.
func requireQueued(tb testing.TB, m store.Metadata, kind store.TaskKind, want ...work) {
	tb.Helper()
	sweep(tb, m)
	tasks := claimAll(tb, m, kind)
	var got []work
	for _, task := range tasks {
		if task.Kind != store.Repair {
			got = append(got, work{task.Chunk, task.Node})
		}
		for _, i := range task.Chunks.Indexes() {
			got = append(got, work{Chunk: store.ChunkID{Part: task.Chunk.Part, Index: uint8(i)}})
		}
	}
	want = slices.Clone(want)
	slices.SortFunc(want, compareWork)
	slices.SortFunc(got, compareWork)
	same(tb, want, got)
	require.NoError(tb, m.Finish(tb.Context(), tasks))
}

// chunksOf is the work of every placement that names a node.
func chunksOf(parts ...store.Part) []work {
	var all []work
	for _, p := range parts {
		for i, c := range p.Chunks {
			if !c.Node.IsZero() {
				all = append(all, work{p.ChunkID(i), c.Node})
			}
		}
	}
	return all
}

// names lists the entries of the whole answer to the query, page after page.
func names(tb testing.TB, m store.Metadata, q store.ObjectQuery) []string {
	tb.Helper()
	var all []string
	for {
		page, err := m.ListObjects(tb.Context(), q)
		require.NoError(tb, err)
		for _, e := range page.Entries {
			all = append(all, e.Name)
		}
		if !page.More {
			return all
		}
		require.NotEmpty(tb, page.Entries, "More without an entry")
		q.After = page.Next
	}
}

// fileIDs are the ids of one page of files, in the order given.
func fileIDs(tb testing.TB, m store.Metadata, q store.FileQuery) []store.FileID {
	tb.Helper()
	page, err := m.ListFiles(tb.Context(), q)
	require.NoError(tb, err)
	var ids []store.FileID
	for _, f := range page.Files {
		require.Nil(tb, f.Parts, "a listing has no parts")
		ids = append(ids, f.ID)
	}
	return ids
}
