package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	testBeat    = 10 * time.Second
	testRefresh = time.Second
)

// world is a database with a clock that jumps, nodes that beat through one gateway, and that
// gateway's tracker. Its time advances in tenths of a second.
type world struct {
	tracker *tracker
	now     time.Time     // true time, and this process's
	clock   time.Duration // how far the database's clock is off
	cut     bool          // the gateway reaches no database
	paused  bool          // the gateway does not run
	nodes   []store.Node
	phases  []time.Duration // offset of each node's beats in the interval
	dead    []bool
}

const tick = 100 * time.Millisecond

func newWorld(phases ...time.Duration) *world {
	w := &world{tracker: newTracker(testBeat, testRefresh), now: time.Unix(1_000_000, 0), phases: phases, dead: make([]bool, len(phases))}
	for i := range phases {
		w.nodes = append(w.nodes, store.Node{ID: store.NodeID{byte(i + 1)}, State: store.NodeActive, LastBeat: w.now})
	}
	w.read()
	return w
}

func (w *world) read() {
	m := store.Membership{Now: w.now.Add(w.clock), Nodes: append([]store.Node(nil), w.nodes...)}
	w.tracker.load(m, w.now)
}

// pass advances the time, and calls look after each step.
func (w *world) pass(d time.Duration, look func()) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(tick)
		since := w.now.Sub(time.Unix(1_000_000, 0))
		for i := range w.nodes {
			if since%testBeat == w.phases[i] && !w.dead[i] && !w.cut && !w.paused {
				w.nodes[i].LastBeat = w.now.Add(w.clock)
			}
		}
		if since%testRefresh == 0 && !w.paused {
			if w.cut {
				w.tracker.fail()
			} else {
				w.read()
			}
		}
		look()
	}
}

func (w *world) status(i int) Status { return w.tracker.status(w.nodes[i]) }

func phase(rt *rapid.T, name string) time.Duration {
	return time.Duration(rapid.IntRange(0, int(testBeat/tick)-1).Draw(rt, name)) * tick
}

// Independently of the database's clock, and of how often and long this gateway is paused or
// disconnected: a node that beats whenever it can is never inactive, and a dead one becomes it.
func TestNoNodeIsJudgedForAnothersFault(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(phase(rt, "alive"), phase(rt, "dies"))
		mustBeOnline := func() {
			if s := w.status(0); s != Online {
				rt.Fatalf("a node that beats is %s after %s, counted silence %s", s, w.now.Sub(time.Unix(1_000_000, 0)), w.tracker.silence[w.nodes[0].ID])
			}
		}
		seconds := func(name string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from*10, to*10).Draw(rt, name)) * tick
		}
		for range rapid.IntRange(1, 6).Draw(rt, "events") {
			w.pass(seconds("quiet", 12, 40), mustBeOnline)
			switch rapid.SampledFrom([]string{"jump", "cut", "pause"}).Draw(rt, "event") {
			case "jump":
				w.clock += seconds("jump", -100_000, 100_000)
			case "cut":
				w.cut = true
				w.pass(seconds("cut", 0, 300), mustBeOnline)
				w.cut = false
			case "pause":
				w.paused = true
				w.pass(seconds("pause", 0, 300), mustBeOnline)
				w.paused = false
			}
		}
		w.dead[1] = true
		w.pass(seconds("before the last jump", 0, 20), mustBeOnline)
		w.clock += seconds("last jump", -100_000, 100_000)
		w.pass(MissedBeats*testBeat+2*testRefresh, mustBeOnline)
		if s := w.status(1); s != Inactive {
			rt.Fatalf("a dead node is %s, counted silence %s", s, w.tracker.silence[w.nodes[1].ID])
		}
	})
}

// A node that was inactive before the gateway was paused is not online afterwards.
func TestAPauseBringsNoDeadNodeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(0)
	w.dead[0] = true
	w.pass(40*time.Second, func() {})
	w.paused = true
	w.pass(time.Minute, func() {})
	w.paused = false
	w.pass(2*time.Second, func() {
		if w.status(0) != Inactive {
			t.Fatal("a dead node is online after a pause")
		}
	})
}
