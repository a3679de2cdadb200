package replay_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/metalog/replay"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// disks are nodes on which a test puts segments as it likes.
type disks struct {
	nodes   []*mem.Chunks
	cluster store.ClusterID
	log     store.LogID
	clock   int64
}

func newDisks(n int) *disks {
	d := &disks{cluster: store.NewClusterID(), log: store.NewLogID(), clock: time.Now().UnixMicro()}
	for range n {
		d.nodes = append(d.nodes, mem.NewChunks())
	}
	return d
}

// write stores a segment on the nodes, as copies, and returns the id of its part.
func (d *disks) write(t *testing.T, h metalog.Header, keys []string, on ...int) store.PartID {
	t.Helper()
	d.clock++
	h.Cluster, h.Log, h.Written = d.cluster, d.log, time.UnixMicro(d.clock).UTC()
	s := metalog.Segment{Header: h}
	for _, key := range keys {
		s.Records = append(s.Records, store.LogRecord{Kind: store.FileStored, File: store.File{
			ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: store.Key(key), State: store.Complete, Latest: true, CompletedAt: h.Written, CreatedAt: h.Written,
		}})
	}
	data, err := metalog.Encode(s)
	require.NoError(t, err)
	id := store.NewLogPartID()
	for i, node := range on {
		spec := chunk.Spec{ID: store.ChunkID{Part: id, Index: uint8(i)}, UnitSize: chunk.DefaultUnitSize}
		_, err := chunk.PutSmall(t.Context(), d.nodes[node], spec, chunk.NewUnit(data, nil), chunk.Label{})
		require.NoError(t, err)
	}
	return id
}

func tail(number, term uint64, first, last store.Revision) metalog.Header {
	return metalog.Header{Kind: store.TailSegment, Number: number, Term: term, First: first, Last: last}
}

func piece(kind store.LogSegmentKind, group, n uint64, last store.Revision) metalog.Header {
	return metalog.Header{Kind: kind, Number: group + n, Term: 1, Group: group, Piece: n, First: last, Last: last}
}

// replay returns the keys that the replay shows, and its report.
func (d *disks) replay(t *testing.T) ([]string, replay.Report) {
	t.Helper()
	c := replay.Config{}
	for i, n := range d.nodes {
		c.Nodes = append(c.Nodes, replay.Node{ID: store.NodeID{byte(i + 1)}, Chunks: n})
	}
	m := mem.NewMetadata()
	report, err := replay.Rebuild(t.Context(), c, m)
	require.NoError(t, err)
	page, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: store.MaxListLimit})
	require.NoError(t, err)
	keys := []string{}
	for _, e := range page.Entries {
		keys = append(keys, e.Name)
	}
	return keys, report
}

func TestNodesWithoutALog(t *testing.T) {
	t.Parallel()
	_, err := replay.Read(t.Context(), replay.Config{Nodes: []replay.Node{{Chunks: mem.NewChunks()}}})
	require.ErrorIs(t, err, store.NotFound)
}

func TestAnyIntactCopyIsUsed(t *testing.T) {
	t.Parallel()
	d := newDisks(4)
	a := d.write(t, tail(1, 1, 0, 5), []string{"a"}, 0, 1, 2)
	b := d.write(t, tail(2, 1, 5, 9), []string{"b"}, 1, 2, 3)
	require.True(t, d.nodes[0].CorruptUnit(store.ChunkID{Part: a, Index: 0}, 0))
	require.True(t, d.nodes[1].CorruptUnit(store.ChunkID{Part: a, Index: 1}, 0))
	d.nodes[3].SetHook(mem.Fail(store.Errorf(store.Unavailable, "away")))
	d.nodes[2].Drop(store.ChunkID{Part: b, Index: 1})
	keys, report := d.replay(t)
	require.Equal(t, []string{"a", "b"}, keys)
	require.True(t, report.Complete())
	require.Len(t, report.Silent, 1)
	require.EqualValues(t, 9, report.Revision)
	require.Equal(t, 2, report.Segments)
	require.Equal(t, d.clock, report.Written.UnixMicro())

	require.True(t, d.nodes[2].CorruptUnit(store.ChunkID{Part: a, Index: 2}, 0))
	keys, report = d.replay(t)
	require.Equal(t, []string{"b"}, keys)
	require.Equal(t, []replay.Gap{{After: 0, Before: 5}}, report.Gaps)
	require.Len(t, report.Damaged, 1)
	require.False(t, report.Complete())
}

