package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Config configures a Fleet. Zero durations take the defaults named here.
type Config struct {
	Meta store.Nodes
	// WriteFailure returns why the metadata store accepts no writes, or nil. While it is not
	// nil no beat can be stored, and silence does not change a node's status. nil: the store
	// always accepts writes.
	WriteFailure func() error
	// Connect returns the chunk store of a node, without waiting for the node to answer.
	// Closing the closer, which may be nil, ends the connection; calls in flight fail.
	Connect   func(store.Node) (chunk.Store, io.Closer, error)
	Heartbeat time.Duration // of the nodes; default 10 s
	Refresh   time.Duration // between reads of the membership; default 1 s
	Probe     time.Duration // before the first probe of a suspect; doubles up to 16 times that; default 250 ms
	Linger    time.Duration // how long a replaced connection stays open for calls in flight; default 1 min
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
	if c.WriteFailure == nil {
		c.WriteFailure = func() error { return nil }
	}
	return c
}

// Fleet holds the current view of the nodes and the connections to them. Safe for
// concurrent use. Locks: docs/locks.md.
type Fleet struct {
	cfg        Config
	current    atomic.Pointer[snapshot]
	refreshing chan struct{} // a semaphore of one for reading the membership, so that an older answer never replaces a newer one
	conns      connections

	mu      sync.Mutex // guards tracker and every store into current
	tracker *tracker
}

// snapshot is a view with the channel that is closed when there is a newer one.
type snapshot struct {
	view    *View
	changed chan struct{}
}

// NewFleet returns a fleet with an empty view; Refresh fills it.
func NewFleet(c Config) *Fleet {
	c = c.withDefaults()
	f := &Fleet{
		cfg: c, tracker: newTracker(c.Heartbeat, c.Refresh), refreshing: make(chan struct{}, 1),
		conns: connections{connect: c.Connect, linger: c.Linger, log: c.Log, open: map[store.NodeID]*conn{}, old: map[*conn]*time.Timer{}},
	}
	f.current.Store(&snapshot{view: f.tracker.view(), changed: make(chan struct{})})
	return f
}

// View is the current view of the nodes; never nil.
func (f *Fleet) View() *View { return f.current.Load().view }

// Watch is View with a channel that is closed when there is a newer view,
// whether or not it differs.
func (f *Fleet) Watch() (v *View, changed <-chan struct{}) {
	e := f.current.Load()
	return e.view, e.changed
}

// Refresh reads the membership. On an error, and while the store accepts no writes, the last
// view stays in use. Concurrent calls run one after the other.
func (f *Fleet) Refresh(ctx context.Context) error {
	select {
	case f.refreshing <- struct{}{}:
		defer func() { <-f.refreshing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	at := time.Now()
	m, err := f.cfg.Meta.Members(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if !errors.Is(err, context.Canceled) { // the caller cancelled the read
			f.tracker.fail()
		}
		return err
	}
	if f.cfg.WriteFailure() != nil && f.tracker.loaded() {
		f.tracker.fail() // missing beats could not be stored
		return nil
	}
	f.tracker.load(m, at)
	f.publish()
	f.conns.keep(f.View())
	return nil
}

// SetDesired sets what is desired of a node, and reads the membership, so that the view of this gateway has it. Other gateways
// have it after their next Refresh. Errors: those of store.Nodes; after one of the reading the change is made.
func (f *Fleet) SetDesired(ctx context.Context, id store.NodeID, d store.Desired, caller string) error {
	if err := f.cfg.Meta.SetNodeDesired(ctx, id, d, caller); err != nil {
		return err
	}
	return f.Refresh(ctx)
}

// Report takes the result of a call to the node: nil ends Suspect, Unavailable sets it at
// once, other errors say nothing about whether the node can be reached.
func (f *Fleet) Report(id store.NodeID, err error) {
	if err != nil && store.KindOf(err) != store.Unavailable {
		return
	}
	m, known := f.View().Member(id)
	if !known || err == nil && m.Status == Online {
		return // the usual case, without a lock
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tracker.report(id, err == nil) {
		f.publish()
	}
}

// publish makes the tracker's state the current view and logs the changes. The caller holds mu.
func (f *Fleet) publish() {
	next := &snapshot{view: f.tracker.view(), changed: make(chan struct{})}
	next.view.Gains = f.View().Gains
	if next.view.gained(f.View()) {
		next.view.Gains++
	}
	last := f.current.Swap(next)
	for _, m := range next.view.Members {
		was, known := last.view.Member(m.ID)
		switch {
		case !known:
			f.cfg.Log.Info("storage node joined", "node", m.Name, "id", m.ID, "address", m.Address, "status", m.Status.String())
		case was.Status == m.Status:
			f.logDisk(was, m)
		case m.Status == Online:
			f.cfg.Log.Info("storage node is back", "node", m.Name, "was", was.Status.String())
		default:
			f.cfg.Log.Warn("storage node is not used", "node", m.Name, "status", m.Status.String(), "last_beat", m.LastBeat)
		}
	}
	close(last.changed)
}

// logDisk logs that a node's disk stopped or began to accept new chunks.
func (f *Fleet) logDisk(was, m Member) {
	switch before, now := was.Capacity.Disk.State, m.Capacity.Disk.State; {
	case before == now:
	case m.Capacity.Disk.Writable():
		f.cfg.Log.Info("storage node accepts new chunks again", "node", m.Name, "was", before.String())
	default:
		f.cfg.Log.Warn("storage node accepts no new chunks", "node", m.Name, "disk", now.String(), "cause", m.Capacity.Disk.Reason)
	}
}

// Chunks returns a node's chunk store and connects on the first call. Unavailable when the
// node is unknown or removed, or connecting is impossible. It ignores the node's status, which
// is for the caller to check.
func (f *Fleet) Chunks(id store.NodeID) (chunk.Store, error) {
	m, ok := f.View().Member(id)
	if !ok {
		return nil, store.Errorf(store.Unavailable, "storage node %s is not a member of the cluster", id)
	}
	return f.conns.get(m.Node)
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

// Close ends all connections; calls in flight fail, later ones are Unavailable.
// End Run first.
func (f *Fleet) Close() error { return f.conns.close() }
