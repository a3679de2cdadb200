package cluster_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/ring"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func TestEmptyBeforeTheFirstRefresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	v := r.fleet.View()
	require.Empty(t, v.Members)
	require.Nil(t, v.Ring.Place(store.PartID{1}, 3, nil))
	_, err := r.fleet.Chunks(id(0))
	require.ErrorIs(t, err, store.Unavailable)
}

func TestHeartbeatMechanism(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		begin := time.Now().Add(clockOff).UTC()
		r.chunks[id(0)].SetLimit(1 << 30)
		r.run(0, 1)
		synctest.Wait()
		lastBeat := func() time.Time {
			m, err := r.meta.Members(t.Context())
			require.NoError(t, err)
			require.Equal(t, m.Nodes[0].LastBeat, m.Nodes[1].LastBeat, "beats are written down together")
			return m.Nodes[0].LastBeat.Truncate(time.Millisecond)
		}
		require.Equal(t, begin, lastBeat(), "the first beat comes at once")
		time.Sleep(time.Millisecond) // so that checks are between two beats
		for range 5 {
			time.Sleep(heartbeat - 2*time.Millisecond)
			require.Equal(t, begin, lastBeat(), "not before the interval is over")
			time.Sleep(2 * time.Millisecond)
			begin = begin.Add(heartbeat)
			require.Equal(t, begin, lastBeat())
		}
		time.Sleep(time.Second)
		m, ok := r.fleet.View().Member(id(0))
		require.True(t, ok)
		require.Equal(t, int64(1<<30), m.Capacity.Total, "a beat brings the capacity")
	})
}

func TestStorageServerFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		stop := r.run(0, 1)
		time.Sleep(time.Second + time.Millisecond)
		require.Equal(t, cluster.Online, r.status(0))
		stop()
		time.Sleep(3*heartbeat - 3*time.Second)
		require.Equal(t, cluster.Online, r.status(0), "two beats missed")
		time.Sleep(3 * time.Second)
		require.Equal(t, cluster.Inactive, r.status(0), "marked inactive after three")
		m, _ := r.fleet.View().Member(id(0))
		require.False(t, m.Readable())
		require.False(t, m.Writable())
		require.Equal(t, store.NodeActive, m.State, "the operator still wants it")
		require.Len(t, r.fleet.View().Ring.Nodes(), 2, "the ring waits for it")

		r.run(0)
		time.Sleep(time.Second + time.Millisecond)
		require.Equal(t, cluster.Online, r.status(0), "one beat brings it back")
		require.Equal(t, cluster.Inactive, r.status(1))
	})
}

// TestDiskOfANodeStopsWrites: a node whose disk accepts no new chunks is read and not
// written, and the view has the reason; after a later heartbeat it is written again.
func TestDiskOfANodeStopsWrites(t *testing.T) {
	t.Parallel()
	for _, state := range []store.DiskState{store.DiskFull, store.DiskReadOnly, store.DiskFailing, store.DiskFailing + 1} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2)
			r.run(0, 1)
			r.chunks[id(1)].SetDisk(store.Disk{State: state, Reason: "sector 7 is gone"})
			time.Sleep(heartbeat + 2*time.Second)
			m, ok := r.fleet.View().Member(id(1))
			require.True(t, ok)
			require.True(t, m.Readable())
			require.False(t, m.Writable())
			require.Contains(t, m.Unwritable(), "sector 7 is gone")
			require.Contains(t, m.Unwritable(), state.String())
			other, _ := r.fleet.View().Member(id(0))
			require.True(t, other.Writable())
			r.chunks[id(1)].SetDisk(store.Disk{})
			time.Sleep(heartbeat + 2*time.Second)
			m, _ = r.fleet.View().Member(id(1))
			require.Empty(t, m.Unwritable())
		})
	}
}

func TestAddStorageServer_Dynamic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.run(0, 1)
		time.Sleep(2 * time.Second)
		before := r.fleet.View()
		r.join(2)
		time.Sleep(2 * time.Second)
		after := r.fleet.View()
		require.Len(t, before.Members, 2, "a view never changes")
		require.Len(t, after.Members, 3)
		require.Greater(t, after.Epoch, before.Epoch)
		m, ok := after.Member(id(2))
		require.True(t, ok)
		require.True(t, m.Writable())
		chunks, err := r.fleet.Chunks(id(2))
		require.NoError(t, err)
		require.Same(t, r.chunks[id(2)], chunks)
	})
}

func TestHashRingRefresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	require.NoError(t, r.fleet.Refresh(t.Context()))
	first := r.fleet.View()
	require.NoError(t, r.fleet.Refresh(t.Context()))
	require.Same(t, first.Ring, r.fleet.View().Ring, "an epoch's ring is made once")

	r.join(3)
	require.NoError(t, r.fleet.Refresh(t.Context()))
	second := r.fleet.View()
	require.Equal(t, second.Epoch, second.Ring.Epoch())
	require.Len(t, second.Ring.Nodes(), 4)
	for _, moved := range ring.Diff(first.Ring, second.Ring) {
		require.Equal(t, id(3), moved.To)
	}

	require.NoError(t, r.meta.SetNodeState(t.Context(), id(0), store.NodeDraining, ""))
	require.NoError(t, r.meta.SetNodeState(t.Context(), id(1), store.NodeRemoved, ""))
	require.NoError(t, r.fleet.Refresh(t.Context()))
	third := r.fleet.View()
	require.Len(t, third.Ring.Nodes(), 2)
	draining, ok := third.Member(id(0))
	require.True(t, ok)
	require.True(t, draining.Readable())
	require.False(t, draining.Writable())
	_, ok = third.Member(id(1))
	require.False(t, ok)
	require.Equal(t, []store.NodeID{id(1)}, third.Removed)
}

func TestFullNodesAreNotWritable(t *testing.T) {
	t.Parallel()
	m := cluster.Member{Status: cluster.Online, Node: store.Node{State: store.NodeActive, Capacity: store.Capacity{Free: 1 << 30}}}
	require.True(t, m.Writable())
	m.Capacity.Free = 1 << 20
	require.False(t, m.Writable())
	require.True(t, m.Readable())
}

func TestSuspectsAreProbedUntilTheyAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.run(1)
		time.Sleep(2 * time.Second)
		var probes atomic.Int64
		r.chunks[id(0)].SetHook(func(_ context.Context, c mem.Call) error {
			probes.Add(1)
			return away
		})
		r.fleet.Report(id(0), store.Errorf(store.NotFound, "no such chunk"))
		require.Equal(t, cluster.Online, r.status(0), "an answer is an answer")
		r.fleet.Report(id(0), away)
		require.Equal(t, cluster.Suspect, r.status(0), "at once")
		require.Equal(t, cluster.Online, r.status(1))
		time.Sleep(20 * time.Second)
		require.Equal(t, cluster.Suspect, r.status(0))
		require.GreaterOrEqual(t, probes.Load(), int64(5))
		require.LessOrEqual(t, probes.Load(), int64(12), "they back off")
		r.chunks[id(0)].SetHook(nil)
		time.Sleep(6 * time.Second)
		require.Equal(t, cluster.Online, r.status(0))
	})
}

func TestASuccessClearsSuspicionAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	require.NoError(t, r.fleet.Refresh(t.Context()))
	r.fleet.Report(id(0), away)
	require.Equal(t, cluster.Suspect, r.status(0))
	r.fleet.Report(id(0), nil)
	require.Equal(t, cluster.Online, r.status(0))
	r.fleet.Report(id(7), away) // an unknown node
	require.Len(t, r.fleet.View().Members, 1)
}

// A suspect that becomes silent and beats again is probed again, without a new failure.
func TestASuspectThatWasInactiveIsProbedWhenItBeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		stop := r.run(0)
		time.Sleep(2 * time.Second)
		r.chunks[id(0)].SetHook(mem.Fail(away))
		r.fleet.Report(id(0), away)
		stop()
		time.Sleep(4 * heartbeat)
		require.Equal(t, cluster.Inactive, r.status(0))
		r.chunks[id(0)].SetHook(nil)
		r.run(0)
		time.Sleep(10 * time.Second)
		require.Equal(t, cluster.Online, r.status(0))
	})
}

// A node that answers probes but fails calls is not used again every 250 ms.
func TestANodeThatFailsAgainIsProbedLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.run(0)
		time.Sleep(2 * time.Second)
		var times []time.Duration
		for range 4 {
			begin := time.Now()
			r.fleet.Report(id(0), away)
			for r.status(0) != cluster.Online {
				_, changed := r.fleet.Watch()
				<-changed
			}
			times = append(times, time.Since(begin))
		}
		require.Less(t, times[0], time.Second)
		require.Greater(t, times[3], 2*time.Second)
		time.Sleep(time.Minute)
		begin := time.Now()
		r.fleet.Report(id(0), away)
		for r.status(0) != cluster.Online {
			_, changed := r.fleet.Watch()
			<-changed
		}
		require.Less(t, time.Since(begin), time.Second, "after a good while all is forgotten")
	})
}

