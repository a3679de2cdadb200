package logwriter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/logwriter"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/reclaim"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// ops makes random changes of few keys, so that they meet often.
type ops struct {
	*rig
	random *rand.Rand
}

func (o ops) change(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	buckets := []store.BucketName{store.DefaultBucket, "photos"}
	bucket, key := buckets[o.random.IntN(2)], store.Key(fmt.Sprint("key-", o.random.IntN(4)))
	before := store.Before(o.random.IntN(2))
	ch := store.Change{Before: before, Caller: fmt.Sprint("caller-", o.random.IntN(3))}
	var err error
	switch o.random.IntN(15) {
	case 0, 1, 2, 3:
		f := file(key, o.random.IntN(3))
		f.Bucket = bucket
		_, _, err = o.Meta.CommitFile(ctx, store.Commit{Change: ch, File: f})
	case 4:
		marker := store.File{ID: store.NewFileID(), Bucket: bucket, Key: key, DeleteMarker: true, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
		_, _, err = o.Meta.CommitFile(ctx, store.Commit{Change: ch, File: marker})
	case 5, 6:
		f, find := o.Meta.LatestFile(ctx, bucket, key)
		if find == nil {
			to := store.Key(fmt.Sprint("key-", o.random.IntN(4)))
			_, _, err = o.Meta.RenameFile(ctx, store.Rename{Change: ch, File: f.ID, Bucket: buckets[o.random.IntN(2)], Key: to, Attempt: store.NewAttemptID()})
		}
	case 7:
		err = o.Meta.DeleteFile(ctx, store.Deletion{Change: ch, Bucket: bucket, Key: key, Attempt: store.NewAttemptID()})
	case 8:
		page, list := o.Meta.ListFiles(ctx, store.FileQuery{Limit: store.MaxListLimit})
		require.NoError(t, list)
		if len(page.Files) > 0 { // a version, or the latest
			err = o.Meta.DeleteFile(ctx, store.Deletion{Change: ch, File: page.Files[o.random.IntN(len(page.Files))].ID, Attempt: store.NewAttemptID()})
		}
	case 9:
		err = o.Meta.CreateBucket(ctx, store.Bucket{Name: "photos", Survive: 1}, "")
	case 10:
		err = o.Meta.UpdateBucket(ctx, store.Bucket{Name: bucket, Survive: o.random.IntN(3)}, "")
	case 11:
		err = o.Meta.DeleteBucket(ctx, "photos", "")
	case 12:
		c := store.DocumentChange{Bucket: bucket, Kind: attr.DocumentKinds[o.random.IntN(3)]}
		if o.random.IntN(3) > 0 {
			c.Body = []byte(fmt.Sprint(o.random.IntN(100)))
		}
		_, err = o.Meta.SetDocument(ctx, c)
	case 13, 14:
		page, list := o.Meta.ListFiles(ctx, store.FileQuery{Limit: store.MaxListLimit})
		require.NoError(t, list)
		if len(page.Files) > 0 {
			f := page.Files[o.random.IntN(len(page.Files))]
			tags := attr.Set{Tags: map[string]string{"tag": fmt.Sprint(o.random.IntN(100))}}
			err = o.Meta.SetAttributes(ctx, store.AttributeChange{File: f.ID, From: f.Attributes, To: tags})
		}
	}
	if err != nil && !errors.Is(err, store.NotFound) && !errors.Is(err, store.Conflict) && !errors.Is(err, store.Exists) {
		require.NoError(t, err)
	}
}

func seeded(t testing.TB, r *rig, seed uint64) ops {
	t.Logf("seed %d", seed)
	return ops{r, rand.New(rand.NewPCG(seed, 1))}
}

// small makes merges and snapshots frequent.
func small(c *logwriter.Config) {
	c.TailBytes, c.MergeCount, c.MergeBytes, c.PieceFiles = 1200, 4, 900, 3
}

// TestReplayEqualsTheStore: after each settled step the replay equals the store, whatever was changed, merged and compacted.
func TestReplayEqualsTheStore(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 6, small)
			o := seeded(t, r, seed)
			kinds := map[store.LogSegmentKind]bool{}
			for range 30 {
				for range o.random.IntN(8) {
					o.change(t)
				}
				r.settle(t)
				r.requireReplay(t)
				segments, err := r.Meta.LogSegments(t.Context())
				require.NoError(t, err)
				for _, s := range segments {
					kinds[s.Kind] = true
				}
			}
			require.Len(t, kinds, 3, "the tail and snapshots were written")
		})
	}
}

// TestReplayIsTheStateOfARevision: what changes while a segment is written belongs to the next one, whole: a version that is
// replaced meanwhile is there until its successor is.
func TestReplayIsTheStateOfARevision(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 4, small)
			o := seeded(t, r, seed)
			states := map[store.Revision]state{1: stateOf(t, r.Meta)}
			change := func() {
				o.change(t)
				head, err := r.Meta.ChangeHead(context.Background())
				require.NoError(t, err)
				states[head] = stateOf(t, r.Meta)
			}
			for range 25 {
				for range 1 + o.random.IntN(5) {
					change()
				}
				r.meta.set(func(call string) error {
					if call == "FilesByID" || call == "CompleteFiles" {
						for range o.random.IntN(4) {
							change()
						}
					}
					return nil
				})
				_, err := r.step()
				require.NoError(t, err)
				r.meta.set(nil)
				got, report := r.replayed(t)
				want, ok := states[report.Revision]
				require.True(t, ok, "revision %d lies within a change", report.Revision)
				requireSame(t, want, stateOf(t, got).withRowsOf(want))
			}
		})
	}
}