// Two leaders wrote the same revisions, segments were merged and are still there, and an old leader wrote late: any of them will do.
func TestOverlappingSegments(t *testing.T) {
	t.Parallel()
	d := newDisks(1)
	d.write(t, tail(1, 1, 0, 5), []string{"1-5"}, 0)
	d.write(t, tail(2, 1, 5, 9), []string{"6-9 by the old leader"}, 0)
	d.write(t, tail(2, 2, 5, 9), []string{"6-9"}, 0)
	d.write(t, tail(3, 2, 9, 12), []string{"10-12"}, 0)
	d.write(t, tail(4, 2, 5, 12), []string{"6-12"}, 0)
	d.write(t, tail(3, 1, 8, 11), []string{"9-11, late"}, 0)
	keys, report := d.replay(t)
	require.Equal(t, []string{"1-5", "6-12"}, keys, "those that lead furthest")
	require.True(t, report.Complete())
	require.EqualValues(t, 12, report.Revision)
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	d := newDisks(1)
	d.write(t, tail(1, 1, 0, 10), []string{"old"}, 0)
	d.write(t, piece(store.SnapshotSegment, 2, 0, 10), []string{"first", "first'"}, 0)
	lost := d.write(t, piece(store.SnapshotSegment, 2, 1, 10), []string{"second"}, 0)
	d.write(t, tail(4, 1, 10, 20), []string{"tail"}, 0)
	keys, report := d.replay(t)
	require.Equal(t, []string{"old", "tail"}, keys, "a snapshot without its last piece does not count")
	require.Zero(t, report.Snapshot)

	d.write(t, piece(store.SnapshotEnd, 2, 2, 10), nil, 0)
	keys, report = d.replay(t)
	require.Equal(t, []string{"first", "first'", "second", "tail"}, keys)
	require.EqualValues(t, 10, report.Snapshot)
	require.True(t, report.Complete())

	d.write(t, piece(store.SnapshotSegment, 7, 0, 20), []string{"newer"}, 0)
	gone := d.write(t, piece(store.SnapshotSegment, 7, 1, 20), []string{"newer'"}, 0)
	d.write(t, piece(store.SnapshotEnd, 7, 2, 20), nil, 0)
	keys, _ = d.replay(t)
	require.Equal(t, []string{"newer", "newer'"}, keys)
	d.nodes[0].Drop(store.ChunkID{Part: gone})
	keys, report = d.replay(t)
	require.Equal(t, []string{"first", "first'", "second", "tail"}, keys, "the older one is complete")
	require.True(t, report.Complete())

	d.nodes[0].Drop(store.ChunkID{Part: lost})
	keys, report = d.replay(t)
	require.Equal(t, []string{"newer"}, keys, "what is left of the newest")
	require.Equal(t, []uint64{1}, report.Pieces)
	require.False(t, report.Complete())
}

// A log that began after a gap counts once it has a snapshot, and what is of another cluster does not.
func TestTheLogThatHasEverything(t *testing.T) {
	t.Parallel()
	d := newDisks(1)
	d.write(t, tail(1, 1, 0, 10), []string{"first log"}, 0)
	first := d.log
	d.log = store.NewLogID()
	d.write(t, tail(2, 1, 30, 40), []string{"second log"}, 0)
	keys, report := d.replay(t)
	require.Equal(t, []string{"first log"}, keys)
	require.Equal(t, []store.LogID{d.log}, report.Others)
	require.Equal(t, first, report.Log)
	d.write(t, piece(store.SnapshotSegment, 3, 0, 30), []string{"snapshot"}, 0)
	d.write(t, piece(store.SnapshotEnd, 3, 1, 30), nil, 0)
	keys, _ = d.replay(t)
	require.Equal(t, []string{"second log", "snapshot"}, keys)

	_, err := replay.Read(t.Context(), replay.Config{Cluster: store.NewClusterID(), Nodes: []replay.Node{{Chunks: d.nodes[0]}}})
	require.ErrorIs(t, err, store.NotFound)
}

