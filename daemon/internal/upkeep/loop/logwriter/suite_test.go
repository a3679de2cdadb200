package logwriter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/metalog/replay"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// clients is an engine on the rig, and what its clients stored.
type clients struct {
	*engine.Engine
	rig *rig
}

func newClients(t *testing.T) *clients {
	r := newRig(t, 8, nil)
	return &clients{engineOn(t, r, r.Meta, r.Fleet), r}
}

func engineOn(t *testing.T, r *rig, m *mem.Metadata, fleet *cluster.Fleet) *engine.Engine {
	e := engine.New(engine.Config{Meta: m, Fleet: fleet, Survive: 2, UnitSize: upkeeptest.UnitSize, CopyBelow: 60, LateFloor: time.Minute, Log: upkeeptest.Quiet})
	t.Cleanup(e.Close)
	return e
}

func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func (c *clients) put(t *testing.T, b store.BucketName, key store.Key, n int, before store.Before) store.File {
	t.Helper()
	f, err := c.Put(t.Context(), engine.PutRequest{
		Bucket: b, Key: key, Size: int64(n), Most: int64(n), ContentType: "image/png", Meta: map[string]string{"colour": "blue"},
		WantSHA256: true, Change: store.Change{Before: before, Caller: "putter"}, Body: bytes.NewReader(bytesOf(n)),
	})
	require.NoError(t, err)
	return f
}

// session uploads parts of these sizes.
func (c *clients) session(t *testing.T, key store.Key, sizes ...int) store.Session {
	t.Helper()
	s, err := c.CreateSession(t.Context(), engine.SessionRequest{Bucket: store.DefaultBucket, Key: key, Size: -1, Meta: map[string]string{"a": "b"}})
	require.NoError(t, err)
	for i, n := range sizes {
		_, err := c.PutPart(t.Context(), engine.PartRequest{Session: s.ID, Number: i + 1, Size: int64(n), Most: int64(n), Append: true, Body: bytes.NewReader(bytesOf(n))})
		require.NoError(t, err)
	}
	return s
}

// work does what clients can do: put, overwrite, rename, delete, resume, append as tus does, concatenate, keep versions, and change buckets.
func (c *clients) work(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, c.CreateBucket(ctx, store.Bucket{Name: "photos", Survive: 1}, ""))
	require.NoError(t, c.CreateBucket(ctx, store.Bucket{Name: "gone", Survive: 1}, ""))
	for i := range 12 {
		c.put(t, "photos", store.Key(fmt.Sprint("folder/", i)), []int{0, 1, 60, 5000}[i%4], store.ReplaceBefore)
	}
	c.put(t, "photos", "folder/1", 700, store.ReplaceBefore)
	for range 3 {
		c.put(t, store.DefaultBucket, "versions", 900, store.KeepBefore)
	}
	renamed := c.put(t, "gone", "old name", 3000, store.ReplaceBefore)
	_, err := c.Rename(ctx, renamed.ID, store.DefaultBucket, "новое имя", store.Change{Caller: "mover"})
	require.NoError(t, err)
	over := c.put(t, "photos", "rename over", 100, store.ReplaceBefore)
	_, err = c.Rename(ctx, over.ID, "photos", "folder/2", store.Change{})
	require.NoError(t, err)
	require.NoError(t, c.DeleteBucket(ctx, "gone", ""))
	require.NoError(t, c.Delete(ctx, c.put(t, "photos", "deleted", 100, store.ReplaceBefore).ID, store.Change{}))

	s := c.session(t, "resumed", 1000, 2000, 30)
	_, err = c.CompleteSession(ctx, engine.CompleteRequest{Session: s.ID, Size: 3030, Change: store.Change{Caller: "completer"}})
	require.NoError(t, err)
	a, b := c.session(t, "piece", 400), c.session(t, "piece", 500, 600)
	_, err = c.Concatenate(ctx, engine.SessionRequest{Bucket: store.DefaultBucket, Key: "concatenated", Size: 1500}, []store.FileID{a.ID, b.ID})
	require.NoError(t, err)
	f, err := c.Copy(ctx, renamed.ID, "photos", "copy", store.Change{})
	require.NoError(t, err)
	require.NotEqual(t, renamed.ID, f.ID)
	c.session(t, "open", 100) // is not in the log
	require.NoError(t, c.UpdateBucket(ctx, store.Bucket{Name: "photos", Survive: 2}, ""))
	for _, kind := range []attr.DocumentKind{attr.DocumentCORS, attr.DocumentPolicy, attr.DocumentLifecycle} {
		_, err := c.rig.Meta.SetDocument(ctx, store.DocumentChange{Bucket: "photos", Kind: kind, Body: []byte("configuration")})
		require.NoError(t, err)
	}
	_, err = c.rig.Meta.SetDocument(ctx, store.DocumentChange{Bucket: "photos", Kind: attr.DocumentPolicy})
	require.NoError(t, err)
}

