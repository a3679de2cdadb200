package engine_test

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// lateFloor is the default of Config.LateFloor; the rig's own is so long that a loaded machine makes no chunk late.
const lateFloor = 100 * time.Millisecond

// sizes of the three ways in which a body is stored: copies, one stripe, several stripes.
var lateSizes = map[string]int{"copies": 50, "one stripe": 5 * testUnit, "several stripes": 40 * testUnit}

func storedWhole(f store.File) bool {
	for _, c := range f.Parts[0].Chunks {
		if c.Node.IsZero() {
			return false
		}
	}
	return true
}

// A healthy cluster acknowledges with all copies, and nothing is queued: neither repairs nor reclaims.
func TestAHealthyClusterQueuesNothing(t *testing.T) {
	t.Parallel()
	for name, size := range lateSizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, options{late: lateFloor, nodes: 6})
				r.nodes.hook(slowBy(40 * time.Millisecond)) // every step of every node
				for range 100 {
					f := r.put(t, "key", randomBytes(size))
					require.True(t, storedWhole(f))
				}
				r.Close()
				require.Zero(t, r.depth(t, store.Repair))
				require.Zero(t, r.depth(t, store.Reclaim))
			})
		})
	}
}

// slowBy delays each step.
func slowBy(d time.Duration) mem.Hook {
	return func(ctx context.Context, _ mem.Call) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
}

// A node that hangs costs a small write less than a second, from the first write on. Where another node can take the chunk the write is
// acknowledged with all chunks and no repair is queued; otherwise it is acknowledged with holes, whose repairs are queued by the commit.
func TestAHungNodeDelaysWritesByLessThanASecond(t *testing.T) {
	t.Parallel()
	for name, size := range lateSizes {
		for _, op := range []mem.Op{mem.OpCreate, mem.OpAppend, mem.OpCommit} {
			t.Run(name+", "+string(op), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, options{late: lateFloor, nodes: 6})
					hung := r.nodes.View().Members[0].ID
					r.nodes.all()[hung].SetHook(mem.Stall(nil, op))
					var holes int64
					limit := time.Second
					if name == "several stripes" {
						limit *= 2 // stripe.Config.Lag comes before the wait at the commit
					}
					isUsed := func() bool {
						m, _ := r.nodes.View().Member(hung)
						return m.Status == cluster.Online
					}
					// Which writes meet the node is chance, so they end when it is not used any more, and a few later.
					for n, after := 0, 0; after < 5; n++ {
						require.Less(t, n, 400, "a node that completes nothing is not used any more")
						if !isUsed() {
							after++
						}
						body := randomBytes(size)
						began := time.Now()
						f := r.put(t, "key", body)
						require.Less(t, time.Since(began), limit)
						require.Equal(t, body, r.get(t, f.ID))
						if name != "several stripes" {
							require.True(t, storedWhole(f), "another node took the chunk")
						}
						for _, c := range f.Parts[0].Chunks {
							require.NotEqual(t, hung, c.Node)
							if c.Node.IsZero() {
								require.NotZero(t, c.Sum, "its repair is compared with what was sent")
								holes++
							}
						}
					}
					require.Equal(t, holes, r.depth(t, store.Repair))
				})
			})
		}
	}
}

// Without a chunk on another node the write would not survive one more failure: then it waits for the spare node.
func TestASpareNodeTakesTheChunkThatIsRequired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options{late: lateFloor, nodes: 3, config: func(c *engine.Config) { c.Survive = 1 }})
		hung := r.nodes.View().Members[0].ID
		r.nodes.all()[hung].SetHook(mem.Stall(nil, mem.OpCommit))
		for range 20 {
			began := time.Now()
			f := r.put(t, "key", randomBytes(50))
			require.Less(t, time.Since(began), time.Second)
			require.Len(t, nodesOf(f), 2)
		}
		r.Close()
		require.Zero(t, r.depth(t, store.Repair))
	})
}

// noQueue is a metadata store whose queues take nothing; all else works.
type noQueue struct{ store.Metadata }