// withRowsOf takes over what is read as it is when a segment is written: settings and documents of buckets, and attributes of files.
func (s state) withRowsOf(o state) state {
	files := maps.Clone(s.Files)
	for id, f := range files {
		f.Attributes = o.Files[id].Attributes
		files[id] = f
	}
	return state{files, o.Buckets, o.Documents}
}

// TestEveryCut: wherever a writer fails or dies, the log that it leaves leads to the state as of a revision, not before the last one that was
// reached, and the next leader continues.
func TestEveryCut(t *testing.T) {
	t.Parallel()
	for _, lose := range []string{"ChangeLog", "after ChangeLog", "DropPart", "FilesByID", "CompleteFiles"} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(lose, " ", seed), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 4, small)
				o := seeded(t, r, seed)
				clean := reclaim.New(reclaim.Config{Meta: r.Meta, Fleet: r.Fleet, Log: upkeeptest.Quiet})
				states := map[store.Revision]state{1: stateOf(t, r.Meta)}
				reached := store.Revision(0)
				for range 30 {
					for range o.random.IntN(5) {
						o.change(t)
						head, err := r.Meta.ChangeHead(context.Background())
						require.NoError(t, err)
						states[head] = stateOf(t, r.Meta)
					}
					r.meta.set(func(call string) error {
						if (call == lose || lose == "DropPart" && call == "after ChangeLog") && o.random.IntN(3) == 0 {
							return upkeeptest.ErrAway
						}
						return nil
					})
					_, _ = r.step()
					r.meta.set(nil)
					if o.random.IntN(4) == 0 {
						r.lead()
					}
					_, err := clean.Step(t.Context(), r.term)
					require.NoError(t, err)
					if listed, err := r.Meta.LoggedTo(t.Context()); err != nil || listed == 0 {
						continue
					}
					got, report := r.replayed(t)
					require.GreaterOrEqual(t, report.Revision, reached)
					reached = report.Revision
					want, ok := states[reached]
					require.True(t, ok)
					t.Logf("%+v", report)
					requireSame(t, want, stateOf(t, got).withRowsOf(want))
					require.True(t, len(report.Gaps) == 0 && len(report.Pieces) == 0, "%+v", report)
				}
				r.settle(t)
				r.requireReplay(t)
				r.requireNoRubbish(t, clean)
			})
		}
	}
}

// requireNoRubbish demands that the nodes have the chunks of the listed segments and no others, once everything was reclaimed.
func (r *rig) requireNoRubbish(t testing.TB, clean *reclaim.Loop) {
	t.Helper()
	for range 20 {
		_, err := clean.Step(context.Background(), r.term)
		require.NoError(t, err)
	}
	segments, err := r.Meta.LogSegments(context.Background())
	require.NoError(t, err)
	copies := 0
	for _, s := range segments {
		copies += len(s.Part.Chunks)
	}
	require.Equal(t, copies, r.Stored(t))
}

// TestAnOldLeaderWritesNothing: once a newer leader has written, the list takes no more from the old one, and its chunks are reclaimed.
func TestAnOldLeaderWritesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4, nil)
	old, term := r.loop, r.term
	r.put(t, file("a", 1), store.ReplaceBefore)
	r.settle(t)
	r.lead()
	r.put(t, file("b", 1), store.ReplaceBefore)
	r.settle(t)
	r.put(t, file("c", 1), store.ReplaceBefore)
	_, err := old.Step(t.Context(), term)
	require.ErrorIs(t, err, store.Conflict)
	r.settle(t)
	r.requireReplay(t)
	r.requireNoRubbish(t, reclaim.New(reclaim.Config{Meta: r.Meta, Fleet: r.Fleet, Log: upkeeptest.Quiet}))
}

// TestTheLogSurvivesAsManyFailuresAsTheData: any two nodes may be lost with the database, or three where a bucket asks for that.
func TestTheLogSurvivesAsManyFailuresAsTheData(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6, small)
	require.NoError(t, r.Meta.CreateBucket(t.Context(), store.Bucket{Name: "precious", Survive: 3}, ""))
	for i := range 30 {
		r.put(t, file(store.Key(fmt.Sprint(i)), 1), store.ReplaceBefore)
		r.settle(t)
	}
	for i := range r.IDs {
		for j := range i {
			for k := range j {
				lost := []store.NodeID{r.IDs[i], r.IDs[j], r.IDs[k]}
				for _, id := range lost {
					r.Kill(id)
				}
				report := r.requireReplay(t)
				require.Len(t, report.Silent, 3)
				for _, id := range lost {
					r.Revive(id)
				}
			}
		}
	}
}