// TestALostDatabaseIsRebuilt: what clients can see of a cluster is the same after its metadata store was lost and rebuilt from the nodes.
func TestALostDatabaseIsRebuilt(t *testing.T) {
	t.Parallel()
	c := newClients(t)
	c.work(t)
	c.rig.settle(t)
	lost, err := c.rig.Meta.ListBuckets(t.Context())
	require.NoError(t, err)

	rebuilt, report := c.rig.replayed(t)
	require.True(t, report.Complete(), "%+v", report)
	require.Zero(t, report.Missing+report.Moved+report.Unverified)
	before, err := c.rig.Meta.Members(t.Context())
	require.NoError(t, err)
	after, err := rebuilt.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.Cluster, after.Cluster, "its nodes let a gateway of this store use them")
	fleet := cluster.NewFleet(cluster.Config{Meta: c.rig.Meta, Connect: c.rig.Connect, Log: upkeeptest.Quiet})
	require.NoError(t, fleet.Refresh(t.Context()))
	e := engineOn(t, c.rig, rebuilt, fleet)
	got, err := e.ListBuckets(t.Context())
	require.NoError(t, err)
	require.Equal(t, lost, got)
	for _, b := range lost {
		want, err := c.rig.Meta.Documents(t.Context(), b.Name)
		require.NoError(t, err)
		got, err := rebuilt.Documents(t.Context(), b.Name)
		require.NoError(t, err)
		require.Equal(t, want, got)
		requireSameObjects(t, c.Engine, e, b.Name)
	}
	requireSameFiles(t, c.Engine, e)
}

func requireSameObjects(t *testing.T, a, b *engine.Engine, bucket store.BucketName) {
	t.Helper()
	for _, delimiter := range []string{"", "/"} {
		q := store.ObjectQuery{Bucket: bucket, Delimiter: delimiter, Limit: store.MaxListLimit}
		want, err := a.ListObjects(t.Context(), q)
		require.NoError(t, err)
		got, err := b.ListObjects(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NotEmpty(t, got.Entries)
	}
}

// requireSameFiles compares all files, versions too, with their bytes.
func requireSameFiles(t *testing.T, a, b *engine.Engine) {
	t.Helper()
	want, err := a.ListFiles(t.Context(), store.FileQuery{Limit: store.MaxListLimit})
	require.NoError(t, err)
	got, err := b.ListFiles(t.Context(), store.FileQuery{Limit: store.MaxListLimit})
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, f := range want.Files {
		require.Equal(t, read(t, a, f), read(t, b, f), "%s", f.Key)
	}
}

func read(t *testing.T, e *engine.Engine, f store.File) []byte {
	t.Helper()
	o, err := e.Open(t.Context(), f.ID)
	require.NoError(t, err)
	var out bytes.Buffer
	if f.Size > 0 {
		require.NoError(t, o.WriteRange(t.Context(), &out, 0, f.Size))
	}
	require.EqualValues(t, f.Size, out.Len())
	return out.Bytes()
}

// TestPlacementsFollowTheNodes: chunks that were moved, lost and added after their file was logged are found by the lists of the nodes.
func TestPlacementsFollowTheNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6, nil)
	ctx := context.Background()
	f, data := r.Put(t, 2, 2, 1000)
	copies, _ := r.Put(t, 1, 2, 50)
	r.settle(t)

	p := r.Part(t, f.Parts[0].ID)
	free := r.Fleet.View().Ring.Place(p.ID, 6, nil)[4:]
	moved := p.Chunks[0]
	r.Copy(t, p.ChunkID(0), moved.Node, free[0])
	require.NoError(t, r.Meta.MoveChunk(ctx, p.ChunkID(0), moved, store.Placement{Node: free[0], Sum: moved.Sum}))
	r.Nodes[moved.Node].Drop(p.ChunkID(0))
	r.Nodes[p.Chunks[3].Node].Drop(p.ChunkID(3)) // a loss that was not found yet

	rebuilt, report := r.replayed(t)
	require.EqualValues(t, 1, report.Moved)
	require.EqualValues(t, 1, report.Missing)
	require.True(t, report.Complete())
	got, _, err := rebuilt.Part(ctx, p.ID)
	require.NoError(t, err)
	require.Equal(t, free[0], got.Chunks[0].Node)
	require.True(t, got.Chunks[3].Node.IsZero())
	depth, err := rebuilt.Depth(ctx, store.Repair)
	require.NoError(t, err)
	require.EqualValues(t, 1, depth.Tasks, "the lost chunk is queued for repair")
	require.NotEmpty(t, data)

	for i, at := range r.Part(t, copies.Parts[0].ID).Chunks {
		r.Nodes[at.Node].Drop(copies.Parts[0].ChunkID(i))
	}
	_, report = r.replayed(t)
	require.EqualValues(t, 1, report.LostParts)
	require.Equal(t, []replay.Lost{{File: copies.ID, Bucket: copies.Bucket, Key: copies.Key, Part: 1}}, report.LostFiles)
	require.False(t, report.Complete())
}
