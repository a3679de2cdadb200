package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func TestMissingAndCorruptChunksAreReadAroundAndQueuedForRepair(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*mem.Chunks, store.ChunkID) bool{
		"missing":         func(c *mem.Chunks, id store.ChunkID) bool { return c.Drop(id) },
		"corrupt, first":  func(c *mem.Chunks, id store.ChunkID) bool { return c.CorruptUnit(id, 0) },
		"corrupt, middle": func(c *mem.Chunks, id store.ChunkID) bool { return c.CorruptUnit(id, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.WakeRepair = func() { asked.Add(1) } }})
			body := randomBytes(5000)
			f := r.put(t, "key", body)
			p := f.Parts[0]
			for _, index := range []int{0, 2, 3, 9} {
				require.True(t, harm(r.nodes.all()[p.Chunks[index].Node], p.ChunkID(index)))
			}
			require.Equal(t, body, r.get(t, f.ID))
			r.Close()
			require.EqualValues(t, 3, r.depth(t, store.Repair), "the three data chunks that were met")
			require.EqualValues(t, 3, asked.Load())
		})
	}
}

func TestTooManyBadChunksAreCorrupt(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	f := r.put(t, "key", randomBytes(5000))
	p := f.Parts[0]
	for index := range 5 {
		require.True(t, r.nodes.all()[p.Chunks[index].Node].Drop(p.ChunkID(index)))
	}
	o, err := r.Open(context.Background(), f.ID)
	require.NoError(t, err)
	var out bytes.Buffer
	err = o.WriteRange(context.Background(), &out, 0, f.Size)
	require.ErrorIs(t, err, store.Corrupt)
	require.Zero(t, out.Len(), "nothing was written before the first stripe was whole")
	require.NotEmpty(t, store.HintOf(err))
}

func TestTooManyNodesAwayAreUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	for _, size := range []int{10, 5000} {
		f := r.put(t, "key", randomBytes(size))
		o, err := r.Open(context.Background(), f.ID)
		require.NoError(t, err)
		r.nodes.hook(mem.Fail(store.Errorf(store.Unavailable, "off")))
		require.ErrorIs(t, o.WriteRange(context.Background(), io.Discard, 0, f.Size), store.Unavailable)
		r.nodes.hook(nil)
		for _, m := range r.nodes.View().Members {
			r.nodes.change(m.ID, func(m *cluster.Member) { m.Status = cluster.Online })
		}
	}
	r.Close()
	require.Zero(t, r.depth(t, store.Repair), "nodes that are away lost nothing")
}

// A node that sends nothing is replaced by parity long before it counts as stalled.
func TestSlowChunkIsReplacedByParity(t *testing.T) {
	t.Parallel()
	for _, size := range []int{20, 5000} {
		r := newRig(t, options{nodes: 6, config: func(c *engine.Config) {
			c.HedgeFloor, c.Stall = 20*time.Millisecond, time.Hour
		}})
		body := randomBytes(size)
		f := r.put(t, "key", body)
		never := make(chan struct{})
		slow := f.Parts[0].Chunks[0].Node
		r.nodes.all()[slow].SetHook(mem.Stall(never, mem.OpNext))
		require.Equal(t, body, r.get(t, f.ID))
		r.nodes.all()[slow].SetHook(nil)
		r.Close()
		require.Zero(t, r.depth(t, store.Repair), "slow is not broken")
	}
}

// When so many are slow that there are no others to read, the reader waits for slow ones.
func TestSlowChunksAreStillReadWhenThereIsNothingFaster(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.HedgeFloor = time.Millisecond }})
	body := randomBytes(1000)
	f := r.put(t, "key", body)
	r.nodes.hook(func(ctx context.Context, c mem.Call) error {
		if c.Op == mem.OpNext {
			select {
			case <-time.After(5 * time.Millisecond): // the slowness itself, not a wait for something
			case <-ctx.Done():
			}
		}
		return nil
	})
	require.Equal(t, body, r.get(t, f.ID))
}

func TestRangesOutsideTheFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 3})
	f := r.put(t, "key", []byte("0123456789"))
	o, err := r.Open(context.Background(), f.ID)
	require.NoError(t, err)
	for _, c := range [][2]int64{{-1, 1}, {0, -1}, {0, 11}, {11, 0}, {1 << 62, 1 << 62}} {
		require.ErrorIs(t, o.WriteRange(context.Background(), io.Discard, c[0], c[1]), store.OutOfRange, "%v", c)
	}
	require.Empty(t, r.read(t, o, 10, 0))
}

func TestReaderThatGoesAwayEndsTheRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	f := r.put(t, "key", randomBytes(50000))
	o, err := r.Open(context.Background(), f.ID)
	require.NoError(t, err)
	gone := errors.New("broken pipe")
	err = o.WriteRange(context.Background(), failingWriter{gone}, 0, f.Size)
	require.ErrorIs(t, err, gone)
	require.Equal(t, store.Canceled, store.KindOf(err))

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.Equal(t, store.Canceled, store.KindOf(o.WriteRange(ctx, io.Discard, 0, f.Size)))
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func TestOpenUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 3})
	_, err := r.Open(context.Background(), store.NewFileID())
	require.ErrorIs(t, err, store.NotFound)
	_, err = r.Describe(context.Background(), store.NewFileID())
	require.ErrorIs(t, err, store.NotFound)
}

func TestDescribeTellsTheTruthAboutNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	small, large, empty := r.put(t, "s", randomBytes(10)), r.put(t, "l", randomBytes(5000)), r.put(t, "e", nil)
	survive := func(id store.FileID) int {
		d, err := r.Describe(context.Background(), id)
		require.NoError(t, err)
		require.Equal(t, 2, d.Wanted)
		return d.Survives
	}
	require.Equal(t, [3]int{2, 2, 6}, [3]int{survive(small.ID), survive(large.ID), survive(empty.ID)})
	away := small.Parts[0].Chunks[0].Node
	r.nodes.change(away, func(m *cluster.Member) { m.Status = cluster.Inactive })
	require.Equal(t, [2]int{1, 1}, [2]int{survive(small.ID), survive(large.ID)})

	d, err := r.Describe(context.Background(), large.ID)
	require.NoError(t, err)
	require.Len(t, d.Parts[0].Chunks, 10)
	roles := map[string]int{}
	for _, c := range d.Parts[0].Chunks {
		roles[c.Role]++
		require.Equal(t, c.Node != away, c.Reachable)
		require.NotEmpty(t, c.NodeName)
		require.Equal(t, d.Parts[0].ChunkSize(), c.Bytes)
	}
	require.Equal(t, map[string]int{"data": 6, "parity": 4}, roles)
}

func TestHealthSaysWhatNewDataSurvives(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 2})
	h := r.Health(context.Background())
	require.NoError(t, h.Metadata)
	require.Equal(t, [3]int{2, 1, 2}, [3]int{h.Writable, h.Survive, h.Wanted})
	for _, m := range r.nodes.View().Members {
		r.nodes.change(m.ID, func(m *cluster.Member) { m.Status = cluster.Inactive })
	}
	h = r.Health(context.Background())
	require.Equal(t, [2]int{0, -1}, [2]int{h.Writable, h.Survive})
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	ctx := context.Background()
	require.ErrorIs(t, r.CreateBucket(ctx, store.Bucket{Name: "x", Survive: 1}, ""), store.Invalid)
	require.ErrorIs(t, r.CreateBucket(ctx, store.Bucket{Name: "logs", Survive: 4}, ""), store.Invalid)
	require.NoError(t, r.CreateBucket(ctx, store.Bucket{Name: "logs", Survive: 1}, ""))
	req := request("key", randomBytes(1000))
	req.Bucket = "logs"
	f, err := r.Put(ctx, req)
	require.NoError(t, err)
	require.Equal(t, 2, f.Parts[0].M, "one failure over six nodes")
	require.NoError(t, r.UpdateBucket(ctx, store.Bucket{Name: "logs", Survive: 3}, ""))
	req.Body = bytes.NewReader(randomBytes(1000))
	f, err = r.Put(ctx, req)
	require.NoError(t, err)
	require.Equal(t, 6, f.Parts[0].M)
	require.ErrorIs(t, r.DeleteBucket(ctx, "logs", ""), store.Conflict)
	require.NoError(t, r.Delete(ctx, f.ID, store.Change{}))
	require.NoError(t, r.DeleteBucket(ctx, "logs", ""))
	_, err = r.Bucket(ctx, "logs")
	require.ErrorIs(t, err, store.NotFound)
	list, err := r.ListBuckets(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	_, err = r.ListObjects(ctx, store.ObjectQuery{Bucket: "default", Limit: 0})
	require.ErrorIs(t, err, store.Invalid)
	_, err = r.ListFiles(ctx, store.FileQuery{Limit: 1, Offset: -1})
	require.ErrorIs(t, err, store.Invalid)
}