// TestMissingChanges: where changes were trimmed before they were logged, another log begins with a snapshot, and the earlier one is kept until that is complete.
func TestMissingChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4, small)
	for i := range 20 {
		r.put(t, file(store.Key(fmt.Sprint("a", i)), 1), store.ReplaceBefore)
	}
	r.settle(t)
	first := r.requireReplay(t)
	for i := range 20 {
		r.put(t, file(store.Key(fmt.Sprint("b", i)), 1), store.ReplaceBefore)
	}
	for n := 1; n > 0; {
		var err error
		n, err = r.Meta.TrimChanges(t.Context(), store.Retention{Count: 3}, store.MaxListLimit)
		require.NoError(t, err)
	}
	for {
		out, err := r.step()
		require.NoError(t, err)
		if got, report := r.replayed(t); report.Log == first.Log {
			require.Len(t, stateOf(t, got).Files, 20)
		}
		if out.State == upkeep.Idle {
			break
		}
	}
	second := r.requireReplay(t)
	require.NotEqual(t, first.Log, second.Log)
	segments, err := r.Meta.LogSegments(t.Context())
	require.NoError(t, err)
	for _, s := range segments {
		require.Equal(t, second.Log, s.Log, "the earlier log is removed")
	}
}

// TestARestoredStoreBeginsWithASnapshot: its files are not in its record of changes.
func TestARestoredStoreBeginsWithASnapshot(t *testing.T) {
	t.Parallel()
	r := newFreshRig(t, 4, small)
	f := file("old", 2)
	f.State, f.Latest, f.CompletedAt = store.Complete, true, f.CreatedAt
	require.NoError(t, r.Meta.Restore(t.Context(), []store.LogRecord{{Kind: store.FileStored, File: f}}))
	r.settle(t)
	r.requireReplay(t)
	r.put(t, file("new", 1), store.ReplaceBefore)
	r.settle(t)
	r.requireReplay(t)
}

// TestADamagedSegmentIsReplaced: where no copy of a segment can be read, a snapshot makes it unnecessary.
func TestADamagedSegmentIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4, small)
	for i := range 2 {
		r.put(t, file(store.Key(fmt.Sprint(i)), 1), store.ReplaceBefore)
		r.settle(t)
	}
	segments, err := r.Meta.LogSegments(t.Context())
	require.NoError(t, err)
	for i := range segments[1].Part.Chunks {
		for _, n := range r.Nodes {
			n.CorruptUnit(segments[1].Part.ChunkID(i), 0)
		}
	}
	_, report := r.replayed(t)
	require.Len(t, report.Gaps, 1)
	require.Len(t, report.Damaged, 1)
	require.False(t, report.Complete())
	for i := range 5 {
		r.put(t, file(store.Key(fmt.Sprint("more", i)), 1), store.ReplaceBefore)
		r.settle(t)
	}
	report = r.requireReplay(t)
	require.Empty(t, report.Gaps)
	require.NotZero(t, report.Snapshot)
}

// TestAnIdleClusterWritesNothing: without changes nothing is written, to the nodes or to the store.
func TestAnIdleClusterWritesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4, nil)
	r.put(t, file("a", 1), store.ReplaceBefore)
	r.settle(t)
	before, err := r.Meta.LogSegments(t.Context())
	require.NoError(t, err)
	for range 10 {
		out, err := r.step()
		require.NoError(t, err)
		require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, out)
	}
	after, err := r.Meta.LogSegments(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Len(t, after, 2)
}

// TestManyChanges: more changes than a segment takes are written in several, none of which ends between a replaced file and its successor.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4, nil)
	for i := range 1600 {
		r.put(t, file(store.Key(fmt.Sprint(i%7)), 1), store.ReplaceBefore)
	}
	for {
		out, err := r.step()
		require.NoError(t, err)
		got, _ := r.replayed(t)
		require.Len(t, stateOf(t, got).Files, 7, "each key has its file")
		if out.State == upkeep.Idle {
			break
		}
	}
	r.requireReplay(t)
}

// TestUncertainChunksAreQueuedOnceTheStoreAnswers has nodes whose answer is lost, and a metadata store that fails when the chunks that they may
// have are to be queued for reclaim.
func TestUncertainChunksAreQueuedOnceTheStoreAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6, nil)
	r.put(t, file("a", 1), 0)
	for _, c := range r.Nodes {
		c.SetHook(mem.Fail(store.Errorf(store.Unavailable, "the answer was lost"), mem.OpCommit))
	}
	r.meta.set(func(call string) error {
		if call == "Enqueue" {
			return store.Errorf(store.Unavailable, "the database is down")
		}
		return nil
	})
	_, err := r.step()
	require.ErrorIs(t, err, store.Unavailable)

	_, err = r.step()
	require.ErrorIs(t, err, store.Unavailable, "the database is down, still")
	r.meta.set(nil)
	_, err = r.step()
	require.Error(t, err, "the nodes are out of use for a while")
	depth, err := r.Meta.Depth(context.Background(), store.Reclaim)
	require.NoError(t, err)
	require.GreaterOrEqual(t, depth.Tasks, int64(3), "all copies of the segment that was abandoned")
}
