package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const heartbeat = 10 * time.Second

var away = store.Errorf(store.Unavailable, "no answer")

// roll is a store.Nodes that can be unreachable, with a clock that differs from ours by years.
type roll struct {
	mem  *mem.Metadata
	away atomic.Bool
	full atomic.Bool  // reads work, beats are not stored
	jump atomic.Int64 // by which its clock is ahead since the last beats
}

const clockOff = -5 * 365 * 24 * time.Hour

func (r *roll) answer() error {
	if r.away.Load() {
		return away
	}
	return nil
}

func (r *roll) writeFailure() error {
	if r.full.Load() {
		return store.Errorf(store.NoSpace, "full")
	}
	return nil
}

func (r *roll) off(m store.Membership, err error) (store.Membership, error) {
	m.Now = m.Now.Add(clockOff + time.Duration(r.jump.Load()))
	for i := range m.Nodes {
		m.Nodes[i].LastBeat = m.Nodes[i].LastBeat.Add(clockOff)
	}
	return m, err
}

func (r *roll) JoinNode(ctx context.Context, n store.Node) (store.Membership, error) {
	if err := r.answer(); err != nil {
		return store.Membership{}, err
	}
	return r.off(r.mem.JoinNode(ctx, n))
}

func (r *roll) Members(ctx context.Context) (store.Membership, error) {
	if err := r.answer(); err != nil {
		return store.Membership{}, err
	}
	return r.off(r.mem.Members(ctx))
}

func (r *roll) BeatNodes(ctx context.Context, beats []store.Beat) ([]store.NodeID, error) {
	if err := r.answer(); err != nil {
		return nil, err
	}
	if err := r.writeFailure(); err != nil {
		return nil, err
	}
	return r.mem.BeatNodes(ctx, beats)
}

func (r *roll) SetNodeState(ctx context.Context, id store.NodeID, s store.NodeState, caller string) error {
	return r.mem.SetNodeState(ctx, id, s, caller)
}

func (r *roll) SetNodeDesired(ctx context.Context, id store.NodeID, d store.Desired, caller string) error {
	return r.mem.SetNodeDesired(ctx, id, d, caller)
}

// rig is a fleet with nodes in memory.
type rig struct {
	t      *testing.T
	meta   *roll
	fleet  *cluster.Fleet
	chunks map[store.NodeID]*mem.Chunks

	mu      sync.Mutex
	dials   []string // addresses
	closed  []string
	refused error
}

func newRig(t *testing.T, count int) *rig {
	r := &rig{t: t, meta: &roll{mem: mem.NewMetadata()}, chunks: map[store.NodeID]*mem.Chunks{}}
	r.fleet = cluster.NewFleet(cluster.Config{
		Meta: r.meta, WriteFailure: r.meta.writeFailure, Connect: r.connect, Heartbeat: heartbeat, Log: slog.New(slog.DiscardHandler),
	})
	for i := range count {
		r.join(i)
	}
	t.Cleanup(func() {
		if err := r.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func id(i int) store.NodeID { return store.NodeID{byte(i + 1)} }

func (r *rig) join(i int) {
	r.chunks[id(i)] = mem.NewChunks()
	r.joinAt(i, fmt.Sprintf("host-%d:1", i))
}

func (r *rig) joinAt(i int, address string) {
	_, err := r.meta.JoinNode(r.t.Context(), store.Node{
		ID: id(i), Name: fmt.Sprintf("node-%d", i), Address: address, Weight: 1, Capacity: store.Capacity{Total: 1 << 40, Free: 1 << 40},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) connect(n store.Node) (chunk.Store, io.Closer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused != nil {
		return nil, nil, r.refused
	}
	r.dials = append(r.dials, n.Address)
	return r.chunks[n.ID], closer(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.closed = append(r.closed, n.Address)
	}), nil
}

func (r *rig) log() (dials, closed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.dials), slices.Clone(r.closed)
}

// run starts the fleet and heartbeats for the given nodes; the returned function stops only the heartbeats.
func (r *rig) run(beating ...int) (stopHeartbeats func()) {
	ctx, cancel := context.WithCancel(context.Background())
	beat, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.fleet.Run(ctx) })
	nodes := map[store.NodeID]chunk.Store{}
	for _, i := range beating {
		nodes[id(i)] = r.chunks[id(i)]
	}
	p := cluster.Heartbeater{Meta: r.meta, Nodes: nodes, Every: heartbeat, Log: slog.New(slog.DiscardHandler)}
	stopped := make(chan struct{})
	wg.Go(func() { defer close(stopped); _ = p.Run(beat) })
	r.t.Cleanup(func() { cancel(); wg.Wait() })
	return func() { stop(); <-stopped }
}

func (r *rig) status(i int) cluster.Status {
	m, ok := r.fleet.View().Member(id(i))
	if !ok {
		r.t.Fatalf("node %d is not a member", i)
	}
	return m.Status
}

type closer func()

func (c closer) Close() error { c(); return nil }