func TestDatabaseAwayDoesNotMakeNodesInactive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		stop := r.run(0) // node 1 has beaten once, on joining
		time.Sleep(15500 * time.Millisecond)
		r.meta.away.Store(true)
		time.Sleep(time.Hour)
		require.Equal(t, cluster.Online, r.status(0))
		require.Equal(t, cluster.Online, r.status(1), "the last view stays in use")
		stop()
		r.meta.away.Store(false)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, cluster.Online, r.status(0), "it had nowhere to put its beats")
		require.Equal(t, cluster.Online, r.status(1), "it was silent for 15 s before")
		time.Sleep(15200 * time.Millisecond)
		require.Equal(t, cluster.Online, r.status(0))
		require.Equal(t, cluster.Inactive, r.status(1), "30 s of its own")
		time.Sleep(10 * time.Second)
		require.Equal(t, cluster.Inactive, r.status(0), "the excuse does not last indefinitely")
	})
}

func TestAStoreThatTakesNoBeatsDoesNotMakeNodesInactive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.meta.full.Store(true)
		r.run(0)
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, r.fleet.Refresh(t.Context()))
		require.Len(t, r.fleet.View().Members, 2, "the first view is loaded all the same")
		time.Sleep(time.Hour)
		require.Equal(t, cluster.Online, r.status(0))
		r.meta.full.Store(false)
		time.Sleep(11 * time.Second)
		require.Equal(t, cluster.Online, r.status(0), "its beat is stored again")
		require.Equal(t, cluster.Online, r.status(1), "it has had one interval")
		time.Sleep(30 * time.Second)
		require.Equal(t, cluster.Online, r.status(0))
		require.Equal(t, cluster.Inactive, r.status(1), "it is silent of its own")
	})
}

// The database's clock moves by hours, as in a failover to another host: no node becomes inactive.
func TestAClockThatJumpsMakesNoNodeInactive(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2)
			stop := r.run(0)
			time.Sleep(8500 * time.Millisecond)
			r.meta.jump.Store(int64(jump))
			time.Sleep(time.Second)
			require.Equal(t, cluster.Online, r.status(0))
			require.Equal(t, cluster.Online, r.status(1), "silent for 9 s")
			time.Sleep(22 * time.Second)
			require.Equal(t, cluster.Online, r.status(0))
			require.Equal(t, cluster.Inactive, r.status(1), "silent for 31 s, whatever the clock says")
			stop()
			time.Sleep(3*heartbeat + 2*time.Second)
			require.Equal(t, cluster.Inactive, r.status(0))
		})
	}
}

// A gateway that was paused waits for a heartbeat interval before a node's status changes.
func TestAPausedGatewayJudgesNoNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		listen := func(seconds int) {
			for range seconds {
				require.NoError(t, r.fleet.Refresh(t.Context()))
				time.Sleep(time.Second)
			}
		}
		beat := func(i int) {
			_, err := r.meta.BeatNodes(t.Context(), []store.Beat{{Node: id(i)}})
			require.NoError(t, err)
		}
		listen(25)
		time.Sleep(time.Minute) // paused: no node's beat arrives
		listen(10)
		require.Equal(t, cluster.Online, r.status(0))
		require.Equal(t, cluster.Online, r.status(1))
		beat(0)
		listen(10)
		require.Equal(t, cluster.Online, r.status(0))
		require.Equal(t, cluster.Inactive, r.status(1), "it had its time")
	})
}

func TestRefreshTellsWhatFailed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.meta.away.Store(true)
	require.ErrorIs(t, r.fleet.Refresh(t.Context()), store.Unavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.meta.away.Store(false)
	require.ErrorIs(t, r.fleet.Refresh(ctx), context.Canceled)
}