// whole reports whether all chunks of a file are stored.
func (r *rig) whole(t *testing.T, id store.FileID) bool {
	t.Helper()
	f, err := r.meta.File(t.Context(), id)
	require.NoError(t, err)
	for _, p := range f.Parts {
		for _, c := range p.Chunks {
			if c.Node.IsZero() {
				return false
			}
		}
	}
	return true
}

func TestZonesAreFailureDomains(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]int{{2, 2, 2}, {1, 2, 3}, {2, 5}, {3, 3}, {1, 1, 4}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{zones: sizes, config: func(c *engine.Config) { c.Survive = 1 }})
			for part := range 20 { // wherever on the ring they begin
				body := randomBytes(5000 + part)
				f := r.put(t, "key", body)
				for !r.whole(t, f.ID) { // a chunk was late, which repair would write
					f = r.put(t, "key", body)
				}
				for zone := range sizes {
					for _, m := range r.nodes.View().Members {
						if m.Zone == fmt.Sprint("zone-", zone) {
							r.nodes.all()[m.ID].SetHook(mem.Fail(store.Errorf(store.Unavailable, "zone off")))
						}
					}
					require.Equal(t, body, r.get(t, f.ID), "zone %d off", zone)
					r.nodes.hook(nil)
					for _, m := range r.nodes.View().Members {
						r.nodes.change(m.ID, func(m *cluster.Member) { m.Status = cluster.Online })
					}
				}
			}
		})
	}
}

// A zone that holds most of the nodes cannot be lost; the write is not refused for that.
func TestZonesThatCannotBeCoveredLeaveTheLayoutToNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{zones: []int{1, 30}, config: func(c *engine.Config) { c.Survive = 1 }})
	require.Equal(t, 1, r.put(t, "key", randomBytes(5000)).Parts[0].M)
}

// pageCounter counts the pages of parts that are read.
type pageCounter struct {
	store.Metadata
	pages atomic.Int64
}

func (m *pageCounter) Parts(ctx context.Context, id store.FileID, number int) ([]store.Part, error) {
	m.pages.Add(1)
	return m.Metadata.Parts(ctx, id, number)
}

// A range of a file of many parts reads the page of parts that it needs, and the whole file all pages.
func TestRangesOfAFileOfManyParts(t *testing.T) {
	t.Parallel()
	counted := &pageCounter{}
	r := newRig(t, options{nodes: 3, config: func(c *engine.Config) { counted.Metadata, c.Meta = c.Meta, counted }})
	s, err := r.CreateSession(t.Context(), engine.SessionRequest{Bucket: store.DefaultBucket, Key: "k", Size: -1})
	require.NoError(t, err)
	const n, each = 3*store.PartsPage + 5, 100
	body := randomBytes(n * each)
	for i := range n {
		_, err := r.PutPart(t.Context(), engine.PartRequest{Session: s.ID, Number: i + 1, Size: each, Body: bytes.NewReader(body[i*each : (i+1)*each])})
		require.NoError(t, err)
	}
	f, err := r.CompleteSession(t.Context(), engine.CompleteRequest{Session: s.ID, Size: -1})
	require.NoError(t, err)
	o, err := r.Open(t.Context(), f.ID)
	require.NoError(t, err)
	for _, c := range []struct{ from, bytes, pages int64 }{
		{0, 1, 0},
		{each*store.PartsPage - 1, 1, 0},
		{each*store.PartsPage - 1, 2, 1},
		{each * store.PartsPage, each, 1},
		{2*each*store.PartsPage + 7, 3 * each, 1},
		{n*each - 1, 1, 1},
		{n * each, 0, 0},
		{0, n * each, 3},
	} {
		counted.pages.Store(0)
		var got bytes.Buffer
		require.NoError(t, o.WriteRange(t.Context(), &got, c.from, c.bytes))
		require.True(t, bytes.Equal(body[c.from:c.from+c.bytes], got.Bytes()), "%v", c)
		require.Equal(t, c.pages, counted.pages.Load(), "%v", c)
	}
	d, err := r.Describe(t.Context(), f.ID)
	require.NoError(t, err)
	require.Len(t, d.Parts, n)
}
