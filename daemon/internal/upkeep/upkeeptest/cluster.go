// Package upkeeptest is a small cluster in memory for the tests of loops and jobs:
// the in-memory metadata store, the real fleet, and chunks written and read without the engine.
package upkeeptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// UnitSize of all parts that Put makes: small, so that small parts have many stripes.
const UnitSize = 64

// ErrAway is the error of a node that was killed.
var ErrAway = store.Errorf(store.Unavailable, "no answer")

// Quiet is a logger that discards everything.
var Quiet = slog.New(slog.DiscardHandler)

// T is what the helpers need of a test; *testing.T and *rapid.T implement it.
type T interface {
	require.TestingT
	Helper()
	Errorf(format string, args ...any)
}

// Cluster is a metadata store, nodes and the fleet that knows them.
type Cluster struct {
	Meta  *mem.Metadata
	Fleet *cluster.Fleet
	IDs   []store.NodeID
	Nodes map[store.NodeID]*mem.Chunks
}

// New returns a cluster of n online nodes. It starts no background work.
func New(t T, nodes int) *Cluster {
	t.Helper()
	c := &Cluster{Meta: mem.NewMetadata(), Nodes: map[store.NodeID]*mem.Chunks{}}
	c.Fleet = cluster.NewFleet(cluster.Config{Meta: c.Meta, Connect: c.Connect, Log: Quiet})
	for range nodes {
		c.Join(t)
	}
	c.Refresh(t)
	return c
}

// Join adds an empty node. The view shows it after Refresh.
func (c *Cluster) Join(t T) {
	t.Helper()
	n := len(c.IDs) + 1
	id := store.NodeID{0: byte(n), 15: 1}
	c.IDs = append(c.IDs, id)
	c.Nodes[id] = mem.NewChunks()
	_, err := c.Meta.JoinNode(context.Background(), store.Node{
		ID: id, Name: fmt.Sprintf("node-%02d", n), Weight: 1, Capacity: store.Capacity{Total: 1 << 40, Free: 1 << 40},
	})
	require.NoError(t, err)
}

// Connect returns a node's chunks, for a Fleet.
func (c *Cluster) Connect(n store.Node) (chunk.Store, io.Closer, error) {
	return c.Nodes[n.ID], nil, nil
}

// Refresh updates the fleet's view.
func (c *Cluster) Refresh(t T) {
	t.Helper()
	require.NoError(t, c.Fleet.Refresh(context.Background()))
}

// Heartbeat sends heartbeats of the nodes that are not killed, and refreshes the view, until the test ends.
func (c *Cluster) Heartbeat(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	nodes := map[store.NodeID]chunk.Store{}
	for id, n := range c.Nodes {
		nodes[id] = n
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = cluster.Heartbeater{Meta: c.Meta, Nodes: nodes, Log: Quiet}.Run(ctx) })
	wg.Go(func() { _ = c.Fleet.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// Kill makes a node unreachable and reports it to the fleet.
func (c *Cluster) Kill(id store.NodeID) {
	c.Nodes[id].SetHook(mem.Fail(ErrAway))
	c.Fleet.Report(id, ErrAway)
}

// Revive undoes Kill.
func (c *Cluster) Revive(id store.NodeID) {
	c.Nodes[id].SetHook(nil)
	c.Fleet.Report(id, nil)
}

// Remove removes a node from the cluster permanently, with all its chunks.
func (c *Cluster) Remove(t T, id store.NodeID) {
	t.Helper()
	require.NoError(t, c.Meta.SetNodeState(context.Background(), id, store.NodeRemoved, ""))
	c.Nodes[id].SetHook(mem.Fail(ErrAway))
	c.Refresh(t)
}

// Put stores a file of one part of size random bytes, placed by the ring, and returns it with its bytes.
func (c *Cluster) Put(t T, k, m int, size int64) (store.File, []byte) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	p := store.Part{ID: store.NewPartID(), Number: 1, Size: size, K: k, M: m, UnitSize: UnitSize}
	f := store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: store.Key(p.ID.String()), Size: size, CreatedAt: time.Now()}
	view := c.Fleet.View()
	for i, node := range view.Ring.Place(p.ID, k+m, nil) {
		p.Chunks = append(p.Chunks, store.Placement{Node: node, Sum: c.write(t, c.Nodes[node], f, p, i, data)})
	}
	f.Parts = []store.Part{p}
	_, _, err := c.Meta.CommitFile(context.Background(), store.Commit{File: f})
	require.NoError(t, err)
	return f, data
}

// write stores one chunk.
func (c *Cluster) write(t T, chunks chunk.Store, f store.File, p store.Part, index int, data []byte) store.ChunkSum {
	t.Helper()
	w, err := chunks.Create(context.Background(), chunk.Spec{ID: p.ChunkID(index), UnitSize: p.UnitSize})
	require.NoError(t, err)
	defer w.Abort()
	l := erasure.LayoutOf(p)
	for s := range l.Stripes(p.Size) {
		require.NoError(t, w.Append(chunk.NewUnit(encode(t, l, p.Size, s, data)[index], nil)))
	}
	info, err := w.Commit(chunk.Label{File: f.ID, Bucket: f.Bucket, Key: f.Key, PartNumber: 1, PartSize: p.Size, K: p.K, M: p.M, UnitSize: p.UnitSize})
	require.NoError(t, err)
	return info.Sum
}