// cutOff is a node whose list fails after some pages.
type cutOff struct {
	*mem.Chunks
	left int
}

func (c *cutOff) List(ctx context.Context, after store.ChunkID, limit int) ([]chunk.Listed, error) {
	if c.left--; c.left < 0 {
		return nil, store.Errorf(store.Unavailable, "away")
	}
	return c.Chunks.List(ctx, after, limit)
}

// TestReconcileManyParts compares more parts than a page has, on nodes of which one stops answering.
func TestReconcileManyParts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b, c := mem.NewChunks(), mem.NewChunks(), mem.NewChunks()
	ids := []store.NodeID{{1}, {2}, {3}}
	m := mem.NewMetadata()
	var records []store.LogRecord
	for i := range 2500 {
		p := store.Part{ID: store.NewPartID(), Number: 1, Size: 1, K: 1, M: 1, UnitSize: 16}
		for j, n := range []*mem.Chunks{a, b} {
			info, err := chunk.PutSmall(ctx, n, chunk.Spec{ID: p.ChunkID(j), UnitSize: 16}, chunk.NewUnit([]byte{byte(i)}, nil), chunk.Label{})
			require.NoError(t, err)
			p.Chunks = append(p.Chunks, store.Placement{Node: ids[j], Sum: info.Sum})
		}
		_, err := chunk.PutSmall(ctx, c, chunk.Spec{ID: store.ChunkID{Part: store.NewPartID()}, UnitSize: 16}, chunk.NewUnit([]byte{1}, nil), chunk.Label{})
		require.NoError(t, err)
		p.Chunks[1].Node = ids[2] // as it was when it was logged; it was moved to the second node since
		records = append(records, store.LogRecord{Kind: store.FileStored, File: store.File{
			ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: store.Key(fmt.Sprint(i)), Size: 1, State: store.Complete, Latest: true, Parts: []store.Part{p},
		}})
	}
	require.NoError(t, m.Restore(ctx, records))
	nodes := []replay.Node{{ID: ids[0], Chunks: a}, {ID: ids[1], Chunks: b}, {ID: ids[2], Chunks: c}}
	var report replay.Report
	require.NoError(t, replay.Reconcile(ctx, replay.Config{Nodes: nodes}, m, &report))
	require.EqualValues(t, 2500, report.Parts)
	require.EqualValues(t, 2500, report.Moved)
	require.EqualValues(t, 2500, report.Unknown)
	require.Zero(t, report.Missing+report.Unverified+report.LostParts)

	report = replay.Report{}
	nodes[1].Chunks = &cutOff{b, 2}
	require.NoError(t, replay.Reconcile(ctx, replay.Config{Nodes: nodes}, m, &report))
	require.Zero(t, report.Moved+report.Missing+report.LostParts, "nothing is taken for lost")
	require.Positive(t, report.Unverified)
	require.Len(t, report.Silent, 1)
}

var errDisk = errors.New("the store fails")

// failing is a target that fails.
type failing struct{ *mem.Metadata }

func (failing) Restore(context.Context, []store.LogRecord) error { return errDisk }

func TestErrorsOfTheStoreAreReturned(t *testing.T) {
	t.Parallel()
	d := newDisks(1)
	d.write(t, tail(1, 1, 0, 10), []string{"a"}, 0)
	_, err := replay.Rebuild(t.Context(), replay.Config{Nodes: []replay.Node{{Chunks: d.nodes[0]}}}, failing{mem.NewMetadata()})
	require.ErrorIs(t, err, errDisk)
}
