package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// away makes all nodes but the first n unreachable.
func (r *rig) away(n int) {
	for i, m := range r.nodes.View().Members {
		r.nodes.change(m.ID, func(m *cluster.Member) {
			m.Status = cluster.Online
			if i >= n {
				m.Status = cluster.Inactive
			}
		})
	}
}

// The promise comes from the members, not from those that happen to be reachable: what cannot be written now is a hole
// that is queued for repair, with the sum that the chunk must have, and what would not survive one more failure is refused.
func TestThePromiseIsThePolicyNotTheMoment(t *testing.T) {
	t.Parallel()
	for _, size := range []int{50, 40 * testUnit} {
		for reachable := range 7 {
			t.Run(fmt.Sprint(size, " bytes, ", reachable, " of 6"), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, options{nodes: 6})
				r.away(reachable)
				body := randomBytes(size)
				f, err := r.Put(context.Background(), request("key", body))
				if reachable < 2 || size > 100 && reachable < 4 {
					// One node, or 2 or 3 with at most their share of the 10 chunks each, do not survive one more failure.
					require.Error(t, err)
					require.Contains(t, []store.Kind{store.Unavailable, store.NoQuorum}, store.KindOf(err))
					require.NotEmpty(t, store.HintOf(err))
					r.invisible(t, "key")
					return
				}
				require.NoError(t, err)
				require.Equal(t, body, r.get(t, f.ID))
				p := f.Parts[0]
				width := map[bool]int{true: 3, false: 10}[size == 50]
				require.Len(t, p.Chunks, width, "as many chunks as the policy asks for")
				holes, held := 0, map[store.NodeID]int{}
				for i, c := range p.Chunks {
					if c.Node.IsZero() {
						holes++
						require.NotZero(t, c.Sum, "chunk %d: its repair must be compared with what was sent", i)
						continue
					}
					held[c.Node]++
				}
				require.EqualValues(t, holes, r.depth(t, store.Repair))
				for _, n := range held {
					require.LessOrEqual(t, n, (width+5)/6, "no node holds more than its share")
				}
			})
		}
	}
}

// A cluster of one node, and a bucket for which the operator asked for nothing, are acknowledged with what there is.
func TestWhatIsAskedForIsEnough(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 1})
	r.put(t, "key", randomBytes(50))
	r = newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.Survive = 0 }})
	r.away(1)
	f := r.put(t, "key", randomBytes(50))
	require.Len(t, f.Parts[0].Chunks, 1)
}

// What stands below its policy is told by health at once.
func TestHealthTellsWhatNewDataSurvivesNow(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	for reachable, survive := range map[int]int{6: 2, 5: 2, 4: 1, 1: -1, 0: -1} {
		r.away(reachable)
		require.Equal(t, survive, r.Health(context.Background()).Survive, "%d reachable", reachable)
	}
}

// Parts that cannot be read are not made a file: the request names those to send again.
func TestACompletionOfPartsThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "key", -1)
	body := randomBytes(40 * testUnit)
	r.part(t, s, 1, body)
	r.part(t, s, 2, body)
	r.away(2)
	_, err := r.CompleteSession(context.Background(), all(s))
	require.ErrorIs(t, err, store.Conflict)
	require.ErrorContains(t, err, "part 1, 2")
	require.Contains(t, store.HintOf(err), "send these parts again")
	r.invisible(t, "key")
	r.away(6)
	f, err := r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err)
	require.Equal(t, append(bytes.Clone(body), body...), r.get(t, f.ID))
}

// sluggish is a reader's writer that does something between two writes.
type sluggish struct {
	bytes.Buffer
	after int
	do    func()
}

func (w *sluggish) Write(p []byte) (int, error) {
	if w.do != nil && w.Len() >= w.after {
		do := w.do
		w.do = nil
		do()
	}
	return w.Buffer.Write(p)
}

// A read that has begun ends whole, whatever becomes of its object; with its chunks gone, it ends with NotFound, never as damage.
func TestAReadInProgressEndsWhole(t *testing.T) {
	t.Parallel()
	body := randomBytes(200 * testUnit)
	for name, change := range map[string]func(t *testing.T, r *rig, f store.File){
		"overwrite": func(t *testing.T, r *rig, f store.File) { r.put(t, "key", randomBytes(100)) },
		"rename": func(t *testing.T, r *rig, f store.File) {
			_, err := r.Rename(context.Background(), f.ID, store.DefaultBucket, "other", store.Change{})
			require.NoError(t, err)
		},
		"delete": func(t *testing.T, r *rig, f store.File) {
			require.NoError(t, r.Delete(context.Background(), f.ID, store.Change{}))
		},
		"its chunks move": func(t *testing.T, r *rig, f store.File) {
			p := f.Parts[0]
			for i, c := range p.Chunks {
				r.move(t, p.ChunkID(i), c, p.Chunks[(i+1)%len(p.Chunks)].Node)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{nodes: 6})
			f := r.put(t, "key", body)
			o, err := r.Open(context.Background(), f.ID)
			require.NoError(t, err)
			out := &sluggish{after: len(body) / 3, do: func() { change(t, r, f) }}
			require.NoError(t, o.WriteRange(context.Background(), out, 0, int64(len(body))))
			require.True(t, bytes.Equal(body, out.Bytes()))
			if name == "delete" {
				_, err := r.Open(context.Background(), f.ID)
				require.ErrorIs(t, err, store.NotFound)
				_, err = r.Describe(context.Background(), f.ID)
				require.ErrorIs(t, err, store.NotFound)
				r.reclaimAll(t)
				require.ErrorIs(t, o.WriteRange(context.Background(), &bytes.Buffer{}, 0, int64(len(body))), store.NotFound)
				require.Zero(t, r.depth(t, store.Repair), "nothing is repaired that was deleted")
			}
		})
	}
}

