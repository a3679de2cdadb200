package engine_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an engine over nodes in memory.
type rig struct {
	*engine.Engine
	meta  store.Metadata
	nodes *nodes
}

type options struct {
	nodes  int
	zones  []int // nodes of each zone, instead of nodes; none: each node its own
	config func(*engine.Config)
	late   time.Duration // see engine.Config.LateFloor; default one minute
}

const testUnit = 64 // bytes: stripes of 384, so that small bodies have many

func newRig(t testing.TB, o options) *rig {
	t.Helper()
	r := &rig{meta: mem.NewMetadata(), nodes: newNodes(o)}
	cfg := engine.Config{
		Meta: r.meta, Fleet: r.nodes, Survive: 2, UnitSize: testUnit,
		Log: slog.New(slog.DiscardHandler), HedgeFloor: time.Minute, LateFloor: cmp.Or(o.late, time.Minute),
	}
	if o.config != nil {
		o.config(&cfg)
	}
	r.Engine = engine.New(cfg)
	t.Cleanup(func() {
		r.Close()
		used, _ := r.WriteMemory()
		require.Zero(t, used, "write memory came back")
		for _, c := range r.nodes.all() {
			require.Zero(t, c.Lent(), "read units came back")
		}
		require.NoError(t, r.meta.Close())
	})
	return r
}

// nodes is a Fleet of memory chunk stores whose state a test sets.
type nodes struct {
	mu     sync.Mutex
	view   *cluster.View
	chunks map[store.NodeID]*mem.Chunks
}

func newNodes(o options) *nodes {
	n := &nodes{chunks: map[store.NodeID]*mem.Chunks{}}
	var members []cluster.Member
	var ringNodes []ring.Node
	var zoneOf []string
	for z, size := range o.zones {
		zoneOf = append(zoneOf, slices.Repeat([]string{fmt.Sprint("zone-", z)}, size)...)
	}
	for i := range max(o.nodes, len(zoneOf)) {
		m := cluster.Member{Status: cluster.Online, Node: store.Node{
			ID: store.NewNodeID(), Name: fmt.Sprintf("node-%d", i+1), Weight: 1,
			State: store.NodeActive, Capacity: store.Capacity{Total: 1 << 40, Free: 1 << 40},
		}}
		if zoneOf != nil {
			m.Zone = zoneOf[i]
		}
		members = append(members, m)
		ringNodes = append(ringNodes, ring.Node{ID: m.ID, Zone: m.Zone, Weight: 1})
		n.chunks[m.ID] = mem.NewChunks()
	}
	n.view = cluster.NewView(store.NewClusterID(), 1, ring.New(1, ringNodes), members)
	return n
}

func (n *nodes) View() *cluster.View {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.view
}

func (n *nodes) Chunks(id store.NodeID) (chunk.Store, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.chunks[id]
	if !ok {
		return nil, store.Errorf(store.Unavailable, "node %s is gone", id)
	}
	return c, nil
}

func (n *nodes) Report(id store.NodeID, err error) {
	if err != nil && store.KindOf(err) == store.Unavailable {
		n.change(id, func(m *cluster.Member) { m.Status = cluster.Suspect })
	}
}

func (n *nodes) change(id store.NodeID, f func(*cluster.Member)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	members := slices.Clone(n.view.Members)
	for i := range members {
		if members[i].ID == id {
			f(&members[i])
		}
	}
	n.view = cluster.NewView(n.view.Cluster, n.view.Epoch, n.view.Ring, members)
}

func (n *nodes) all() map[store.NodeID]*mem.Chunks {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[store.NodeID]*mem.Chunks{}
	for id, c := range n.chunks {
		all[id] = c
	}
	return all
}

func (n *nodes) hook(h mem.Hook) {
	for _, c := range n.all() {
		c.SetHook(h)
	}
}

// stored counts the chunks on all nodes.
func (n *nodes) stored(t testing.TB) (count int) {
	for _, c := range n.all() {
		infos, err := c.List(context.Background(), store.ChunkID{}, store.MaxListLimit)
		require.NoError(t, err)
		count += len(infos)
	}
	return count
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = r.Read(b)
	return b
}

func request(key string, body []byte) engine.PutRequest {
	return engine.PutRequest{Bucket: store.DefaultBucket, Key: store.Key(key), Size: int64(len(body)), ContentType: "text/plain", Body: bytes.NewReader(body)}
}

func (r *rig) put(t testing.TB, key string, body []byte) store.File {
	t.Helper()
	f, err := r.Put(context.Background(), request(key, body))
	require.NoError(t, err)
	return f
}

func (r *rig) get(t testing.TB, id store.FileID) []byte {
	t.Helper()
	o, err := r.Open(context.Background(), id)
	require.NoError(t, err)
	return r.read(t, o, 0, o.File().Size)
}

func (r *rig) read(t testing.TB, o *engine.Object, off, n int64) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, o.WriteRange(context.Background(), &out, off, n))
	return out.Bytes()
}

// depth counts the queued reclaims, or the chunks of the queued repairs.
func (r *rig) depth(t testing.TB, kind store.TaskKind) (chunks int64) {
	t.Helper()
	if kind == store.Repair {
		const term = 1 << 40
		tasks, err := r.meta.Claim(context.Background(), store.ClaimQuery{Kind: kind, Limit: store.MaxListLimit, Hold: time.Hour, Term: term})
		require.NoError(t, err)
		for _, task := range tasks {
			chunks += int64(len(task.Chunks.Indexes()))
		}
		require.NoError(t, r.meta.Unclaim(context.Background(), kind, term))
		return chunks
	}
	d, err := r.meta.Depth(context.Background(), kind)
	require.NoError(t, err)
	return d.Tasks
}

// reclaims sweeps what is deleted, without any grace, and counts what is to be reclaimed.
func (r *rig) reclaims(t testing.TB) int64 {
	t.Helper()
	for swept := 1; swept > 0; {
		var err error
		swept, err = r.meta.SweepDeleted(context.Background(), 0, store.MaxListLimit)
		require.NoError(t, err)
	}
	return r.depth(t, store.Reclaim)
}

func (r *rig) invisible(t testing.TB, key string) {
	t.Helper()
	_, err := r.OpenLatest(context.Background(), store.DefaultBucket, store.Key(key))
	require.ErrorIs(t, err, store.NotFound)
	page, err := r.ListObjects(context.Background(), store.ObjectQuery{Bucket: store.DefaultBucket, Prefix: key, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, page.Entries)
}

// nodesOf names the nodes that hold chunks of the file's first part.
func nodesOf(f store.File) (ids []store.NodeID) {
	seen := map[store.NodeID]bool{}
	for _, c := range f.Parts[0].Chunks {
		if !c.Node.IsZero() && !seen[c.Node] {
			seen[c.Node] = true
			ids = append(ids, c.Node)
		}
	}
	return ids
}

// broken is a body whose client disconnects after some bytes.
func broken(b []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(b), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