func TestConnectionsAreMadeOnceAndClosedAfterAGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.run(0, 1, 2)
		time.Sleep(2 * time.Second)
		for range 3 {
			for i := range 2 {
				_, err := r.fleet.Chunks(id(i))
				require.NoError(t, err)
			}
		}
		dials, closed := r.log()
		require.Equal(t, []string{"host-0:1", "host-1:1"}, dials, "on demand, once each")
		require.Empty(t, closed)

		r.fleet.Report(id(0), away)
		r.joinAt(0, "host-0:2") // moved
		require.NoError(t, r.meta.SetNodeState(t.Context(), id(1), store.NodeRemoved, ""))
		time.Sleep(1100 * time.Millisecond)
		require.Equal(t, cluster.Online, r.status(0), "a new address is a new chance")
		_, err := r.fleet.Chunks(id(0))
		require.NoError(t, err)
		_, err = r.fleet.Chunks(id(1))
		require.ErrorIs(t, err, store.Unavailable)
		dials, closed = r.log()
		require.Equal(t, []string{"host-0:1", "host-1:1", "host-0:2"}, dials)
		require.Empty(t, closed, "readers in flight go on")
		time.Sleep(time.Minute)
		_, closed = r.log()
		require.ElementsMatch(t, []string{"host-0:1", "host-1:1"}, closed)

		r.joinAt(0, "host-0:3")
		time.Sleep(2 * time.Second)
		require.NoError(t, r.fleet.Close(), "closes what lingers, and what is open")
		_, closed = r.log()
		require.ElementsMatch(t, []string{"host-0:1", "host-1:1", "host-0:2"}, closed)
		_, err = r.fleet.Chunks(id(0))
		require.ErrorIs(t, err, store.Unavailable)
	})
}

func TestNoWayToANode(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	require.NoError(t, r.fleet.Refresh(t.Context()))
	r.refused = errors.New("no certificate")
	_, err := r.fleet.Chunks(id(0))
	require.ErrorIs(t, err, store.Unavailable)
	require.ErrorIs(t, err, r.refused)
	r.refused = nil
	_, err = r.fleet.Chunks(id(0))
	require.NoError(t, err, "a failure is not kept")
}

func TestHeartbeaterSkipsANodeThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.chunks[id(0)].SetHook(mem.Stall(nil)) // its disk hangs
		r.run(0, 1)
		time.Sleep(4*heartbeat - time.Second)
		require.Equal(t, cluster.Inactive, r.status(0))
		require.Equal(t, cluster.Online, r.status(1), "one bad disk does not silence the others")
		r.chunks[id(0)].SetHook(nil)
		time.Sleep(heartbeat + time.Second)
		require.Equal(t, cluster.Online, r.status(0))
		require.NoError(t, r.meta.SetNodeState(t.Context(), id(1), store.NodeRemoved, ""))
		time.Sleep(heartbeat)
		require.Equal(t, cluster.Online, r.status(0))
	})
}

func TestStatusNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "online suspect inactive unknown", cluster.Online.String()+" "+cluster.Suspect.String()+" "+cluster.Inactive.String()+" "+cluster.Status(0).String())
}

func TestFleetIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	require.NoError(t, r.fleet.Refresh(t.Context()))
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for n := range 200 {
				switch i := n % 3; g {
				case 0:
					_ = r.fleet.Refresh(t.Context())
				case 1:
					r.fleet.Report(id(i), away)
				case 2:
					r.fleet.Report(id(i), nil)
				case 3:
					_, _ = r.meta.JoinNode(t.Context(), store.Node{ID: id(0), Name: "node-0", Address: string(rune('a' + i)), Weight: 1})
				default:
					_, _ = r.fleet.Chunks(id(i))
					_ = r.fleet.View().Ring.Place(store.PartID{byte(n)}, 3, nil)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.fleet.Refresh(t.Context()))
	require.Len(t, r.fleet.View().Members, 3)
}

// What an operator set for a node decides where chunks are placed, not what the node reports.
func TestDesiredZoneAndWeightCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	require.NoError(t, r.fleet.Refresh(t.Context()))
	first := r.fleet.View()
	heavy := store.Desired{Zone: new("shared"), Weight: new(5)}
	require.NoError(t, r.fleet.SetDesired(t.Context(), id(0), heavy, ""))
	second := r.fleet.View()
	require.Equal(t, first.Epoch+1, second.Epoch)
	diff := ring.Diff(first.Ring, second.Ring)
	require.NotEmpty(t, diff)
	for _, moved := range diff {
		require.Equal(t, id(0), moved.To)
	}
	for _, n := range second.Ring.Nodes() {
		if n.ID == id(0) {
			require.Equal(t, []any{"shared", 5}, []any{n.Zone, n.Weight})
		}
	}
	for i, zone := range []string{"shared", "other", "other"} {
		require.NoError(t, r.fleet.SetDesired(t.Context(), id(i+1), store.Desired{Zone: &zone}, ""))
	}
	require.Greater(t, r.fleet.View().Policy(1).Parity, first.Policy(1).Parity, "half of the nodes can fail as a zone")
	require.ErrorIs(t, r.fleet.SetDesired(t.Context(), store.NewNodeID(), heavy, ""), store.NotFound)
}