// move copies a chunk to another node that has none of its id, records that, and deletes the old one.
func (r *rig) move(t *testing.T, id store.ChunkID, from store.Placement, to store.NodeID) {
	t.Helper()
	if from.Node == to {
		return
	}
	ctx := context.Background()
	source, target := r.nodes.all()[from.Node], r.nodes.all()[to]
	info, err := source.Stat(ctx, id)
	require.NoError(t, err)
	in, err := source.Open(ctx, id, 0, -1)
	require.NoError(t, err)
	out, err := target.Create(ctx, chunk.Spec{ID: id, UnitSize: info.UnitSize})
	require.NoError(t, err)
	for range info.Units() {
		u, err := in.Next()
		require.NoError(t, err)
		require.NoError(t, out.Append(u))
	}
	require.NoError(t, in.Close())
	_, err = out.Commit(info.Label)
	require.NoError(t, err)
	require.NoError(t, r.meta.MoveChunk(ctx, id, from, store.Placement{Node: to, Sum: from.Sum}))
	require.NoError(t, source.Delete(ctx, id))
}

// A read of several requests continues after its file was replaced or deleted, if it can name the file's ETag.
func TestAReadOfSeveralRequestsContinues(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(5000)
	f := r.put(t, "key", body)
	r.put(t, "key", randomBytes(10))
	_, err := r.Open(context.Background(), f.ID)
	require.ErrorIs(t, err, store.NotFound)
	for _, tag := range []string{"", "other"} {
		_, err = r.Resume(context.Background(), f.ID, tag)
		require.ErrorIs(t, err, store.NotFound)
	}
	o, err := r.Resume(context.Background(), f.ID, f.ETag)
	require.NoError(t, err)
	require.Equal(t, body[1000:3000], r.read(t, o, 1000, 2000))
	r.reclaimAll(t)
	_, err = r.Resume(context.Background(), f.ID, f.ETag)
	require.ErrorIs(t, err, store.NotFound, "the grace is over")
}

// The same of a chunk of many units: what is read whole fails rather than give bytes of another chunk for its own.
func TestIntactBytesOfAnotherLongChunk(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(200 * testUnit)
	f, other := r.put(t, "key", body), r.put(t, "other", randomBytes(200*testUnit-1))
	p := f.Parts[0]
	from, to := r.nodes.all()[other.Parts[0].Chunks[2].Node], r.nodes.all()[p.Chunks[2].Node]
	ctx := context.Background()
	require.NoError(t, to.Delete(ctx, p.ChunkID(2)))
	in, err := from.Open(ctx, other.Parts[0].ChunkID(2), 0, -1)
	require.NoError(t, err)
	out, err := to.Create(ctx, chunk.Spec{ID: p.ChunkID(2), UnitSize: p.UnitSize})
	require.NoError(t, err)
	for {
		u, err := in.Next()
		if err != nil {
			break
		}
		require.NoError(t, out.Append(u))
	}
	require.NoError(t, in.Close())
	_, err = out.Commit(chunk.Label{})
	require.NoError(t, err)

	o, err := r.Open(ctx, f.ID)
	require.NoError(t, err)
	var got bytes.Buffer
	require.ErrorIs(t, o.WriteRange(ctx, &got, 0, f.Size), store.Corrupt)
	require.Less(t, got.Len(), len(body), "the end is kept back")
	r.Close()
	require.Positive(t, r.depth(t, store.Repair))
}

// Intact bytes of the wrong chunk are found before one of them is handed on, replaced, and reported for repair.
func TestIntactBytesOfTheWrongChunk(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(50)
	f := r.put(t, "key", body)
	p := f.Parts[0]
	first := int(p.ID[15]) % 3 // the copy that a read begins with
	for n := range 2 {
		i := (first + n) % 3
		c := p.Chunks[i]
		node := r.nodes.all()[c.Node]
		require.NoError(t, node.Delete(context.Background(), p.ChunkID(i)))
		_, err := chunk.PutSmall(context.Background(), node, chunk.Spec{ID: p.ChunkID(i), UnitSize: p.UnitSize}, chunk.NewUnit(randomBytes(49-n), nil), chunk.Label{})
		require.NoError(t, err)
	}
	require.Equal(t, body, r.get(t, f.ID))
	r.Close()
	require.Positive(t, r.depth(t, store.Repair))
}