func (noQueue) Enqueue(context.Context, []store.Task) error {
	return store.Errorf(store.Unavailable, "connection refused")
}

// A write that left a chunk on a late node is acknowledged only when the reclaim of that chunk is recorded: a gateway that is killed
// right after the answer would leave a chunk that no metadata knows, once the file is deleted.
func TestAChunkOfALateNodeIsRecordedBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options{late: lateFloor, nodes: 6, config: func(c *engine.Config) { c.Meta = noQueue{c.Meta} }})
		session := r.session(t, "session", -1)
		for name, write := range map[string]func() error{
			"put": func() error {
				_, err := r.Put(t.Context(), request("key", randomBytes(50)))
				return err
			},
			"part": func() error {
				_, err := r.PutPart(t.Context(), engine.PartRequest{Session: session.ID, Number: 1, Size: 50, Body: bytes.NewReader(randomBytes(50))})
				return err
			},
		} {
			late := r.nodes.View().Members[0].ID
			var asked atomic.Bool
			r.nodes.all()[late].SetHook(func(ctx context.Context, c mem.Call) error {
				if c.Op == mem.OpCommit {
					asked.Store(true)
					<-ctx.Done()
				}
				return nil // it stores the chunk although no one waits for it
			})
			for n := 0; !asked.Load(); n++ { // which write meets the node is chance
				require.Less(t, n, 200, name)
				err := write()
				if !asked.Load() {
					require.NoError(t, err, name)
					continue
				}
				require.Error(t, err, name)
				require.Equal(t, store.Unavailable, store.KindOf(err), "%s: %v", name, err)
			}
		}
	})
}

// A chunk that a late node may have stored after all is reclaimed there.
func TestAChunkOfALateNodeIsReclaimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options{late: lateFloor, nodes: 6})
		var asked atomic.Int64
		late := r.nodes.View().Members[0].ID
		r.nodes.all()[late].SetHook(func(ctx context.Context, c mem.Call) error {
			if c.Op == mem.OpCommit {
				asked.Add(1)
				<-ctx.Done()
			}
			return nil // it stores the chunk although no one waits for it
		})
		for range 3 {
			r.put(t, "key", randomBytes(50))
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		r.Close()
		require.EqualValues(t, 0, r.depth(t, store.Repair))
		tasks, err := r.meta.Claim(t.Context(), store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 100, Hold: time.Minute})
		require.NoError(t, err)
		require.EqualValues(t, asked.Load(), len(tasks))
		for _, task := range tasks {
			require.Equal(t, late, task.Node)
		}
	})
}

// A single late commit is no reason to stop using the node.
func TestASingleLateWriteIsNotReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options{late: lateFloor, nodes: 3})
		slow := r.nodes.View().Members[0].ID
		r.nodes.all()[slow].SetHook(mem.Stall(nil, mem.OpCommit))
		r.put(t, "key", randomBytes(50))
		r.nodes.hook(nil)
		time.Sleep(time.Minute)
		for range 10 {
			r.put(t, "key", randomBytes(50))
		}
		m, _ := r.nodes.View().Member(slow)
		require.Equal(t, cluster.Online, m.Status)
	})
}

// During a long upload a node that takes nothing delays the others by Lag, once.
func TestALongUploadContinuesWithoutANodeThatTakesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options{late: lateFloor, nodes: 6})
		hung := r.nodes.View().Members[2].ID
		r.nodes.all()[hung].SetHook(mem.Stall(nil, mem.OpAppend))
		body := randomBytes(500 * testUnit)
		began := time.Now()
		f, err := r.Put(t.Context(), engine.PutRequest{Bucket: store.DefaultBucket, Key: "key", Size: -1, Body: io.MultiReader(bytes.NewReader(body))})
		require.NoError(t, err)
		require.Less(t, time.Since(began), 2*time.Second)
		require.Equal(t, body, r.get(t, f.ID))
		require.False(t, storedWhole(f))
	})
}