// encode returns all units of a stripe.
func encode(t T, l erasure.Layout, size int64, stripe int, data []byte) [][]byte {
	code, err := erasure.New(l.K, l.M)
	require.NoError(t, err)
	unit := l.UnitLen(size, stripe)
	from := stripe * l.StripeSize()
	padded := make([]byte, unit*l.Width())
	copy(padded, data[from:from+l.DataLen(size, stripe)])
	units := slices.Collect(slices.Chunk(padded, unit))
	require.NoError(t, code.Encode(units))
	return units
}

// Lose drops a chunk from its node and from the metadata, which queues its repair.
func (c *Cluster) Lose(t T, p store.Part, index int) {
	t.Helper()
	at := p.Chunks[index]
	c.Nodes[at.Node].Drop(p.ChunkID(index))
	require.NoError(t, c.Meta.MoveChunk(context.Background(), p.ChunkID(index), at, store.Placement{}))
	deleted := store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(index), Node: at.Node}
	require.NoError(t, c.Meta.Finish(context.Background(), []store.Task{deleted}))
}

// Copy copies a chunk from one node to another, as repair does, and leaves the metadata as it is.
func (c *Cluster) Copy(t T, id store.ChunkID, from, to store.NodeID) {
	t.Helper()
	info, err := c.Nodes[from].Stat(context.Background(), id)
	require.NoError(t, err)
	w, err := c.Nodes[to].Create(context.Background(), chunk.Spec{ID: id, UnitSize: info.UnitSize})
	require.NoError(t, err)
	defer w.Abort()
	for _, data := range readAll(t, c.Nodes[from], id) {
		require.NoError(t, w.Append(chunk.NewUnit(data, nil)))
	}
	_, err = w.Commit(info.Label)
	require.NoError(t, err)
}

// Rot changes bytes of one unit of a chunk and queues its repair, as a reader that found the damage would.
func (c *Cluster) Rot(t T, p store.Part, index, unit int) {
	t.Helper()
	at := p.Chunks[index]
	require.True(t, c.Nodes[at.Node].CorruptUnit(p.ChunkID(index), unit))
	c.Suspect(t, p, index)
}

// Suspect queues the repair of a chunk where it is.
func (c *Cluster) Suspect(t T, p store.Part, index int) {
	t.Helper()
	task := store.Task{Kind: store.Repair, Chunk: p.ChunkID(index), Chunks: store.NewChunkSet(index), Reason: "test"}
	require.NoError(t, c.Meta.Enqueue(context.Background(), []store.Task{task}))
}

// Part is the part as the metadata has it now.
func (c *Cluster) Part(t T, id store.PartID) store.Part {
	t.Helper()
	p, _, err := c.Meta.Part(context.Background(), id)
	require.NoError(t, err)
	return p
}

// Files lists the complete files, with their parts.
func (c *Cluster) Files(t T) (files []store.File) {
	t.Helper()
	page, err := c.Meta.ListFiles(context.Background(), store.FileQuery{Limit: store.MaxListLimit})
	require.NoError(t, err)
	for _, f := range page.Files {
		f, err := c.Meta.File(context.Background(), f.ID)
		require.NoError(t, err)
		files = append(files, f)
	}
	return files
}

// Depth is the number of queued tasks of the kind.
func (c *Cluster) Depth(t T, kind store.TaskKind) int64 {
	t.Helper()
	d, err := c.Meta.Depth(context.Background(), kind)
	require.NoError(t, err)
	return d.Tasks
}

// RequireWhole requires that every chunk of the file is on the node where the metadata places
// it and undamaged, and that the data chunks hold the data.
func (c *Cluster) RequireWhole(t T, f store.File, data []byte) store.Part {
	t.Helper()
	p := c.Part(t, f.Parts[0].ID)
	l := erasure.LayoutOf(p)
	for i, at := range p.Chunks {
		chunks := c.Nodes[at.Node]
		require.NotNil(t, chunks, "chunk %d is nowhere", i)
		info, err := chunks.Stat(context.Background(), p.ChunkID(i))
		require.NoError(t, err)
		require.Equal(t, at.Sum, info.Sum)
		require.Equal(t, f.Parts[0].Size, info.Label.PartSize)
		require.Equal(t, f.ID, info.Label.File)
		for s, got := range readAll(t, chunks, p.ChunkID(i)) {
			require.Equal(t, encode(t, l, p.Size, s, data)[i], got, "chunk %d, stripe %d", i, s)
		}
	}
	return p
}

func readAll(t T, chunks chunk.Store, id store.ChunkID) (units [][]byte) {
	t.Helper()
	r, err := chunks.Open(context.Background(), id, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return units
		}
		require.NoError(t, err)
		require.NoError(t, u.Check())
		units = append(units, slices.Clone(u.Data))
		u.Release()
	}
}

// Stored counts the chunks on all nodes that answer.
func (c *Cluster) Stored(t T) (count int) {
	t.Helper()
	for _, n := range c.Nodes {
		list, err := n.List(context.Background(), store.ChunkID{}, store.MaxListLimit)
		if err == nil {
			count += len(list)
		}
	}
	return count
}

// RequireNothingLent requires that every unit that was read was released.
func (c *Cluster) RequireNothingLent(t T) {
	t.Helper()
	for _, n := range c.Nodes {
		require.Zero(t, n.Lent())
	}
}
