package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Config is what a Fleet is made of. Zero durations take the defaults named here.
type Config struct {
	Meta store.Nodes
	// Connect gives the chunk store of a node, without waiting for the node to
	// answer. The closer ends the connection; calls in flight fail.
	Connect   func(store.Node) (store.Chunks, io.Closer, error)
	Heartbeat time.Duration // of the nodes; default 10 s
	Refresh   time.Duration // between reads of the membership; default 1 s
	Probe     time.Duration // between the first probes of a suspect; doubles up to 16 times that; default 250 ms
	Linger    time.Duration // how long a connection that is not needed any more stays open for calls in flight; default 1 min
	Log       *slog.Logger  // default: slog.Default()
}

func (c Config) withDefaults() Config {
	def := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	def(&c.Heartbeat, 10*time.Second)
	def(&c.Refresh, time.Second)
	def(&c.Probe, 250*time.Millisecond)
	def(&c.Linger, time.Minute)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Fleet is the present view of the nodes and the connections to them. Safe for
// concurrent use.
type Fleet struct {
	cfg  Config
	view atomic.Pointer[View]
	wake chan struct{} // a node became suspect

	mu      sync.Mutex // guards what follows
	tracker *tracker
	conns   map[store.NodeID]*conn
	old     map[*conn]*time.Timer // closed when the timer fires
	closed  bool
}

// conn is an open connection to a node.
type conn struct {
	address string
	chunks  store.Chunks
	closer  io.Closer
}

// NewFleet makes a fleet with an empty view; Refresh fills it.
func NewFleet(c Config) *Fleet {
	c = c.withDefaults()
	f := &Fleet{cfg: c, wake: make(chan struct{}, 1), tracker: newTracker(c.Heartbeat), conns: map[store.NodeID]*conn{}, old: map[*conn]*time.Timer{}}
	f.view.Store(f.tracker.view())
	return f
}

// View is the present picture of the nodes; it is never nil and never changed afterwards.
func (f *Fleet) View() *View { return f.view.Load() }

// Refresh reads the membership. On an error the last view stays in use.
func (f *Fleet) Refresh(ctx context.Context) error {
	m, err := f.cfg.Meta.Members(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.view.Load()
	f.tracker.load(m)
	f.publish()
	f.dropStale()
	f.tell(before)
	return nil
}

// publish makes the tracker's picture the present one. The caller holds mu.
func (f *Fleet) publish() { f.view.Store(f.tracker.view()) }

// tell logs what changed since the view before. The caller holds mu.
func (f *Fleet) tell(before *View) {
	for _, m := range f.view.Load().Members {
		was, known := before.Member(m.ID)
		switch {
		case !known:
			f.cfg.Log.Info("storage node joined", "node", m.Name, "id", m.ID, "address", m.Address, "status", m.Status.String())
		case was.Status != m.Status && m.Status == Online:
			f.cfg.Log.Info("storage node is back", "node", m.Name, "was", was.Status.String())
		case was.Status != m.Status:
			f.cfg.Log.Warn("storage node is not used", "node", m.Name, "status", m.Status.String(), "last_beat", m.LastBeat)
		}
	}
}

// dropStale takes connections out of use whose node went or moved. The caller holds mu.
func (f *Fleet) dropStale() {
	view := f.view.Load()
	for id, c := range f.conns {
		if m, ok := view.Member(id); ok && m.Address == c.address {
			continue
		}
		delete(f.conns, id)
		f.old[c] = time.AfterFunc(f.cfg.Linger, func() { f.closeOld(c) })
	}
}

func (f *Fleet) closeOld(c *conn) {
	f.mu.Lock()
	_, mine := f.old[c]
	delete(f.old, c)
	f.mu.Unlock()
	if mine {
		f.end(c)
	}
}

func (f *Fleet) end(c *conn) {
	if err := c.closer.Close(); err != nil {
		f.cfg.Log.Warn("a connection to a storage node did not close well", "address", c.address, "error", err)
	}
}

// Chunks gives a node's chunk store. Unavailable when the node is unknown,
// removed, or there is no way to it.
func (f *Fleet) Chunks(id store.NodeID) (store.Chunks, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.conns[id]; ok {
		return c.chunks, nil
	}
	m, ok := f.view.Load().Member(id)
	if !ok || f.closed {
		return nil, store.Errorf(store.Unavailable, "storage node %s is not a member of the cluster", id)
	}
	chunks, closer, err := f.cfg.Connect(m.Node)
	if err != nil {
		return nil, err
	}
	f.conns[id] = &conn{address: m.Address, chunks: chunks, closer: closer}
	return chunks, nil
}

// Report tells how a call to the node went: nil clears a suspicion, Unavailable raises
// one at once, anything else says nothing about whether the node can be reached.
func (f *Fleet) Report(id store.NodeID, err error) {
	if err != nil && store.KindOf(err) != store.Unavailable {
		return
	}
	if err == nil {
		// The usual case, without a lock: nothing to clear.
		if m, ok := f.View().Member(id); ok && m.Status != Suspect {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.view.Load()
	if _, ok := before.Member(id); !ok || !f.tracker.report(id, err == nil) {
		return
	}
	f.publish()
	f.tell(before)
	if err != nil {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// Run refreshes the view and probes suspects until ctx ends, and returns nil then.
// Failed refreshes are logged when they begin and when they end.
func (f *Fleet) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	probes.Go(func() { f.probeSuspects(ctx) })
	tick := time.NewTicker(f.cfg.Refresh)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := f.refreshInTime(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			f.cfg.Log.Warn("the membership cannot be read; the last view stays in use", "error", err)
		case err == nil && failing:
			f.cfg.Log.Info("the membership can be read again")
		}
		failing = err != nil
	}
}

// refreshLimit bounds one read of the membership.
const refreshLimit = 5 * time.Second

func (f *Fleet) refreshInTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshLimit)
	defer cancel()
	return f.Refresh(ctx)
}

// probeSuspects asks suspects until they answer, each round later than the one
// before, from the start again when a new one comes up.
func (f *Fleet) probeSuspects(ctx context.Context) {
	pause := f.cfg.Probe
	for {
		suspects := f.suspects()
		wait := pause + rand.N(pause/4+1)
		if len(suspects) == 0 {
			wait = time.Hour // wake ends it
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.wake:
			timer.Stop()
			pause = f.cfg.Probe
			continue
		case <-timer.C:
		}
		f.probe(ctx, suspects)
		pause = min(2*pause, 16*f.cfg.Probe)
	}
}

func (f *Fleet) suspects() (ids []store.NodeID) {
	for _, m := range f.View().Members {
		if m.Status == Suspect {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// probeLimit bounds one probe.
const probeLimit = 2 * time.Second

// probe asks the nodes for their capacity, all at once.
func (f *Fleet) probe(ctx context.Context, ids []store.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			chunks, err := f.Chunks(id)
			if err != nil {
				return
			}
			if _, err := chunks.Capacity(ctx); err == nil {
				f.Report(id, nil)
			}
		})
	}
	wg.Wait()
}

// Close ends all connections; calls in flight fail. Run must have ended.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var errs []error
	for c, timer := range f.old {
		timer.Stop()
		errs = append(errs, c.closer.Close())
	}
	for _, c := range f.conns {
		errs = append(errs, c.closer.Close())
	}
	f.old, f.conns = map[*conn]*time.Timer{}, map[store.NodeID]*conn{}
	return errors.Join(errs...)
}
